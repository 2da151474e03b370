"""The state of a run that is kept elsewhere: a log of what was added, whose entries replayed say which files there are.

An entry is written once, under the next number; two writers can't both have it. The bytes of the files lie apart, by
their digest: large ones in pieces, small ones several in a piece.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

from release_tool.core.digest import SHA256_HEX

SEGMENT = re.compile(r"[^\x00-\x1f\x7f/\\]{1,255}")
MAX_PATH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes of a file, inside of an object."""

    sha256: str
    """Of the whole object, which is its name."""
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """One file."""

    size: int
    sha256: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderChange:
    """What became of one folder of a run."""

    mark: str = ""
    """Fingerprint with which the stage was begun; another one than before empties the folder first."""
    files: dict[str, KeptFile] = field(default_factory=dict)
    """Path → what is there now."""
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEntry:
    """One entry of the log."""

    SCHEMA: ClassVar[str] = "release-tool/finetune-state-entry@1"

    schema: str = "release-tool/finetune-state-entry@1"
    by: str
    """The claim under which it was written."""
    folders: dict[str, FolderChange]
    """Folder of a stage, or "" for the run's own → its change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who works on a run."""

    SCHEMA: ClassVar[str] = "release-tool/finetune-claim@1"

    schema: str = "release-tool/finetune-claim@1"
    id: str
    """Random, new with every command."""
    machine: str
    command: str
    beats: int
    """Raised while the command lives: the object gets younger with it."""


@dataclass(slots=True)
class KeptFolder:
    """What is known of one folder after some entries."""

    mark: str = ""
    files: dict[str, KeptFile] = field(default_factory=dict)


def apply(state: dict[str, KeptFolder], entry: StateEntry) -> None:
    """Change what is known by one entry."""
    for name, change in entry.folders.items():
        folder = state.setdefault(name, KeptFolder(mark=change.mark))
        if folder.mark != change.mark:
            folder.mark, folder.files = change.mark, {}
        for path in change.gone:
            folder.files.pop(path, None)
        folder.files.update(change.files)


def file_problem(path: str, file: KeptFile) -> str:
    """Say why a file of an entry is none; "" where it is one. Others may write where the state lies."""
    if len(path) > MAX_PATH or not all(SEGMENT.fullmatch(one) and one not in (".", "..") for one in path.split("/")):
        return "its path leads elsewhere"
    digests = (file.sha256, *(piece.sha256 for piece in file.pieces))
    if not all(SHA256_HEX.fullmatch(digest) for digest in digests):
        return "a digest of it is none"
    if any(piece.offset < 0 or piece.size < 0 for piece in file.pieces):
        return "a piece of it lies nowhere"
    return "" if sum(piece.size for piece in file.pieces) == file.size else "its pieces are not as long as it is"
