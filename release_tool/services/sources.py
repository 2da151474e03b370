"""Where a model comes from: one Protocol, two origins (a hub, a folder).

Both promise the same: ``pin`` names the revision once, ``read`` and ``download`` give the bytes of that
revision and no other, and every byte was checked against the digest in the pin before a caller sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from release_tool.errors import ModelNotFound, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

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


def open_source(
    model: str | Path,
    *,
    revision: str | None,
    model_id: str | None = None,
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
) -> Source:
    """Return the source behind the MODEL that a person gave.

    Args:
        model: a folder here, or ``org/name`` on the hub.
        revision: branch, tag or commit; for a folder ``None``, or the ``sha256:`` revision that it
            must still have.
        model_id: what to call a folder instead of ``local/<folder name>``; a hub's models have their own.
        allow_pickle: take pickle weights where there is nothing better.
        trust_remote_code: take the Python files that the model asks for.

    Raises:
        ModelNotFound: the text looks like a path and no folder is there.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        from release_tool.services.folder import FolderSource

        return FolderSource(
            path,
            revision=revision,
            model_id=model_id,
            allow_pickle=allow_pickle,
            trust_remote_code=trust_remote_code,
        )
    text = str(model)
    if isinstance(model, Path) or text.startswith((".", "/", "~")) or path.exists():
        raise ModelNotFound(
            f"{text!r} is no folder here.", hint="Give the folder of a model, or an id such as org/name."
        )
    from release_tool.services.hub import HubSource

    return HubSource(text, revision=revision, allow_pickle=allow_pickle, trust_remote_code=trust_remote_code)


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
