"""The user's huggingface_hub cache, read when the hub may not be asked: files of one commit, with digests.

Only the layout with links is used: there a blob is named by the hub's own digest, so bytes can be checked. A
cache is never used while the hub can be asked, because it would hide a withdrawn token or a lost file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from release_tool.core.digest import SHA256_HEX
from release_tool.core.plan import PlannedFile
from release_tool.core.snapshot_files import check_path, is_ignored
from release_tool.documents import disk_error
from release_tool.errors import RevisionNotFound, Unreachable
from release_tool.services.checked_files import (
    GIT_SHA1,
    INCOMPLETE,
    SHA256,
    check_bytes,
    copy_or_share,
    damaged,
    hex_of,
    is_whole,
)
from release_tool.services.hub_files import COMMIT
from release_tool.services.sources import check_readable

if TYPE_CHECKING:
    from collections.abc import Mapping

OFFLINE_HINT = "Unset HF_HUB_OFFLINE, or load the model once with it unset so that the cache holds it."


def cache_folder(env: Mapping[str, str]) -> Path:
    """Return where huggingface_hub keeps models, by the same variables and defaults."""
    if env.get("HF_HUB_CACHE"):
        return Path(env["HF_HUB_CACHE"]).expanduser()
    if env.get("HF_HOME"):
        return Path(env["HF_HOME"]).expanduser() / "hub"
    base = Path(env["XDG_CACHE_HOME"]) if env.get("XDG_CACHE_HOME") else Path("~/.cache")
    return base.expanduser() / "huggingface" / "hub"


class CachedModel:
    """One model in the cache."""

    def __init__(self, model_id: str, env: Mapping[str, str]) -> None:
        self.model_id = model_id
        self.folder = cache_folder(env) / f"models--{model_id.replace('/', '--')}"

    def resolve(self, revision: str | None) -> str:
        """Return the commit that a branch or tag had when the cache was filled.

        Raises:
            RevisionNotFound: the cache does not know it.
        """
        name = revision or "main"
        if COMMIT.fullmatch(name):
            return name
        reference = self.folder / "refs" / name
        commit = reference.read_text().strip() if ".." not in name and reference.is_file() else ""
        if not COMMIT.fullmatch(commit):
            raise RevisionNotFound(
                f"Offline, and the cache does not know {name} of {self.model_id}.", hint=OFFLINE_HINT
            )
        return commit

    def files(self, commit: str) -> tuple[PlannedFile, ...]:
        """Return the files of a commit that the cache holds; perhaps not all that the hub has.

        Raises:
            Unreachable: none.
        """
        root = self.folder / "snapshots" / commit
        found = []
        for entry in sorted(root.rglob("*")):
            path = entry.relative_to(root).as_posix()
            blob = entry.resolve()
            if is_ignored(path) or not blob.is_file():
                continue
            check_path(path)
            kind = {True: SHA256, False: GIT_SHA1}[bool(SHA256_HEX.fullmatch(blob.name))]
            if kind == SHA256 or COMMIT.fullmatch(blob.name):
                found.append(PlannedFile(path=path, size=blob.stat().st_size, digest=kind + blob.name))
        if not found:
            raise Unreachable(f"Offline, and the cache does not hold {self.model_id} at {commit}.", hint=OFFLINE_HINT)
        return tuple(found)

    def read(self, commit: str, file: PlannedFile) -> bytes:
        """Return a small file, checked."""
        check_readable(file.path, file.size)
        return check_bytes((self.folder / "snapshots" / commit / file.path).read_bytes(), file.path, file.digest)

    def head(self, commit: str, file: PlannedFile, count: int) -> bytes:
        """Return the first bytes of a file."""
        with (self.folder / "snapshots" / commit / file.path).open("rb") as stream:
            return stream.read(count)

    def place(self, commit: str, file: PlannedFile, folder: Path) -> None:
        """Link or copy a file into a folder, checked.

        Raises:
            Unreachable: the cache does not hold it.
            IntegrityError: it holds other bytes under its name.
        """
        blob = (self.folder / "snapshots" / commit / file.path).resolve()
        if not blob.is_file():
            raise Unreachable(
                f"Offline, and {file.path} of {self.model_id} at {commit} is neither in the work folder "
                "nor in the cache.",
                hint=OFFLINE_HINT,
            )
        if not is_whole(blob, file):
            raise damaged(f"{file.path} in the cache", file.digest, "other bytes")
        target, waiting = folder / file.path, folder / INCOMPLETE / hex_of(file.digest)
        try:
            for place in (target, waiting):
                place.parent.mkdir(parents=True, exist_ok=True)
            waiting.unlink(missing_ok=True)
            copy_or_share(blob, waiting)
            target.unlink(missing_ok=True)
            waiting.replace(target)
        except OSError as error:
            raise disk_error(error, target) from error
