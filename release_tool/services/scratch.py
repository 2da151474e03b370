"""Folders for files that live as long as a process: those of killed processes are removed at the next start."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "run-"
HELD = "held"


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Make a folder of our own under ``parent``; remove it at the end, and first those that nobody holds any more.

    A lock and not a process number tells who lives: the kernel lets go of it however a process ends.
    """
    parent.mkdir(parents=True, exist_ok=True)
    guard = os.open(parent / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Without the guard another process could sweep the folder between its making and its locking.
        fcntl.flock(guard, fcntl.LOCK_EX)
        _sweep(parent)
        folder = Path(mkdtemp(prefix=PREFIX, dir=parent))
        held = os.open(folder / HELD, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
    finally:
        os.close(guard)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            handle = os.open(folder / HELD, os.O_RDWR)
        except FileNotFoundError:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        finally:
            os.close(handle)
        shutil.rmtree(folder, ignore_errors=True)
