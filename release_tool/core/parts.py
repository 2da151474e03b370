"""The parts in which a large file is sent, and the checksum that a store computes over them.

S3 keeps no sha256 over the whole of an object that came in parts; it keeps the sha256 over the parts' own digests,
``base64(sha256(d1 + d2 + ...))-N``. Part size and digests are fixed by the file alone, so the value can be foretold,
and what the store answers later can be checked against it.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

PART_BYTES = 16 << 20
"""At least 5 MiB (S3's limit); 10,000 parts of it are 160 GB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileParts:
    """One file as it was read once: its size, its sha256, and the sha256 of every part."""

    size: int
    sha256: str
    """Lower-case hex over the whole file."""
    part_size: int
    """Bytes of every part but the last."""
    parts: tuple[bytes, ...]
    """Raw digests, in order; one for an empty file."""

    @property
    def one(self) -> bool:
        """Whether it is sent in one request."""
        return len(self.parts) == 1

    def bounds(self, part: int) -> tuple[int, int]:
        """Return offset and length in bytes of a part, counted from 0."""
        offset = part * self.part_size
        return offset, max(0, min(self.part_size, self.size - offset))

    @property
    def checksum(self) -> str:
        """What S3 answers for ChecksumSHA256: of the bytes, or of the parts' digests with their number."""
        if self.one:
            return encoded(self.parts[0])
        return f"{encoded(hashlib.sha256(b''.join(self.parts)).digest())}-{len(self.parts)}"


def encoded(digest: bytes) -> str:
    """Return a digest as S3 writes it: base64."""
    return base64.b64encode(digest).decode("ascii")


def of_bytes(data: bytes) -> FileParts:
    """Return the parts of bytes in memory."""
    pieces = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)] or [b""]
    return FileParts(
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        part_size=PART_BYTES,
        parts=tuple(hashlib.sha256(piece).digest() for piece in pieces),
    )
