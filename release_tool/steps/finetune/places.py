"""Where a path of a recipe leads, and the digest of files there."""

from __future__ import annotations

from pathlib import Path


def place_of(folder: Path, path: str) -> Path:
    """Return a path of a recipe: it begins where the recipe lies, or with the home of a person."""
    try:
        return folder / Path(path).expanduser()
    except RuntimeError:  # ~name, and nobody is called so
        return folder / path


def digest_of(paths: list[Path]) -> str | None:
    """Return the digest over some files, their names included; null where one can't be read."""
    from release_tool.core.digest import tree_digest
    from release_tool.documents import file_sha256
    from release_tool.errors import UsageError

    try:
        return tree_digest((path.name, file_sha256(path)) for path in paths) if paths else None
    except (OSError, UsageError):
        return None
