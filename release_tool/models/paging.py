"""Give back memory of weights that are mapped from their file: the kernel reads them again when they are asked for.

transformers maps safetensors files instead of reading them. Every page that was looked at counts as memory of this
process until it is given back, so a model of gigabytes that is hashed and written once would be resident as a whole.
Only mappings of a file in which nothing was written are given back: there, nothing can be lost.
"""

from __future__ import annotations

import bisect
import ctypes
import mmap
import re
from pathlib import Path

_MADV_DONTNEED = 4
"""Linux' value; elsewhere there is no /proc and nothing is given back."""

_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (....) \S+ \S+ (\d+) +(.*)$")


def clean_mappings(smaps: str, suffix: str) -> list[tuple[int, int]]:
    """Return sorted (start, end) addresses of private file mappings that hold no page of their own.

    Args:
        smaps: the text of /proc/self/smaps.
        suffix: how the file's name ends.
    """
    found: list[tuple[int, int]] = []
    current: tuple[int, int] | None = None
    for line in smaps.splitlines():
        header = _MAPPING.match(line)
        if header is not None:
            start, end, flags, inode, name = header.groups()
            ours = flags[3] == "p" and inode != "0" and name.endswith(suffix)
            current = (int(start, 16), int(end, 16)) if ours else None
        elif current is not None and line.startswith("Anonymous:"):
            if line.split()[1] == "0":
                found.append(current)
            current = None
    return sorted(found)


class MappedWeights:
    """The clean mappings of weight files in this process, as they are now."""

    def __init__(self, suffix: str = ".safetensors") -> None:
        try:
            text = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        self._ranges = clean_mappings(text, suffix)
        self._starts = [start for start, _ in self._ranges]

    def give_back(self, address: int, size: int) -> None:
        """Give back the whole pages inside [address, address + size) if they belong to a clean mapping."""
        index = bisect.bisect_right(self._starts, address) - 1
        if index < 0 or address + size > self._ranges[index][1]:
            return
        first = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (address + size) // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first:
            # A refusal costs memory, nothing else.
            ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _MADV_DONTNEED)

    def give_back_all(self) -> None:
        """Give back every clean mapping: after a trace, which looked at all weights once."""
        for start, end in self._ranges:
            self.give_back(start, end - start)
