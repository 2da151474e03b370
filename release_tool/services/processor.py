"""What processor this machine has, in words that belong to every time measured on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor_words(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's own name and how many cores of it there are."""
    name = platform.processor() or platform.machine()
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, colon, value = line.partition(":")
        if colon and key.strip() == "model name":
            name = value.strip()
            break
    return f"{name}, {os.cpu_count()} cores"
