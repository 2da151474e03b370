"""A folder as a bucket: the same promises as S3, kept by the file system.

An object appears whole by a hard link, which fails where the name exists; a replacement and a removal hold the folder's
lock while they look and act. The ETag is the sha256 of the bytes, computed from them whenever it is asked for.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from release_tool.core.digest import CHUNK_BYTES
from release_tool.core.parts import of_bytes
from release_tool.documents import disk_error, file_sha256
from release_tool.errors import IntegrityError, PublishError
from release_tool.services.bucket import Stored, Taken, check_key, too_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from release_tool.core.parts import FileParts

ARRIVING = ".arriving"
"""Files that are being written; no key can begin with a dot."""
LOCK = ".lock"


class FolderBucket:
    """Objects are the files below a folder; see ``services.bucket.Bucket`` for what each method promises."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @property
    def address(self) -> str:
        """``file:///…``."""
        return self.folder.as_uri()

    def head(self, key: str) -> Stored | None:
        """Return what is known of an object; its bytes are read."""
        path = self._path(key)
        with _named(key):
            if _size(path, key) is None:
                return None
            try:
                sha256 = file_sha256(path)
                found = path.stat()
            except FileNotFoundError:  # removed in this very moment
                return None
        return _stored(key, found.st_size, sha256, age=_age(found))

    def read(self, key: str, limit: int) -> tuple[bytes, Stored] | None:
        """Return an object's bytes."""
        path = self._path(key)
        with _named(key):
            if _size(path, key) is None:
                return None
            try:
                with path.open("rb") as stream:
                    found = os.fstat(stream.fileno())
                    data = stream.read(limit + 1)
            except FileNotFoundError:
                return None
        if len(data) > limit:
            raise too_large(key, self.address, limit)
        return data, _stored(key, len(data), of_bytes(data).sha256, age=_age(found))

    def digest(self, key: str) -> str | None:
        """Return the sha256 of an object's bytes."""
        found = self.head(key)
        return None if found is None else found.etag

    def write(self, key: str, data: bytes, *, match: str | None, content_type: str) -> Stored:  # noqa: ARG002
        """Write a small object."""
        return self._put(key, [data], of_bytes(data), match)

    def send(
        self,
        key: str,
        path: Path,
        file: FileParts,
        *,
        match: str | None,
        content_type: str,  # noqa: ARG002 - files have none
        advance: Callable[[int], None] = lambda _: None,
    ) -> Stored:
        """Copy a file into the folder."""

        def chunks() -> Iterator[bytes]:
            with path.open("rb") as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    yield chunk
                    advance(len(chunk))

        return self._put(key, chunks(), file, match)

    def remove(self, key: str, *, match: str) -> None:
        """Remove an object."""
        if self.head(key) is None:
            return
        with _named(key), self._locked():
            found = self.head(key)
            if found is None:
                return
            if found.etag != match:
                raise Taken
            self._path(key).unlink()

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield keys in order."""
        found: list[str] = []

        def fail(error: OSError) -> None:
            if not (isinstance(error, FileNotFoundError) and error.filename == str(self.folder)):
                raise error

        with _named(prefix):
            for top, folders, files in os.walk(self.folder, onerror=fail):
                folders[:] = [name for name in folders if not name.startswith(".")]
                at = Path(top).relative_to(self.folder)
                found += [(at / name).as_posix() for name in files if not name.startswith(".")]
        yield from sorted(key for key in found if key.startswith(prefix))

    def _path(self, key: str) -> Path:
        return self.folder / check_key(key)

    def _put(self, key: str, chunks: Iterable[bytes], file: FileParts, match: str | None) -> Stored:
        path = self._path(key)
        with _named(key):
            if match is None and os.path.lexists(path):
                raise Taken
            with self._arriving() as (stream, temporary):
                digest = hashlib.sha256()
                for chunk in chunks:
                    stream.write(chunk)
                    digest.update(chunk)
                if digest.hexdigest() != file.sha256:
                    raise IntegrityError(f"{key}: the file changed after it was verified.", hint="Run the steps again.")
                stream.flush()
                os.fsync(stream.fileno())
                path.parent.mkdir(parents=True, exist_ok=True)
                self._appear(temporary, path, key, match)
            for folder in path.relative_to(self.folder).parents:
                _sync(self.folder / folder)
        return _stored(key, file.size, file.sha256)

    def _appear(self, temporary: Path, path: Path, key: str, match: str | None) -> None:
        if match is None:
            try:
                os.link(temporary, path)
            except FileExistsError:
                raise Taken from None
            return
        with self._locked():
            found = self.head(key)
            if found is None or found.etag != match:
                raise Taken
            temporary.replace(path)

    @contextmanager
    def _arriving(self) -> Iterator[tuple[BinaryIO, Path]]:
        """Open a temporary file, locked for as long as its writer lives, and sweep out those of the dead."""
        place = self.folder / ARRIVING
        place.mkdir(parents=True, exist_ok=True)
        for old in place.iterdir():
            _sweep(old)
        stream, temporary = _locked_file(place)
        try:
            with stream:
                yield stream, temporary
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self.folder / LOCK, "ab") as stream:  # noqa: PTH123 - a Path opens no better
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _stored(key: str, size: int, sha256: str, *, age: float | None = None) -> Stored:
    return Stored(key=key, size=size, etag=sha256, sha256=sha256, age=age)


def _age(found: os.stat_result) -> float:
    """Return seconds since the file got its name: a link and a renaming set this time, a writing before them not."""
    return max(0.0, time.time() - found.st_ctime)


def _size(path: Path, key: str) -> int | None:
    """Return a file's size, null where nothing has the name; whatever else is there is no absence."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise PublishError(f"{key} is no regular file.", hint="A bucket holds files only: look what lies there.")
    return found.st_size


@contextmanager
def _named(key: str) -> Iterator[None]:
    """Turn a refusal of the system into an error that names the key."""
    try:
        yield
    except OSError as error:
        translated = disk_error(error, Path(key))
        if translated is not error:
            raise translated from error
        raise PublishError(
            f"{key} can't be written or read: {error.strerror}.", hint="Check the folder of --to and its permissions."
        ) from error


def _locked_file(place: Path) -> tuple[BinaryIO, Path]:
    """Make a temporary file that others can tell from one whose writer is dead."""
    while True:
        handle, name = tempfile.mkstemp(dir=place)
        stream = os.fdopen(handle, "wb")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX)
            os.fchmod(handle, 0o644)
            if os.path.lexists(name):
                return stream, Path(name)
        except BaseException:
            stream.close()
            raise
        stream.close()  # swept out between its making and its lock


def _sweep(old: Path) -> None:
    with suppress(OSError), old.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        old.unlink()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
