"""Where a model comes from: one Protocol, two origins (a hub, a folder).

Both promise the same: ``pin`` names the revision once, ``read`` and ``download`` give the bytes of that
revision and no other, and every byte was checked against the digest in the pin before a caller sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from release_tool.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from release_tool.core.plan import PlannedFile, RemoteCode

MAX_READ_BYTES = 32 * 1024 * 1024
"""Bytes: ``read`` is for configuration, tokenizers and cards; weights are downloaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """A source at one revision."""

    model_id: str
    """``org/name`` as the hub spells it; ``local/<folder name>`` for a folder."""
    revision: str
    """40-hex commit, or ``sha256:<hex>`` over the files of a folder."""
    requested_revision: str | None
    files: tuple[PlannedFile, ...]
    """Only what a release takes (``core.snapshot_files``), sorted by path."""
    remote_code: tuple[RemoteCode, ...] = ()
    """Python files, the model's own and other repositories'; empty unless the model asks for code."""


class Source(Protocol):
    """One model, wherever it lies."""

    origin: str
    """``hub`` or ``folder``."""

    def pin(self) -> Pinned:
        """Name the revision and its files; asks the hub once, later calls return the same.

        Raises:
            SourceError: its subclasses say what is wrong.
            Unreachable: no answer after retries.
        """

    def read(self, path: str) -> bytes | None:
        """Return a small file at the pinned revision, ``None`` when there is none.

        Raises:
            SourceError: it is larger than ``MAX_READ_BYTES``.
            IntegrityError: the bytes are not those of the digest.
        """

    def head(self, file: PlannedFile, count: int) -> bytes:
        """Return the first bytes of a file of the pin, at most ``count``: a part that no digest covers.

        Raises:
            SourceError: it is gone.
            Unreachable: no answer after retries.
        """

    def listing(self) -> tuple[PlannedFile, ...]:
        """Return every file of the source, also those that a release does not take, sorted by path."""

    def download(self, files: tuple[PlannedFile, ...], folder: Path, progress: Callable[[int], None]) -> None:
        """Put files into a folder, checked; those that are there and right are kept.

        Args:
            files: of the pin, or of a plan that was made from it.
            folder: where they go; only whole, checked files get their name.
            progress: told the bytes of each part of the work as it is done.

        Raises:
            IntegrityError: bytes that are not those of the digest; the bad file is gone.
            Unreachable: broken off; what has arrived is kept and a second call goes on.
        """

    def download_code(self, code: tuple[RemoteCode, ...], folder: Path, progress: Callable[[int], None]) -> None:
        """Put code of other repositories below ``folder``/remote_code; as ``download``."""


def check_readable(path: str, size: int) -> None:
    """Refuse to hold a large file in memory.

    Raises:
        SourceError: it is larger than ``MAX_READ_BYTES``.
    """
    if size > MAX_READ_BYTES:
        raise SourceError(
            f"{path} has {size:,} bytes; configuration and tokenizer files end at {MAX_READ_BYTES:,}.",
            hint="This is no file that plan can read; look at what the model holds there.",
        )
