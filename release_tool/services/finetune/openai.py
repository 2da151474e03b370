"""The provider ``openai``: any service with OpenAI's chat completions, asked one by one or by a batch file.

Live: several questions are on their way at once, answers come in the order of the questions. An answer is stored
before it is looked at; one that can't be read is stored, counted and asked for again, under a key of its own.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from release_tool.core.finetune.answers import parse_answer
from release_tool.core.finetune.money import answer_tokens, tokens_of
from release_tool.core.finetune.writing import Answer, answer_key
from release_tool.core.server_address import address_problem, is_in_clear
from release_tool.errors import MissingExtra, Unreachable, UsageError
from release_tool.services.finetune.chat import ChatService
from release_tool.services.finetune.replies import Declined, Passing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from release_tool.core.finetune.money import Spending
    from release_tool.core.finetune.sections import QueriesSection
    from release_tool.core.finetune.writing import Provider, Question, Questions
    from release_tool.services.finetune.paid import PaidAnswer, PaidAnswers

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds before the first further try, doubled with each, where the server names none."""
AHEAD = 4
"""Questions that are read ahead, times those on their way: a slow answer does not hold up the others."""
IN_A_ROW = 8
"""Questions one after another that fail for want of the service, and no answer between: it is not there."""
_CHANCE = random.SystemRandom()
_KEY = re.compile(r"[\x21-\x7e]+")
"""What a header can carry; anything else would come back in a library's message, key and all."""


def open_service(
    section: QueriesSection, paid: PaidAnswers, spending: Spending, *, tell: Callable[[str], None]
) -> Provider:
    """Return the provider of a recipe.

    Args:
        section: endpoint, model and the rest.
        paid: where answers are kept.
        spending: the budget.
        tell: says how a batch is getting on.

    Raises:
        UsageError: the address is none, a key would travel in clear, or the variable holds none.
        MissingExtra: requests is not installed.
    """
    if find_spec("requests") is None:
        raise MissingExtra("finetune", "requests")
    problem = address_problem(section.endpoint)
    if problem:
        raise UsageError(f"queries.endpoint: {problem}.", hint="Such as https://llm.example.org/v1")
    service = ChatService(section, key=_key_of(section))
    if section.mode == "batch":
        from release_tool.services.finetune.openai_batch import Batches

        return Batches(service, paid, spending, tell=tell)
    return Live(service, paid, spending)


def _key_of(section: QueriesSection) -> str | None:
    """Return the key; null where the variable is not set: servers of one's own have none."""
    key = os.environ.get(section.key_variable, "").strip()
    if not key:
        return None
    if not _KEY.fullmatch(key):
        raise UsageError(
            f"{section.key_variable} holds signs that no key has.", hint="Look for spaces and line breaks in it."
        )
    if is_in_clear(section.endpoint):
        raise UsageError(
            f"The key in {section.key_variable} would travel unencrypted to queries.endpoint.",
            hint="Use https://, or take the variable out of the environment for a server that wants no key.",
        )
    return key


