"""Ask archives the probes in rings on this machine: each in fresh processes, side by side, as soon as it is written."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.steps.answering import Oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from release_tool.global_options import Context
    from release_tool.steps.measuring import Answered, Target

PARALLEL_RINGS = 2
"""Archives at once: each is served on one thread, as the server does."""
ROOM_PER_ARCHIVE = 3
"""Memory that serving takes, in sizes of the archive: the file, the graph's weights, what it computes with."""
ROOM_BESIDE_EXPORT = 6
"""The same where export and oracle still have the model loaded."""


class Rings:
    """The rings that one command asks; an archive that is being asked already is not asked twice.

    Leaving the context after an error, or because the command was asked to end, ends what runs.
    """

    def __init__(self, context: Context) -> None:
        from concurrent.futures import ThreadPoolExecutor

        from release_tool.services.ring_processes import Running

        self._running = Running()
        self._context = context
        self._pool = ThreadPoolExecutor(max_workers=PARALLEL_RINGS)
        self._started: dict[tuple[str, str, str, str], Future[Answered]] = {}

    def __enter__(self) -> Self:
        """Return itself; nothing runs yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Drop what has not begun, and what has when nobody will ask for it."""
        if error is not None:
            self._running.end()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def start(self, target: Target, ring: str) -> None:
        """Begin with an archive while others are still being written, where there is memory for it."""
        if fits([target], ROOM_BESIDE_EXPORT):
            self._started[_key(target, ring)] = self._submit(target, ring, alone=False)

    def ask(self, wanted: list[tuple[Target, str]]) -> list[Answered]:
        """Return what each archive answers, in order; the first error is raised when all are done.

        Raises:
            MachineError, MissingExtra: a ring can't work here.
        """
        new = [(target, ring) for target, ring in wanted if _key(target, ring) not in self._started]
        if not fits(sorted((target for target, _ in new), key=_size)[-PARALLEL_RINGS:], ROOM_PER_ARCHIVE):
            for target, ring in new:
                self._started[_key(target, ring)] = future = self._submit(target, ring, alone=True)
                future.exception()
        else:
            for target, ring in new:
                self._started[_key(target, ring)] = self._submit(target, ring, alone=len(wanted) == 1)
        futures = [self._started.pop(_key(target, ring)) for target, ring in wanted]
        for future in futures:
            future.exception()
        return [future.result() for future in futures]

    def _submit(self, target: Target, ring: str, *, alone: bool) -> Future[Answered]:
        from release_tool.console import Console
        from release_tool.services.cache import cache_folder
        from release_tool.steps.measuring import ask

        console = self._context.console
        # Bars of several processes would draw over each other.
        told = console if alone else Console(stream=console.stream, env=console.env, verbosity=-1)
        return self._pool.submit(ask, target, ring, console=told, cache=cache_folder(os.environ), running=self._running)


def _key(target: Target, ring: str) -> tuple[str, str, str, str]:
    return target.bundle.artifact, ring, target.bundle.archive.sha256, target.probes.sha256


def _size(target: Target) -> int:
    return target.bundle.archive.size


def fits(targets: list[Target], room: int) -> bool:
    """Tell whether these archives can be served side by side in the memory that is free."""
    from release_tool.services.processes import available_memory

    free = available_memory()
    return free is None or room * sum(_size(target) for target in targets) <= free


@dataclass(frozen=True, slots=True)
class Beside:
    """What works beside the export and beside each other, from one step of a command into the next."""

    oracle: Oracle
    rings: Rings


@contextmanager
def beside(context: Context) -> Iterator[Beside]:
    """Give an oracle and rings that end with the command."""
    with Oracle(context) as oracle, Rings(context) as rings:
        yield Beside(oracle, rings)
