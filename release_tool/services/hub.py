"""A model on a hub: pinned to a commit once, downloaded at it, checked against the hub's own digests.

No cache of the user is read while the hub can be asked: what lies in one may be older than a withdrawn right or
a lost file. With HF_HUB_OFFLINE set nothing is asked, and the work folder or the cache at the pinned commit must
do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.plan import PlannedFile, RemoteCode
from release_tool.core.request import MODEL_ID_PATTERN
from release_tool.core.snapshot_files import Selection, check_path, select
from release_tool.errors import ModelNotFound, Unreachable
from release_tool.services.checked_files import is_whole
from release_tool.services.hub_cache import OFFLINE_HINT, CachedModel
from release_tool.services.hub_client import HubClient
from release_tool.services.hub_code import download_code, pin_code
from release_tool.services.hub_files import COMMIT, Download, list_files, read_file, read_head, resolve
from release_tool.services.sources import Pinned

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ORIGIN = "hub"


class HubSource:
    """One model of a hub as a source; see ``services.sources.Source``."""

    def __init__(
        self,
        model_id: str,
        *,
        revision: str | None = None,
        allow_pickle: bool = False,
        trust_remote_code: bool = False,
        client: HubClient | None = None,
    ) -> None:
        if not MODEL_ID_PATTERN.fullmatch(model_id):
            raise ModelNotFound(f"{model_id!r} is no model id.", hint="An id is org/name; a folder must exist here.")
        self.origin = ORIGIN
        self.model_id = model_id
        self.revision = revision
        self.allow_pickle = allow_pickle
        self.trust_remote_code = trust_remote_code
        self.client = client or HubClient()
        self._where: tuple[str, str] | None = None
        self._files: dict[str, PlannedFile] | None = None
        self._read: dict[str, bytes] = {}
        self._pinned: Pinned | None = None

    def pin(self) -> Pinned:
        """Resolve the revision and choose the files; see ``Source.pin``."""
        if self._pinned is None:
            model_id, commit = self._locate()
            selection = select(
                self._listing().values(),
                self._read_any,
                model_id=model_id,
                allow_pickle=self.allow_pickle,
                trust_remote_code=self.trust_remote_code,
            )
            self._pinned = Pinned(
                model_id=model_id,
                revision=commit,
                requested_revision=self.revision,
                files=selection.files,
                remote_code=self._code(selection, model_id, commit),
            )
        return self._pinned

    def read(self, path: str) -> bytes | None:
        """Return a small file at the pinned commit; see ``Source.read``."""
        return self._read_any(path)

    def head(self, file: PlannedFile, count: int) -> bytes:
        """Return the first bytes of a file by a ranged request; see ``Source.head``."""
        model_id, commit = self._locate()
        if self.client.offline:
            return CachedModel(model_id, self.client.env).head(commit, file, count)
        return read_head(self.client, model_id, commit, file, count)

    def listing(self) -> tuple[PlannedFile, ...]:
        """Return every file of the repository; see ``Source.listing``."""
        return tuple(self._listing().values())

    def download(self, files: tuple[PlannedFile, ...], folder: Path, progress: Callable[[int], None]) -> None:
        """Get what is missing or wrong in the folder; see ``Source.download``."""
        for file in files:
            check_path(file.path)
            if is_whole(folder / file.path, file):
                progress(file.size)
                continue
            (folder / file.path).unlink(missing_ok=True)
            model_id, commit = self._locate()
            if self.client.offline:
                CachedModel(model_id, self.client.env).place(commit, file, folder)
                progress(file.size)
            else:
                Download(self.client, model_id, commit, file, progress).into(folder)

    def download_code(self, code: tuple[RemoteCode, ...], folder: Path, progress: Callable[[int], None]) -> None:
        """Get code of other repositories; see ``Source.download_code``."""
        foreign = tuple(item for item in code if item.repo != self.model_id)
        download_code(foreign, folder, progress, self.client)

    def _locate(self) -> tuple[str, str]:
        """Return the id and the commit; a full commit needs no question."""
        if self._where is None:
            if self.client.offline:
                self._where = (
                    self.model_id,
                    CachedModel(self.model_id, self.client.env).resolve(self.revision),
                )
            elif self.revision is not None and COMMIT.fullmatch(self.revision):
                self._where = self.model_id, self.revision
            else:
                self._where = resolve(self.client, self.model_id, self.revision)
        return self._where

    def _listing(self) -> dict[str, PlannedFile]:
        if self._files is None:
            model_id, commit = self._locate()
            listed = (
                CachedModel(model_id, self.client.env).files(commit)
                if self.client.offline
                else list_files(self.client, model_id, commit)
            )
            self._files = {file.path: file for file in listed}
        return self._files

    def _read_any(self, path: str) -> bytes | None:
        file = self._listing().get(path)
        if file is None:
            return None
        if path not in self._read:
            model_id, commit = self._locate()
            self._read[path] = (
                CachedModel(model_id, self.client.env).read(commit, file)
                if self.client.offline
                else read_file(self.client, model_id, commit, file)
            )
        return self._read[path]

    def _code(self, selection: Selection, model_id: str, commit: str) -> tuple[RemoteCode, ...]:
        own = (
            RemoteCode(repo=model_id, revision=commit, path=file.path, digest=file.digest)
            for file in selection.own_code
        )
        if selection.code_repositories and self.client.offline:
            raise Unreachable(
                f"Offline, and {model_id} wants code from {', '.join(selection.code_repositories)}.",
                hint=OFFLINE_HINT,
            )
        return (
            *own,
            *(pin_code(selection.code_repositories, self.client) if selection.code_repositories else ()),
        )
