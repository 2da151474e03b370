"""The lines of a stream of bytes, compressed or not, none of which is ever held beyond its limit."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import TYPE_CHECKING, Protocol

from release_tool.core.escape import one_line
from release_tool.core.finetune.document_rows import MAX_LINE_BYTES
from release_tool.core.quantity import clip
from release_tool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

SUFFIXES = (".jsonl", ".jsonl.gz")
"""Ends of the names of files that hold documents."""
BUFFER_BYTES = 1 << 20


class Stream(Protocol):
    """What is read: a file, or whatever stands in for one."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at the end."""


def lines_of(stream: Stream, name: str, *, limit: int = MAX_LINE_BYTES) -> Iterator[tuple[bytes | None, int]]:
    """Yield the lines, without what ends them, and how many bytes of the stream were read since the line before.

    Args:
        stream: of the file's bytes; is read to its end and left open.
        name: of the file; one that ends in ``.gz`` is decompressed.
        limit: bytes that a line may have; null is yielded for a longer one.

    Raises:
        UsageError: it is no whole gzip file.
    """
    counted = _Counted(stream)
    raw = io.BufferedReader(counted, BUFFER_BYTES)
    plain = io.BufferedReader(gzip.GzipFile(fileobj=raw, mode="rb"), BUFFER_BYTES) if name.endswith(".gz") else raw
    before = 0
    try:
        while line := plain.readline(limit + 1):
            whole: bytes | None = line
            if len(line) > limit and not line.endswith(b"\n"):
                whole = None
                while line and not line.endswith(b"\n"):
                    line = plain.readline(limit)
            yield (None if whole is None else whole.rstrip(b"\r\n")), counted.count - before
            before = counted.count
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        shown = clip(one_line(name))
        raise UsageError(f"{shown} is no whole gzip file: {error}.", hint="Compress it again.") from error


class _Counted(io.RawIOBase):
    """Passes bytes on and counts them."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.stream = stream
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        room = memoryview(buffer)
        data = self.stream.read(len(room))
        room[: len(data)] = data
        self.count += len(data)
        return len(data)
