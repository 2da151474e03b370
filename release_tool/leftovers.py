"""The temporary files that killed writers left behind: found by the exact name that ``write_atomic`` gives them.

Only a writer who holds the folder's lock may sweep: what was there when it took the lock is nobody's any more. And
only beside names of our own: what else looks like one is somebody else's.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LEFTOVER = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.part", re.DOTALL)
"""What ``tempfile.mkstemp`` makes of the prefix and the suffix that ``write_atomic`` gives it."""
WORD = r"[a-z0-9_-]+"
OF_WORK = {
    "": re.compile(
        rf"(?:location|plan|source|receipt|proposal|review|(?:listing-)?notice|(?:bundle|proof|quality|speed|certificate)-{WORD})\.json"
        rf"|review\.(?:md|html)|answers-{WORD}\.safetensors"
    ),
    "archives": re.compile(rf"{WORD}\.config\.json"),
    "inputs": re.compile(r"idf\.json"),
}
"""Folder below the work folder → names of what is written there whole or not at all."""


def sweep_work(folder: Path, until: float) -> None:
    """Remove what killed commands left in a work folder.

    Args:
        folder: the work folder.
        until: when its lock was taken, in seconds of the file system's clock.
    """
    for place, own in OF_WORK.items():
        _sweep(folder / place, own, until)


def sweep_beside(files: Iterable[Path], until: float) -> None:
    """Remove what killed commands left beside files that they were about to replace.

    Args:
        files: which; they need not exist.
        until: as of ``sweep_work``.
    """
    for file in files:
        _sweep(file.parent, re.compile(re.escape(file.name)), until)


def _sweep(folder: Path, own: re.Pattern[str], until: float) -> None:
    # What can't be looked at or removed is in nobody's way.
    with suppress(OSError):
        for path in list(folder.iterdir()):
            found = LEFTOVER.fullmatch(path.name)
            if found and own.fullmatch(found["name"]) and path.is_file() and not path.is_symlink():
                with suppress(OSError):
                    if path.stat().st_mtime <= until:  # the clock of a file system ticks slowly
                        path.unlink()
