"""Files as pieces in a bucket, named by their digest: nothing is sent twice, and what arrives is checked."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from release_tool.core.digest import sha256_bytes
from release_tool.core.escape import one_line
from release_tool.core.finetune.state_log import KeptFile, Piece, file_problem
from release_tool.errors import IntegrityError
from release_tool.part_files import whole_file
from release_tool.services.bucket import Taken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from release_tool.services.bucket import Bucket

PIECE_BYTES = 16 << 20
"""What is in memory at once."""
SMALL_BYTES = 1 << 20
"""Smaller files share an object: 100,000 answers of some hundred bytes are few requests."""
BINARY = "application/octet-stream"


@dataclass
class Sender:
    """Sends files; small ones wait until ``flush``."""

    bucket: Bucket
    sent: dict[str, KeptFile] = field(default_factory=dict)
    """Name that the caller gave → what was sent, complete after ``flush``."""
    _waiting: list[tuple[str, bytes]] = field(default_factory=list)
    _bytes: int = 0

    def add(self, name: str, path: Path) -> None:
        """Send a file; one that is gone meanwhile is left out.

        Raises:
            PublishError: the store refused.
            Unreachable: it did not answer.
        """
        try:
            with path.open("rb") as stream:
                if os.fstat(stream.fileno()).st_size < SMALL_BYTES:
                    self._wait(name, stream.read())
                    return
                whole, size, pieces = hashlib.sha256(), 0, []
                while data := stream.read(PIECE_BYTES):
                    whole.update(data)
                    size += len(data)
                    pieces.append(Piece(sha256=self._put(data), offset=0, size=len(data)))
        except FileNotFoundError:
            return
        self.sent[name] = KeptFile(size=size, sha256=whole.hexdigest(), pieces=tuple(pieces))

    def flush(self) -> None:
        """Send what waits."""
        if not self._waiting:
            return
        digest, offset = self._put(b"".join(data for _, data in self._waiting)), 0
        for name, data in self._waiting:
            pieces = (Piece(sha256=digest, offset=offset, size=len(data)),) if data else ()
            self.sent[name] = KeptFile(size=len(data), sha256=sha256_bytes(data), pieces=pieces)
            offset += len(data)
        self._waiting, self._bytes = [], 0

    def _wait(self, name: str, data: bytes) -> None:
        self._waiting.append((name, data))
        self._bytes += len(data)
        if self._bytes >= PIECE_BYTES:
            self.flush()

    def _put(self, data: bytes) -> str:
        digest = sha256_bytes(data)
        with suppress(Taken):  # these very bytes are there
            self.bucket.write(key_of(digest), data, match=None, content_type=BINARY)
        return digest


@dataclass
class Receiver:
    """Brings files here; the last piece is kept, since small files lie side by side in one."""

    bucket: Bucket
    _last: tuple[str, bytes] = ("", b"")

    def bring(self, name: str, file: KeptFile, path: Path) -> None:
        """Write a file whole or not at all.

        Args:
            name: its path in the run, for messages.
            file: what it must be.
            path: where it goes.

        Raises:
            IntegrityError: it is not what the log says.
            MachineError: the disk is full.
            PublishError: the store refused.
            Unreachable: it did not answer.
        """
        problem = file_problem(name, file)
        if problem:
            raise _broken(name, problem)
        whole = hashlib.sha256()
        with whole_file(path) as stream:
            for data in self._bytes_of(name, file):
                whole.update(data)
                stream.write(data)
            if whole.hexdigest() != file.sha256:
                raise _broken(name, "its bytes are others")

    def _bytes_of(self, name: str, file: KeptFile) -> Iterator[bytes]:
        for piece in file.pieces:
            if self._last[0] != piece.sha256:
                # Small files together are less than two pieces.
                found = self.bucket.read(key_of(piece.sha256), 2 * PIECE_BYTES)
                if found is None or sha256_bytes(found[0]) != piece.sha256:
                    raise _broken(name, "a piece of it is gone" if found is None else "a piece of it was changed")
                self._last = (piece.sha256, found[0])
            yield self._last[1][piece.offset : piece.offset + piece.size]


def key_of(digest: str) -> str:
    """Return the key of a piece."""
    return f"pieces/{digest[:2]}/{digest}"


def _broken(name: str, problem: str) -> IntegrityError:
    return IntegrityError(
        f"{one_line(name)[:200]} can't be taken from --state: {problem}.",
        hint="Name another place with --state, and let the run make it again.",
    )
