"""Keep the state of a run elsewhere while it goes on: a thread says that this command lives, another sends."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from release_tool.errors import PublishError, ReleaseError, Unreachable, WorkFolderBusy
from release_tool.services.finetune.state_claim import BEAT_SECONDS, HeldClaim
from release_tool.services.finetune.state_store import RUN, StateStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from release_tool.core.finetune.stages import Stage
    from release_tool.services.bucket import Bucket

PUSH_SECONDS = 60
"""What a lost machine loses at most, beside what the stage has not written yet."""


STOP = signal.SIGUSR1
"""Interrupts this command where it stands. Not SIGINT: a command in the background of a shell's script ignores that."""


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@dataclass
class StateKeeper:
    """What the stages say to the store."""

    store: StateStore
    warn: Callable[[str], None]
    lost: WorkFolderBusy | None = None
    """Why this command must stop; set by a thread."""
    _folder: str = RUN
    _ended: threading.Event = field(default_factory=threading.Event)

    def bring(self, stage: Stage, mark: str) -> bool:
        """Bring what a stage had finished elsewhere; tell whether it is whole. See ``StateStore.bring_stage``."""
        return self.store.bring_stage(stage.folder, mark)

    def watch(self, stage: Stage) -> None:
        """Send what this stage finishes, from now on."""
        self._folder = stage.folder

    def push(self, *stages: Stage) -> None:
        """Send what is new of some stages, of the plan and of what was paid for; see ``StateStore.push``."""
        self.store.push(RUN, *(stage.folder for stage in stages))

    def beat(self) -> None:
        """Say again and again that this command lives; one that was taken over is interrupted."""
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.store.claim.beat()
            except WorkFolderBusy as error:
                self.lost = error
                signal.pthread_kill(threading.main_thread().ident or 0, STOP)
                return
            except (Unreachable, PublishError) as error:  # the log holds others off, should this last
                self.warn(f"The claim at --state was not renewed: {error}")

    def send(self) -> None:
        """Send what is new again and again; what fails is tried at the next time, and at last at the stage's end."""
        while not self._ended.wait(PUSH_SECONDS):
            try:
                self.store.push(RUN, self._folder)
            except WorkFolderBusy as error:
                self.lost = error
                signal.pthread_kill(threading.main_thread().ident or 0, STOP)
                return
            except (ReleaseError, OSError) as error:  # a folder may go while it is looked through
                self.warn(f"--state is behind: {error}")

    def end(self) -> None:
        """Stop the threads."""
        self._ended.set()

    def last(self) -> None:
        """Send what a stage had finished that did not end well, if that can be done."""
        try:
            self.store.push(RUN, self._folder)
        except (ReleaseError, OSError) as error:
            self.warn(f"--state is behind: {error}")


@contextmanager
def keeping(
    bucket: Bucket,
    path: Path,
    command: str,
    *,
    take_over: bool,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> Iterator[StateKeeper]:
    """Take the claim on a run, bring what was paid for, and keep its state until the command ends.

    Args:
        bucket: where the state lies.
        path: of the run here.
        command: what is being done, for the words of those who come second.
        take_over: whether also a living claim is taken.
        say: tells a person of a claim that was taken over.
        warn: tells a person what is behind.

    Raises:
        WorkFolderBusy: another command works on the run, or has taken it over.
        IntegrityError: what lies there is no state, or was changed.
        PublishError: the store refused.
        Unreachable: it did not answer.
    """
    claim, before = HeldClaim.take(bucket, command, take_over=take_over)
    if before:
        say(f"The run was taken over from {before}.")
    keeper = StateKeeper(store=StateStore(bucket=bucket, path=path, claim=claim), warn=warn)
    threads = [threading.Thread(target=one, daemon=True) for one in (keeper.beat, keeper.send)]
    before_stop = signal.signal(STOP, _interrupt)
    try:
        keeper.store.load()
        keeper.store.bring_run()
        for thread in threads:
            thread.start()
        yield keeper
    except BaseException:
        if keeper.lost is not None:
            raise keeper.lost from None
        keeper.last()
        raise
    finally:
        keeper.end()
        for thread in threads:
            if thread.is_alive():
                thread.join()
        signal.signal(STOP, before_stop)
        if keeper.lost is None:
            with suppress(Unreachable, PublishError):  # it gets old by itself
                claim.release()
