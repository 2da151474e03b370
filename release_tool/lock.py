"""One command at a time writes into a work folder; a second one ends at once and says who is there.

The lock is the kernel's own (flock) on a file inside the folder: whoever is killed lets go of it, whatever the file
still says. The words in the file only tell the second command whom it met. The file is gone when nobody writes.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from release_tool.errors import WorkFolderBusy
from release_tool.leftovers import sweep_work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_FILE = ".lock-of-release-tool"
WORK_FOLDER = "work folder (--work)"
REPOSITORY = "repository (--repo)"
MAX_NOTE_BYTES = 1000
NOTE_WORD = re.compile(r"[\w:. -]{1,60}")
"""What a command and a time look like; the file may have been written by anybody."""


@contextmanager
def hold(folder: Path, command: str, *, named: str = WORK_FOLDER) -> Iterator[float]:
    """Keep others from writing into a work folder, or a repository; make the folder if need be.

    Gives the time since when it is held, in seconds of the file system's own clock: files of a writer that are older
    are nobody's any more. Those of a work folder are removed.

    Args:
        folder: the work folder. If it was made here and nothing was put into it, it is removed again.
        command: what is being done, for the words of those who come second.
        named: what the folder is, with the option that names it in brackets, for the same words.

    Raises:
        WorkFolderBusy: another command writes into it.
        OSError: the folder can't be made or written to.
    """
    handle, made = _take(folder, named)
    try:
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        os.truncate(handle, 0)
        os.pwrite(handle, json.dumps({"command": command, "pid": os.getpid(), "since": now}).encode(), 0)
        since = os.fstat(handle).st_mtime
        if named == WORK_FOLDER:
            sweep_work(folder, since)
        yield since
    finally:
        # While the lock is held: who opened this file meanwhile sees that its name is gone, and begins anew.
        with suppress(OSError):
            (folder / LOCK_FILE).unlink(missing_ok=True)
        os.close(handle)
        with suppress(OSError):  # something lies in it
            for empty in made:
                empty.rmdir()


def _take(folder: Path, named: str) -> tuple[int, tuple[Path, ...]]:
    """Return the locked file's handle and the folders that were made for it, innermost first."""
    path = folder / LOCK_FILE
    while True:
        made = tuple(place for place in (folder, *folder.parents) if not place.exists())
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            # It was there for mkdir, and removed before mkdir looked what it is: anew. A file stays there.
            if _is_no_folder(folder):
                raise
            continue
        try:
            # A pipe of that name would not be waited for, a link not followed.
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        except FileNotFoundError:
            continue  # the folder was removed by one who found nothing to do
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note = os.pread(handle, MAX_NOTE_BYTES, 0)
            os.close(handle)
            raise _busy(folder, note, named) from None
        except BaseException:
            os.close(handle)
            raise
        if _is_still(path, handle):
            return handle, made
        os.close(handle)


def _is_no_folder(path: Path) -> bool:
    """Tell whether something other than a folder, a link that leads nowhere for one, has the name."""
    try:
        return not stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _is_still(path: Path, handle: int) -> bool:
    """Tell whether the name still leads to the locked file: the one before may have removed it just now."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _busy(folder: Path, note: bytes, named: str) -> WorkFolderBusy:
    try:
        found = json.loads(note)
        command, pid, since = str(found["command"]), int(found["pid"]), str(found["since"])
        known = bool(NOTE_WORD.fullmatch(command) and NOTE_WORD.fullmatch(since))
    except (ValueError, KeyError, TypeError):
        command, pid, since, known = "", 0, "", False
    what, option = named[:-1].split(" (")
    who = f"release-tool {command} (process {pid}, since {since})" if known else "Another release-tool command"
    return WorkFolderBusy(
        f"{who} is writing into the {what} {folder}.",
        hint=f"Wait until {f'process {pid}' if known else 'it'} has ended, or name another folder with {option}.",
    )
