"""Remote code: Python files of repositories that a model's configuration names, each pinned to a commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.plan import PlannedFile, RemoteCode
from release_tool.core.snapshot_files import check_path, code_path, is_ignored
from release_tool.errors import IntegrityError, UnsafeModel
from release_tool.services.checked_files import is_whole
from release_tool.services.hub_client import HubClient
from release_tool.services.hub_files import Download, list_files, resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NO_MODEL = ""
"""No repository has this id, so all code counts as another repository's."""


def pin_code(repositories: tuple[str, ...], client: HubClient | None = None) -> tuple[RemoteCode, ...]:
    """Return every Python file of the repositories, at the commit that each has now.

    Raises:
        SourceError: a repository can't be had.
        UnsafeModel: one holds no Python file.
    """
    hub = client or HubClient()
    found = []
    for repository in repositories:
        _, commit = resolve(hub, repository, None)
        files = [f for f in list_files(hub, repository, commit) if f.path.endswith(".py") and not is_ignored(f.path)]
        if not files:
            raise UnsafeModel(
                f"The model wants code from {repository}, which holds no Python file.",
                hint="Repair auto_map in the model's config.json.",
            )
        for file in files:
            check_path(file.path)
            found.append(RemoteCode(repo=repository, revision=commit, path=file.path, digest=file.digest))
    return tuple(found)


def download_code(
    code: tuple[RemoteCode, ...],
    folder: Path,
    progress: Callable[[int], None],
    client: HubClient | None = None,
) -> None:
    """Get code of other repositories, each at its commit; see ``Source.download_code``."""
    hub = client or HubClient()
    lists: dict[tuple[str, str], dict[str, int]] = {}
    for item in code:
        place = code_path(item, NO_MODEL)
        check_path(item.path)
        target = folder / place
        if target.is_file() and is_whole(target, _planned(item, target.stat().st_size)):
            continue
        key = (item.repo, item.revision)
        if key not in lists:
            lists[key] = {file.path: file.size for file in list_files(hub, *key)}
        if item.path not in lists[key]:
            raise IntegrityError(f"The hub lost {item.path} of {item.repo} at {item.revision}.")
        Download(hub, *key, _planned(item, lists[key][item.path]), progress).into(folder, place)


def _planned(item: RemoteCode, size: int) -> PlannedFile:
    return PlannedFile(path=item.path, size=size, digest=item.digest)
