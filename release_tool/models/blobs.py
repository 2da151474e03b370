"""Bytes described before they are written: size, crc32 and a way to produce them again and again.

An archive of gigabytes is laid out as a ``Blob`` of blobs (the outer zip holds the model file, which for TorchScript is
a zip itself) and then written once, front to back, straight from the model's weights. Nothing is held in memory
twice and nothing is written twice: a zip's headers need the crc of what follows, and crc32 of joined parts can be
computed from the parts.
"""

from __future__ import annotations

import hashlib
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

CHUNK_BYTES = 8 << 20
"""Large enough that hashing releases the interpreter for long, small enough to stay in the last-level cache."""

_CRC_POLYNOMIAL = 0xEDB88320


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that can be produced on demand."""

    size: int
    crc: int
    """crc32 of all bytes."""
    chunks: Callable[[], Iterator[bytes | memoryview]]
    """Yields the bytes front to back; may be called more than once and gives the same bytes each time."""


def from_bytes(data: bytes) -> Blob:
    """Return a blob of bytes held in memory."""
    return Blob(len(data), zlib.crc32(data), lambda: iter((data,)))


def join(parts: Iterable[Blob]) -> Blob:
    """Return the blob of all parts, one after the other."""
    kept = tuple(parts)
    size = 0
    crc = 0
    for part in kept:
        crc = crc_combine(crc, part.crc, part.size)
        size += part.size

    def chunks() -> Iterator[bytes | memoryview]:
        for part in kept:
            yield from part.chunks()

    return Blob(size, crc, chunks)


def crc_combine(first: int, second: int, second_size: int) -> int:
    """Return the crc32 of two joined byte strings from their own crc32s and the length of the second.

    Law (a test holds it): ``crc_combine(crc32(a), crc32(b), len(b)) == crc32(a + b)``. Appending zero bytes is a linear
    map over GF(2); the map for 2**n zero bytes is kept for each n.
    """
    bit = 0
    while second_size:
        if second_size & 1:
            first = _apply(_zeros(bit), first)
        second_size >>= 1
        bit += 1
    return first ^ second


def _apply(matrix: tuple[int, ...], vector: int) -> int:
    result = 0
    index = 0
    while vector:
        if vector & 1:
            result ^= matrix[index]
        vector >>= 1
        index += 1
    return result


@cache
def _zeros(power: int) -> tuple[int, ...]:
    """Return the map that appends 2**power zero bytes."""
    if power == 0:
        one_bit = (_CRC_POLYNOMIAL, *(1 << n for n in range(31)))
        for _ in range(3):  # 1 bit, 2, 4, 8 bits = one byte
            one_bit = tuple(_apply(one_bit, row) for row in one_bit)
        return one_bit
    half = _zeros(power - 1)
    return tuple(_apply(half, row) for row in half)


def write(blob: Blob, path: Path, advance: Callable[[int], None] | None = None) -> str:
    """Write a blob to a file that appears whole or not at all; return its sha256 in lower-case hex.

    The digest is computed in a second thread while the bytes are written. ``path`` gets a ``.part`` sibling until all
    is written; a killed run leaves only that, and the next one overwrites it. There is no fsync: whoever uses the file
    checks its digest first, and waiting for the disk costs more than making the archive.

    Raises:
        OSError: the disk refuses; the part is removed.
    """
    part = path.with_name(path.name + ".part")
    digest = hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("wb", buffering=0) as stream, ThreadPoolExecutor(1) as hasher:
            for chunk in _even(blob.chunks()):
                hashed = hasher.submit(digest.update, chunk)
                view = memoryview(chunk)
                while view:  # a raw write may take fewer bytes than it was given
                    view = view[stream.write(view) :]
                hashed.result()  # before the next chunk: the source may give this one's memory back
                if advance is not None:
                    advance(len(chunk))
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return digest.hexdigest()


def _even(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Join small chunks and cut large ones, so that each write and each hash call is worth its cost."""
    small: list[bytes | memoryview] = []
    held = 0
    for chunk in chunks:
        if len(chunk) >= CHUNK_BYTES // 8:
            if small:
                yield b"".join(small)
                small, held = [], 0
            for start in range(0, len(chunk), CHUNK_BYTES):
                yield chunk[start : start + CHUNK_BYTES]
            continue
        small.append(chunk)
        held += len(chunk)
        if held >= CHUNK_BYTES // 8:
            yield b"".join(small)
            small, held = [], 0
    if small:
        yield b"".join(small)