@dataclass
class Live:
    """Asks one by one."""

    service: ChatService
    paid: PaidAnswers
    spending: Spending
    first_pause: float = FIRST_PAUSE
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _fatal: BaseException | None = field(default=None, init=False)
    _failed: int = field(default=0, init=False)
    """Questions in a row that failed for want of the service."""
    _not_before: float = field(default=0.0, init=False)
    """Moment before which nothing is sent: one thread was told to wait, and so do all."""

    def answers(self, questions: Questions) -> Generator[Answer]:
        """Yield the answers; see ``Provider``.

        Raises:
            BudgetReached: it is; what is on its way is waited for and kept.
            UsageError: the service refuses the key or the model.
            Unreachable: it answers nobody.
        """
        section = self.service.section
        for question in questions:
            self._count_stored(question)
        waiting: deque[Future[Answer]] = deque()
        pool = ThreadPoolExecutor(section.parallel, thread_name_prefix="ask")
        try:
            for question in questions:
                waiting.append(pool.submit(self._asked, question))
                if len(waiting) >= section.parallel * AHEAD:
                    yield self._taken(waiting.popleft())
            while waiting:
                yield self._taken(waiting.popleft())
        finally:
            self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _asked(self, question: Question) -> Answer:
        """Answer a question; what ends the stage stops every thread before it sends another one."""
        try:
            return self._answer(question)
        except BaseException as error:
            with self._lock:
                self._fatal = self._fatal or error
            self._stop.set()
            raise

    def _taken(self, future: Future[Answer]) -> Answer:
        """Return an answer; one that was given up because the stage ends is none."""
        answer = future.result()
        if self._fatal is not None:
            raise self._fatal
        return answer

    def _count_stored(self, question: Question) -> None:
        """Count what was paid for a question before: the budget is that of the stage and not of this run of it."""
        for attempt in range(self.service.section.retries + 1):
            key = answer_key(self.service.section.model, question, self.service.parameters(), attempt)
            found = self.paid.get(key)
            if found is None:
                return
            self.spending.add(found.tokens_in, found.tokens_out)

    def _answer(self, question: Question) -> Answer:
        """Return the first readable answer to a question, or the last unreadable one, or why there is none."""
        sent = answered = 0
        left = self.service.section.retries
        raw: str | None = None
        attempt = 0
        while True:
            key = answer_key(self.service.section.model, question, self.service.parameters(), attempt)
            found = self.paid.get(key)
            if found is None:
                if attempt and left <= 0:
                    break
                left -= 1 if attempt else 0
                try:
                    found, left = self._bought(question, key, left)
                except (Passing, Declined) as error:
                    return Answer(id=question.id, raw=raw, error=error.reason, tokens_in=sent, tokens_out=answered,
                                  attempts=attempt)  # fmt: skip
            sent, answered, raw = sent + found.tokens_in, answered + found.tokens_out, found.raw
            attempt += 1
            if parse_answer(raw, question.n).queries or attempt > self.service.section.retries:
                break
        return Answer(id=question.id, raw=raw, tokens_in=sent, tokens_out=answered, attempts=attempt)

    def _bought(self, question: Question, key: str, left: int) -> tuple[PaidAnswer, int]:
        """Ask until there is an answer; return it, stored, and how many further tries are left."""
        pause = self.first_pause
        section = self.service.section
        expected = (
            tokens_of(question.system) + tokens_of(question.prompt),
            answer_tokens(question.n, section.max_tokens),
        )
        while True:
            self._wait()
            try:
                with self.spending.reserved(*expected):
                    found = self.service.ask(question)
                    self.paid.put(key, found)
                    self.spending.add(found.tokens_in, found.tokens_out)
            except Passing as error:
                self._told_to_wait(error.pause)
                if left <= 0:
                    self._count_failure(error)
                    raise
                left -= 1
                # Not for secrecy: so that threads that were refused together don't come back together.
                self._stop.wait(0 if error.pause is not None else pause * _CHANCE.uniform(0.5, 1))
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                with self._lock:
                    self._failed = 0
                return found, left

    def _wait(self) -> None:
        """Wait until the service wants to hear of us again.

        Raises:
            Passing: the stage is being stopped.
        """
        while not self._stop.is_set() and (rest := self._not_before - time.monotonic()) > 0:
            self._stop.wait(rest)
        if self._stop.is_set():
            raise Declined("stopped")

    def _told_to_wait(self, pause: float | None) -> None:
        if pause is not None:
            with self._lock:
                self._not_before = max(self._not_before, time.monotonic() + pause)

    def _count_failure(self, error: Passing) -> None:
        """Count a question that failed for want of the service.

        Raises:
            Unreachable: many of them, and nothing else.
        """
        enough = max(IN_A_ROW, self.service.section.parallel)
        with self._lock:
            self._failed += 1
            is_gone = self._failed >= enough
        if is_gone:
            raise Unreachable(  # those that were on their way by then say the same
                f"{self.service.address} has answered none of {enough} questions in a row: {error.reason}.",
                hint="What was answered is kept: see to the service, then run the stage again.",
            ) from error
