"""The machine: what it is, and whether it is quiet enough to be measured on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import measure

QUIET_CORES = 0.1
"""Cores in use while nothing is measured: below it, nothing else runs."""
LOOK_SECONDS = 5
PATIENCE_SECONDS = 900

LIST_VERSIONS = "import json,sys,importlib.metadata as m;print(json.dumps({n:m.version(n) for n in sys.argv[1:]}))"


def wait_until_quiet(*, patience: float = PATIENCE_SECONDS) -> float:
    """Wait until others use less than a tenth of a core and return what they use; give up with words in the end."""
    until = time.monotonic() + patience
    while (used := cores_used()) >= QUIET_CORES:
        if time.monotonic() > until:
            sys.exit(
                f"The machine is busy: {used:.2f} cores in use (wanted: below {QUIET_CORES}) for {patience / 60:.0f}"
                " minutes.\nEnd what else runs, or measure all the same with --busy-anyway; the report will say so."
            )
    return used


def cores_used(seconds: float = LOOK_SECONDS) -> float:
    """Return how many cores the whole machine keeps busy, over some seconds in which the caller does nothing."""
    began, before = time.monotonic(), measure.machine_busy()
    time.sleep(seconds)
    return (measure.machine_busy() - before) / (time.monotonic() - began)


def describe() -> dict[str, str]:
    """Return what a reader needs to know of this machine."""
    cpu = _first("/proc/cpuinfo", "model name")
    memory = int(_first("/proc/meminfo", "MemTotal").split()[0]) * 1024
    return {
        "CPU": f"{cpu}, {os.cpu_count()} cores{_caches()}",
        "Memory": f"{memory / 1e9:.0f} GB, swap {int(_first('/proc/meminfo', 'SwapTotal').split()[0]) * 1024 / 1e9:.0f} GB",
        "System": f"{_first('/etc/os-release', 'PRETTY_NAME', '=').strip(chr(34))}, Linux {platform.release().split('-')[0]}",
    }


def file_system(folder: Path) -> str:
    """Return the type of the file system that a folder lies on; in memory (tmpfs) no bytes would be counted."""
    done = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def versions(python: str, packages: tuple[str, ...]) -> dict[str, str]:
    """Return what is installed beside a Python."""
    import json

    done = subprocess.run([python, "-P", "-c", LIST_VERSIONS, *packages], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(
            f"{python} lacks a package: {done.stderr.strip().splitlines()[-1]}\nbench/README.md says what to install."
        )
    asked = subprocess.run(
        [python, "-c", "import platform; print(platform.python_version())"], capture_output=True, text=True, check=True
    )
    return {"python": asked.stdout.strip(), **json.loads(done.stdout)}


def _first(path: str, name: str, separator: str = ":") -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, found, value = line.partition(separator)
        if found and key.strip() == name:
            return value.strip()
    return "unknown 0"


def _caches() -> str:
    try:
        size = Path("/sys/devices/system/cpu/cpu0/cache/index3/size").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    return f", L3 {size}"
