"""A model in a folder of the user: read, never written; its revision is the digest of its files."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.bounded import NotReadable, read_bounded
from release_tool.core.digest import tree_digest
from release_tool.core.plan import PlannedFile, RemoteCode
from release_tool.core.snapshot_files import check_path, is_ignored, select
from release_tool.documents import disk_error, file_sha256
from release_tool.errors import IntegrityError, SourceError, UnsafeModel
from release_tool.services.checked_files import INCOMPLETE, SHA256, check_bytes, copy_or_share, hex_of, is_whole
from release_tool.services.sources import Pinned, check_readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ORIGIN = "folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A file as it was when it was hashed."""

    planned: PlannedFile
    real: Path
    inode: int
    modified_ns: int

    def is_same(self) -> bool:
        now = self.real.stat()
        return (now.st_ino, now.st_mtime_ns, now.st_size) == (self.inode, self.modified_ns, self.planned.size)


class FolderSource:
    """A folder as a source; see ``services.sources.Source``."""

    def __init__(
        self,
        folder: Path,
        *,
        revision: str | None = None,
        model_id: str | None = None,
        allow_pickle: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        self.origin = ORIGIN
        self.folder = folder
        self.revision = revision
        self.model_id = model_id or local_id(folder)
        self.allow_pickle = allow_pickle
        self.trust_remote_code = trust_remote_code
        self._files: dict[str, _Seen] | None = None
        self._pinned: Pinned | None = None

    def pin(self) -> Pinned:
        """Hash every file and choose those of a release.

        Raises:
            IntegrityError: the folder is not the one of the revision that was asked for.
            UnsafeModel: a link leaves the folder.
        """
        if self._pinned is None:
            files = self._scan()
            revision = SHA256 + tree_digest((path, hex_of(seen.planned.digest)) for path, seen in files.items())
            if self.revision not in (None, revision):
                raise IntegrityError(
                    f"The folder {self.folder} has changed: it was {self.revision}, now it is {revision}.",
                    hint="Run release-tool plan again, or bring the files back.",
                )
            selection = select(
                [seen.planned for seen in files.values()],
                self._read_any,
                model_id=self.model_id,
                allow_pickle=self.allow_pickle,
                trust_remote_code=self.trust_remote_code,
            )
            own = (
                RemoteCode(repo=self.model_id, revision=revision, path=file.path, digest=file.digest)
                for file in selection.own_code
            )
            self._pinned = Pinned(
                model_id=self.model_id,
                revision=revision,
                requested_revision=None,
                files=selection.files,
                remote_code=(*own, *_foreign_code(selection.code_repositories)),
            )
        return self._pinned

    def read(self, path: str) -> bytes | None:
        """Return a small file of the folder; see ``Source.read``."""
        self.pin()
        return self._read_any(path)

    def head(self, file: PlannedFile, count: int) -> bytes:
        """Return the first bytes of a file; see ``Source.head``."""
        seen = self._scan().get(file.path)
        if seen is None or not seen.is_same():
            raise _changed(file.path)
        with seen.real.open("rb") as stream:
            return stream.read(count)

    def listing(self) -> tuple[PlannedFile, ...]:
        """Return every file of the folder; see ``Source.listing``."""
        return tuple(seen.planned for seen in self._scan().values())

    def download(self, files: tuple[PlannedFile, ...], folder: Path, progress: Callable[[int], None]) -> None:
        """Link or copy files; see ``Source.download``.

        Raises:
            IntegrityError: the folder no longer holds a file as planned.
        """
        missing = []
        for file in files:
            check_path(file.path)
            if is_whole(folder / file.path, file):
                progress(file.size)
            else:
                missing.append(file)
        if not missing:
            return
        self.pin()
        for file in missing:
            seen = self._scan().get(file.path)
            if seen is None or seen.planned != file:
                raise _changed(file.path)
            _place(seen, folder, progress)

    def download_code(self, code: tuple[RemoteCode, ...], folder: Path, progress: Callable[[int], None]) -> None:
        """Get code of other repositories from the hub; see ``Source.download_code``."""
        foreign = tuple(item for item in code if item.repo != self.model_id)
        if foreign:
            from release_tool.services.hub_code import download_code

            download_code(foreign, folder, progress)

    def _read_any(self, path: str) -> bytes | None:
        seen = self._scan().get(path)
        if seen is None:
            return None
        check_readable(path, seen.planned.size)
        try:
            return check_bytes(seen.real.read_bytes(), path, seen.planned.digest)
        except IntegrityError as error:
            raise _changed(path) from error

    def _scan(self) -> dict[str, _Seen]:
        if self._files is None:
            root = self.folder.resolve()
            self._files = {path: _look(path, real) for path, real in sorted(_walk(root, root, "", (root,)))}
        return self._files


def local_id(folder: Path) -> str:
    """Return ``local/`` and the folder's name, or that of the fine-tuned model in it; hyphens for what can't be in one.

    Hand-over calls every folder ``model``: by that alone, two fine-tuned models would be releases of one.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", _tuned_name(folder) or folder.resolve().name)
    return "local/" + (re.sub(r"^[^A-Za-z0-9]+", "", name)[:96] or "model")


def _tuned_name(folder: Path) -> str | None:
    """Return the name of the model that hand-over wrote into a folder; null where there is none that can be read."""
    from release_tool.core.lineage import FILE, MAX_BYTES, read

    try:
        data = json.loads(read_bounded(folder / FILE, MAX_BYTES))
    except (OSError, NotReadable, ValueError, RecursionError):
        return None
    lineage = read(data) if isinstance(data, dict) else None
    return None if lineage is None else lineage.name


def _walk(root: Path, folder: Path, prefix: str, parents: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    """Yield (path, real path) of each file; a link to a folder above is skipped, one that leaves refused."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise SourceError(
            f"The folder {prefix or folder} can't be read: {error.strerror}.",
            hint="Bring the folder back where it was planned, or run release-tool plan with the place it has now.",
        ) from error
    for name in names:
        path = f"{prefix}{name}"
        if is_ignored(name):
            continue
        check_path(path)
        real = _inside(root, folder / name, path)
        if real.is_dir():
            if real not in parents:
                yield from _walk(root, real, f"{path}/", (*parents, real))
        else:
            yield path, real


