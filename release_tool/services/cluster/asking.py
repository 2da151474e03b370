"""Ask a model many questions: several at once, answers in the order of the questions, memory bounded.

Promises: at most ``WINDOW`` questions a thread are held; a server that can't now (429, 503, a connection that was cut)
is asked again with pauses that grow, by all threads together, for as long as ``patience`` says; a question that is
refused is an answer, too; what makes every further question vain ends the run with its error, after all answers that
stand before it.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from release_tool.errors import RemoteFailed, ServiceUnable, Unreachable
from release_tool.services.patience import was_cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

WINDOW = 4
"""Questions a thread that are read ahead: enough that none waits for a slow neighbour's turn to be written."""
FIRST_PAUSE = 0.25
LAST_PAUSE = 15.0
PATIENCE_SECONDS = 300.0
FATAL_STATUSES = frozenset({401, 403, 404})
"""Refusals that meet the next question, too: who one is, what one may, whether the model is there."""

_CHANCE = random.SystemRandom()

Question = TypeVar("Question")


class Turn(NamedTuple):
    """A question with what came of it: a reply, or the server's refusal."""

    question: Any
    reply: Any
    refused: RemoteFailed | None
    seconds: float
    """From the request that was answered to its answer."""


class Pace:
    """Slows all threads down together where the server says that it is asked too much."""

    def __init__(self, patience: float, tell: Callable[[str], None] | None = None) -> None:
        self.patience = patience
        self._tell = tell
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._ended = threading.Event()

    def end(self) -> None:
        """Let nobody wait any longer."""
        self._ended.set()

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self._ended.is_set()

    def wait(self) -> None:
        """Wait until the server may be asked again."""
        while not self._ended.is_set():
            left = self._not_before - time.monotonic()
            if left <= 0:
                return
            # Not all at the same moment: they would be refused together once more.
            self._ended.wait(left * _CHANCE.uniform(1.0, 1.3))

    def slow(self, pause: float) -> None:
        """Keep everybody from asking for a while."""
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + pause)

    def _tell_once(self, why: str) -> None:
        with self._lock:
            tell, self._tell = self._tell, None
        if tell is not None:
            tell(why)

    def ask(self, send: Callable[[], Any]) -> tuple[Any, float]:
        """Send until there is an answer; return it and the seconds that it took.

        Raises:
            RemoteFailed: the server refused.
            ServiceUnable, Unreachable: it still can't, or it is gone.
        """
        first, pause = time.monotonic(), FIRST_PAUSE
        while True:
            self.wait()
            started = time.monotonic()
            try:
                return send(), time.monotonic() - started
            except Unreachable as error:
                waitable = isinstance(error, ServiceUnable) or was_cut(error)
                if not waitable or self.ended or time.monotonic() + pause - first > self.patience:
                    raise
                self._tell_once(str(error))
            self.slow(pause)
            pause = min(LAST_PAUSE, pause * 2)


def ask_all(
    questions: Iterable[Question],
    send: Callable[[Question], Any],
    *,
    parallel: int,
    patience: float = PATIENCE_SECONDS,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Turn]:
    """Yield what comes of each question, in their order.

    Args:
        questions: read as they are needed.
        send: asks one; is called by several threads.
        parallel: how many at once.
        patience: seconds for which a question is asked again while the server can't.
        tell: gets the server's words when it can't for the first time.

    Raises:
        RemoteFailed: a refusal that would meet every question, see ``FATAL_STATUSES``.
        ServiceUnable, Unreachable: the server still can't, or it is gone.
    """
    pace = Pace(patience, tell)
    waiting: queue.SimpleQueue[tuple[Question, Future[tuple[Any, float]]] | None] = queue.SimpleQueue()
    held: deque[tuple[Question, Future[tuple[Any, float]]]] = deque()
    # Daemons: an interrupted run does not wait for answers that nobody reads.
    threads = [threading.Thread(target=_work, args=(waiting, send, pace), daemon=True) for _ in range(parallel)]
    for thread in threads:
        thread.start()
    try:
        for question in questions:
            held.append((question, Future()))
            waiting.put(held[-1])
            # What is there is given out at once: who reads along waits for no window to fill.
            while held and (len(held) >= parallel * WINDOW or held[0][1].done()):
                yield _turn(*held.popleft())
        while held:
            yield _turn(*held.popleft())
    finally:
        pace.end()
        for _ in threads:
            waiting.put(None)


def _work(waiting: queue.SimpleQueue[Any], send: Callable[[Any], Any], pace: Pace) -> None:
    while (taken := waiting.get()) is not None:
        question, future = taken
        if pace.ended:
            return
        try:
            future.set_result(pace.ask(lambda question=question: send(question)))  # type: ignore[misc]
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is taken
            future.set_exception(error)


def _turn(question: Any, future: Future[tuple[Any, float]]) -> Turn:
    try:
        reply, seconds = future.result()
    except RemoteFailed as error:
        if getattr(error, "status", 0) in FATAL_STATUSES:
            raise
        return Turn(question, None, error, 0.0)
    return Turn(question, reply, None, seconds)
