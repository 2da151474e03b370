"""The snapshot: which bytes of the model every later step reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from release_tool.core.digest import tree_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file of the snapshot, as it lies in ``work/snapshot``."""

    path: str
    size: int
    sha256: str
    hub_digest: str | None
    """The hub's own digest that the bytes were checked against; null for a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSnapshot:
    """source.json."""

    SCHEMA: ClassVar[str] = "release-tool/source@1"
    FOLDER: ClassVar[str] = "snapshot"
    """Where the files lie, relative to the work folder."""

    schema: str = "release-tool/source@1"
    uses: dict[str, str] = field(default_factory=dict)
    model_id: str
    revision: str
    files: tuple[SourceFile, ...]

    @property
    def tree(self) -> str:
        """The sha256 over all (path, sha256) pairs; file order does not matter."""
        return tree_digest((file.path, file.sha256) for file in self.files)
