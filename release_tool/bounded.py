"""Read a file that a person or a work folder named: a regular file, of bounded size, without ever waiting for one.

A name may lead to a pipe that nobody fills, to a device without an end or to a file larger than the memory. Each of
them is told by what it is; what the system itself refuses (no such file, no permission) stays an ``OSError``.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

MAX_DOCUMENT_BYTES = 64 * 1024 * 1024
"""Bytes: a hundred times the largest certificate seen."""

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotReadable(Exception):
    """A name leads to something that is not read; the text says what it is, as the end of a sentence."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, links followed.

    Raises:
        NotReadable: it is something else.
        OSError: the system refuses.
    """
    # Without O_NONBLOCK, opening a pipe waits until somebody writes; for a regular file it changes nothing.
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:  # what opening a socket gives
            raise
        raise NotReadable(f"it is {what(path.stat().st_mode)}") from error
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise NotReadable(f"it is {what(mode)}")
    return os.fdopen(handle, "rb")


def what(mode: int) -> str:
    """Return what a file's mode says that it is, with its article."""
    return next((name for is_one, name in KINDS if is_one(mode)), "no regular file")


def read_bounded(path: Path, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Return all bytes of a regular file.

    Args:
        path: of the file.
        limit: most bytes that are taken into memory.

    Raises:
        NotReadable: it is no regular file, or larger.
        OSError: the system refuses.
    """
    with open_regular(path) as stream:
        data = stream.read(limit + 1)  # not by its size: a file may grow, and /proc's files have none
    if len(data) > limit:
        raise NotReadable(f"it is larger than {limit:,} bytes")
    return data
