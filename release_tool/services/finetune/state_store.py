"""The state of a run in a bucket, S3 or a folder: another machine goes on where a lost one stopped.

What a stage had finished goes there at its end, and while it runs from time to time; so do the plan and what was paid
for. Nothing is taken from there but for the very fingerprint that a stage has today.
"""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING

from release_tool.core.codec import DocumentFault, decode_text, encode_text
from release_tool.core.finetune.state_log import FolderChange, KeptFile, KeptFolder, StateEntry, apply
from release_tool.documents import file_sha256, write_atomic
from release_tool.errors import IntegrityError
from release_tool.run_folder import BEGUN, PAID, PLAN, SCRATCH, STATE, WHOLE
from release_tool.services.bucket import Taken
from release_tool.services.finetune.state_claim import HeldClaim, lost
from release_tool.services.finetune.state_pieces import Receiver, Sender

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from release_tool.services.bucket import Bucket

LOG = "log/"
JSON = "application/json"
MAX_ENTRY = 256 << 20
RUN = ""
"""The folder of the run itself: its plan, and what was paid for."""


@dataclass
class StateStore:
    """The state of one run; methods may be called from two threads."""

    bucket: Bucket
    path: Path
    """Of the run here."""
    claim: HeldClaim
    entries: int = 0
    kept: dict[str, KeptFolder] = field(default_factory=dict)
    _seen: dict[Path, tuple[int, int, int]] = field(default_factory=dict)
    """File → inode, size and time of change when it was last sent or brought."""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def load(self) -> None:
        """Read the log.

        Raises:
            IntegrityError: an entry is none, or one is missing.
            PublishError: the store refused.
            Unreachable: it did not answer.
        """
        for key in self.bucket.keys(LOG):
            if key != self._key(self.entries + 1):
                raise IntegrityError(f"The log at {self.bucket.address} has no entry {self.entries + 1}.", hint=ANEW)
            apply(self.kept, self._entry(key))
            self.entries += 1

    def bring_run(self) -> None:
        """Bring what was paid for, and the plan where there is none here."""
        with self._lock:
            folder = self.kept.get(RUN, KeptFolder())
            ours = {name: file for name, file in folder.files.items() if name == PLAN or name.startswith(f"{PAID}/")}
            wanted = {name: file for name, file in ours.items() if not (self.path / name).is_file()}
            self._bring(RUN, wanted)

    def bring_stage(self, name: str, mark: str) -> bool:
        """Bring what a stage had finished elsewhere for this very fingerprint; tell whether that was the whole stage.

        Args:
            name: its folder.
            mark: the fingerprint that it has today.

        Raises:
            IntegrityError: a file that arrives is not what the log says.
            MachineError: the disk is full.
            PublishError: the store refused.
            Unreachable: it did not answer.
        """
        with self._lock:
            kept = self.kept.get(name)
            if kept is None or kept.mark != mark or not kept.files:
                return False
            folder = self.path / name
            begun = folder / BEGUN
            if not begun.is_file() or begun.read_text(encoding="utf-8") != mark:
                shutil.rmtree(folder, ignore_errors=True)
                write_atomic(begun, mark)
            whole = STATE in kept.files
            if whole:
                self._clear(folder, kept)
            # What says that others are whole comes last: a kill before it leaves nothing that would be taken.
            order = sorted(kept.files, key=lambda one: (one.endswith((STATE, WHOLE)), one))
            self._bring(name, {one: kept.files[one] for one in order if not (folder / one).is_file()})
            return whole

    def push(self, *names: str) -> None:
        """Send what is new in some folders; nothing new is no request.

        Raises:
            WorkFolderBusy: another command has taken over.
            PublishError: the store refused.
            Unreachable: it did not answer; nothing here is lost.
        """
        with self._lock:
            sender, changes, seen = Sender(self.bucket), {}, {}
            for name in dict.fromkeys(names):
                change, states = self._change(name, sender)
                if change is not None:
                    changes[name] = change
                seen.update(states)
            sender.flush()
            changes = {name: self._filled(name, change, sender.sent) for name, change in changes.items()}
            changes = {name: one for name, one in changes.items() if one.files or one.gone}
            if changes:
                self._append(StateEntry(by=self.claim.claim.id, folders=changes))
            self._seen.update(seen)

    def _change(self, name: str, sender: Sender) -> tuple[FolderChange | None, dict[Path, tuple[int, int, int]]]:
        folder = self.path / name
        mark = "" if name == RUN else _text(folder / BEGUN)
        if name != RUN and not mark:
            return None, {}
        kept = self.kept.get(name, KeptFolder())
        known = kept.files if kept.mark == mark else {}
        seen, files = {}, dict.fromkeys(_files(folder, name))
        for one in files:
            path = folder / one
            state = _state(path)
            if state is None or (one in known and self._seen.get(path) == state):
                continue
            with suppress(FileNotFoundError):  # a checkpoint that was swept in this moment
                if one not in known or known[one].sha256 != file_sha256(path):
                    sender.add(f"{name}/{one}", path)
                seen[path] = state
        gone = tuple(one for one in known if one not in files) if name != RUN else ()
        return FolderChange(mark=mark, gone=gone), seen

    def _filled(self, name: str, change: FolderChange, sent: dict[str, KeptFile]) -> FolderChange:
        start = f"{name}/"
        files = {path.removeprefix(start): file for path, file in sent.items() if path.startswith(start)}
        # A checkpoint whose mark went while it was read was being removed.
        there = {path: file for path, file in files.items() if not _can_be_made_again(self.path / name, path)}
        return FolderChange(mark=change.mark, files=there, gone=change.gone)

    def _append(self, entry: StateEntry) -> None:
        data = encode_text(entry).encode()
        key = self._key(self.entries + 1)
        try:
            self.bucket.write(key, data, match=None, content_type=JSON)
        except Taken:
            found = self.bucket.read(key, MAX_ENTRY)
            if found is None or found[0] != data:  # else an answer was lost, and the entry is there
                raise lost(self.bucket) from None
        self.entries += 1
        apply(self.kept, entry)

    def _entry(self, key: str) -> StateEntry:
        found = self.bucket.read(key, MAX_ENTRY)
        try:
            if found is not None:
                return decode_text(StateEntry, found[0].decode())
        except (DocumentFault, UnicodeDecodeError) as error:
            raise IntegrityError(f"{key} of {self.bucket.address} is no entry of a log: {error}", hint=ANEW) from error
        raise IntegrityError(f"{key} of {self.bucket.address} is gone.", hint=ANEW)

    @staticmethod
    def _key(number: int) -> str:
        return f"{LOG}{number:08}.json"

    def _clear(self, folder: Path, kept: KeptFolder) -> None:
        """Remove what is not of the finished stage: another machine may have made other bytes."""
        for one in _files(folder, folder.name):
            file = kept.files.get(one)
            path = folder / one
            if file is None or path.stat().st_size != file.size or file_sha256(path) != file.sha256:
                path.unlink()
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)

    def _bring(self, name: str, files: dict[str, KeptFile]) -> None:
        receiver = Receiver(self.bucket)
        for one, file in files.items():
            path = self.path / name / one
            receiver.bring(one, file, path)
            state = _state(path)
            if state is not None:
                self._seen[path] = state


ANEW = "Name another place with --state; what lies in --work is not lost."


def _files(folder: Path, name: str) -> Iterator[str]:
    """Yield the paths of a folder that are kept elsewhere: what is whole, and nobody can make again for nothing."""
    if name == RUN:
        if (folder / PLAN).is_file():
            yield PLAN
        places = (folder / PAID,)
    else:
        places = (folder,)
    for place in places:
        for path in sorted(place.rglob("*")):
            one = path.relative_to(folder).as_posix()
            hidden = path.name.startswith(".") and path.name.endswith(".part")
            if hidden or one == BEGUN or _can_be_made_again(folder, one):
                continue
            if path.is_file():
                yield one


def _can_be_made_again(folder: Path, one: str) -> bool:
    """Tell whether a file lies in scratch and in no folder that is whole."""
    if not one.startswith(f"{SCRATCH}/"):
        return False
    places = takewhile(lambda place: place != folder / SCRATCH, (folder / one).parents)
    return not any((place / WHOLE).is_file() for place in places)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