def _inside(root: Path, entry: Path, path: str) -> Path:
    try:
        path.encode()
        real = entry.resolve(strict=True)
    except UnicodeEncodeError as error:
        raise UnsafeModel(f"The name of the file {path!r} is not UTF-8.", hint="Rename it.") from error
    except (OSError, RuntimeError) as error:
        raise SourceError(f"{path} is a link that leads nowhere.", hint="Remove it from the folder.") from error
    if not real.is_relative_to(root):
        raise UnsafeModel(
            f"{path} is a link out of the folder, to {real}.",
            hint="Copy the model with its files (cp -rL) and give that folder.",
        )
    return real


def _look(path: str, real: Path) -> _Seen:
    try:
        before = real.stat()
        if not stat.S_ISREG(before.st_mode):
            raise UnsafeModel(f"{path} is no regular file.", hint="Remove it from the folder.")
        digest = file_sha256(real)  # plan and fetch of one command look at the same files
        after = real.stat()
    except OSError as error:
        raise SourceError(f"{path} can't be read: {error.strerror}.", hint="Check its permissions.") from error
    if (before.st_ino, before.st_size, before.st_mtime_ns) != (after.st_ino, after.st_size, after.st_mtime_ns):
        raise _changed(path)
    planned = PlannedFile(path=path, size=after.st_size, digest=SHA256 + digest)
    return _Seen(planned=planned, real=real, inode=after.st_ino, modified_ns=after.st_mtime_ns)


def _changed(path: str) -> IntegrityError:
    return IntegrityError(
        f"{path} in the folder is not the file that was planned.",
        hint="Run release-tool plan again, or bring the file back.",
    )


def _place(seen: _Seen, folder: Path, progress: Callable[[int], None]) -> None:
    target = folder / seen.planned.path
    waiting = folder / INCOMPLETE / hex_of(seen.planned.digest)
    try:
        for place in (target, waiting):
            place.parent.mkdir(parents=True, exist_ok=True)
        waiting.unlink(missing_ok=True)
        copy_or_share(seen.real, waiting)
        if not waiting.samefile(seen.real) and not is_whole(waiting, seen.planned):
            waiting.unlink()
            raise _changed(seen.planned.path)
        if not seen.is_same():
            waiting.unlink()
            raise _changed(seen.planned.path)
        # rename(2) does nothing when both names are links to one file, so the old name goes first.
        target.unlink(missing_ok=True)
        waiting.replace(target)
    except OSError as error:
        raise disk_error(error, target) from error
    progress(seen.planned.size)


def _foreign_code(repositories: tuple[str, ...]) -> tuple[RemoteCode, ...]:
    if not repositories:
        return ()
    from release_tool.services.hub_code import pin_code

    return pin_code(repositories)
