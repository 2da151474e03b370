"""Files on disk against planned digests: git's blob sha1 for a hub's small files, sha256 for all others."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import stat
from typing import TYPE_CHECKING, Protocol

from release_tool.core.digest import CHUNK_BYTES
from release_tool.errors import IntegrityError

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.plan import PlannedFile

SHA256 = "sha256:"
GIT_SHA1 = "git-sha1:"
INCOMPLETE = ".incomplete"
"""Folder inside the target where unfinished files lie under the names of their digests."""


LINKED_FROM_BYTES = 16 * 1024 * 1024
"""Bytes: only weights are this large, and nobody edits weights in an editor."""
_FICLONE = 0x40049409
"""Linux: let two files share their blocks until one of them is written to."""


def copy_or_share(source: Path, target: Path) -> None:
    """Put a file's bytes under another name without a second copy of weights where that can be had.

    Small files are copied: whoever edits one in the snapshot must not edit the model it came from. Large ones share
    their blocks where the file system can do that, else their inode, else they are copied, too.
    """
    if source.stat().st_size >= LINKED_FROM_BYTES:
        if _clone(source, target):
            return
        try:
            target.hardlink_to(source)
        except OSError:
            pass  # another file system, another owner (protected_hardlinks), or no hard links at all
        else:
            return
    shutil.copyfile(source, target)


def _clone(source: Path, target: Path) -> bool:
    try:
        with source.open("rb") as reading, target.open("xb") as writing:
            fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
    except OSError:
        target.unlink(missing_ok=True)
        return False
    return True


class Hasher(Protocol):
    """What hashlib's objects have in common."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Return the digest in hex."""


def hasher_for(digest: str, size: int) -> Hasher:
    """Return a fresh hash of the digest's kind.

    Raises:
        IntegrityError: the digest is of no kind that a plan may hold.
    """
    if digest.startswith(SHA256):
        return hashlib.sha256()
    if digest.startswith(GIT_SHA1):
        # git hashes a header before the bytes: "blob <size>\0".
        return hashlib.sha1(b"blob %d\x00" % size, usedforsecurity=False)
    raise IntegrityError(f"{digest!r} is no digest that a plan may hold.", hint="Run release-tool plan again.")


def hex_of(digest: str) -> str:
    """Return the part of a digest after its kind."""
    return digest.partition(":")[2]


def is_whole(path: Path, planned: PlannedFile) -> bool:
    """Tell whether a regular file has exactly the planned bytes."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISREG(found.st_mode) or found.st_size != planned.size:
        return False
    hasher = hasher_for(planned.digest, planned.size)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest() == hex_of(planned.digest)


def check_bytes(data: bytes, path: str, digest: str) -> bytes:
    """Return the bytes when they are those of the digest.

    Raises:
        IntegrityError: they are not.
    """
    hasher = hasher_for(digest, len(data))
    hasher.update(data)
    if hasher.hexdigest() != hex_of(digest):
        raise damaged(path, digest, hasher.hexdigest())
    return data


def damaged(path: str, digest: str, found: str) -> IntegrityError:
    """Return the error for bytes that are not those of the digest."""
    kind, _, wanted = digest.partition(":")
    return IntegrityError(
        f"{path} is damaged: {kind} {found[:16]}… instead of {wanted[:16]}….",
        hint="The bad bytes were thrown away; run the command again to get the file anew.",
    )
