"""The cache folder of this tool, locks between its processes, and files shared by hard link.

Promises: a lock belongs to a process and ends with it, however it ends; ``share_file`` leaves a whole file or none.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CROSS_DEVICE = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP})
"""Why a hard link may be impossible where a copy is: another file system, no links there, too many of them."""


def cache_folder(env: Mapping[str, str]) -> Path:
    """Return the cache: RELEASE_TOOL_CACHE, else XDG_CACHE_HOME/release-tool, else ~/.cache/release-tool."""
    if env.get("RELEASE_TOOL_CACHE"):
        return Path(env["RELEASE_TOOL_CACHE"]).expanduser().absolute()
    # The base directory specification: a relative XDG_CACHE_HOME is to be ignored.
    base = env.get("XDG_CACHE_HOME", "")
    if base.startswith("/"):
        return Path(base) / "release-tool"
    return Path("~/.cache/release-tool").expanduser()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes of this tool wait for; a killed process lets go of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def share_file(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``: a hard link, or a copy where there can be none.

    Raises:
        OSError: neither works (disk full, no permission).
    """
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in CROSS_DEVICE:
            raise
        temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            shutil.copyfile(source, temporary)
            shutil.copymode(source, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def share_tree(source: Path, target: Path) -> None:
    """Make a folder whose files are those of ``source``, see ``share_file``; the folders are new ones."""
    target.mkdir(mode=0o755, exist_ok=True)
    for entry in os.scandir(source):
        if entry.is_dir(follow_symlinks=False):
            share_tree(Path(entry.path), target / entry.name)
        elif entry.is_symlink():
            (target / entry.name).symlink_to(Path(entry.path).readlink())
        else:
            share_file(Path(entry.path), target / entry.name)
