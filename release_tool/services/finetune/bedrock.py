"""Queries by Bedrock's batch inference: half the price of asking one by one, and hours of waiting.

Whoever has no answer after a job (an error, an output that can't be read, a job that ended early) is asked again in the
next one, up to ``queries.retries`` times. An answer is kept for good under the digest of what was asked: another run
with the same question does not ask it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from release_tool.core.finetune.answers import parse_answer
from release_tool.core.finetune.bedrock_batch import BatchRecord, Limits, divide, limits_of, record_line
from release_tool.core.finetune.money import Cost, answer_tokens, check_estimate, cost_of, tokens_of
from release_tool.core.quantity import clip, plural
from release_tool.errors import Refused, RemoteFailed, StillRunning, Unreachable, UsageError
from release_tool.services.clock import Clock
from release_tool.services.finetune import aws
from release_tool.services.finetune.bedrock_jobs import BatchJobs
from release_tool.services.finetune.earlier_answers import EarlierAnswers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from release_tool.core.finetune.bedrock_batch import JobNote
    from release_tool.core.finetune.money import Spending
    from release_tool.core.finetune.sections import QueriesSection
    from release_tool.core.finetune.writing import Answer, Question, Questions
    from release_tool.services.finetune.paid import PaidAnswers

FOLDER = "bedrock-jobs"
"""Beside the folder of the answers: a folder a job with its note."""
NO_ANSWER = "the batch gave no answer"


@dataclass
class Bedrock:
    """A provider; see ``core.finetune.writing.Provider``."""

    section: QueriesSection
    paid: PaidAnswers
    spending: Spending
    clock: Clock = field(default_factory=Clock)
    say: Callable[[str], None] = lambda _: None
    jobs: BatchJobs = field(init=False)
    had: EarlierAnswers = field(init=False)

    def __post_init__(self) -> None:
        """Make the clients.

        Raises:
            UsageError: the environment gives no credentials, or no region.
        """
        self.had = EarlierAnswers(
            section=self.section,
            paid=self.paid,
            parameters={
                "max_tokens": self.section.max_tokens,
                "temperature": self.section.temperature,
                "form": "bedrock-batch",
            },
        )
        self.jobs = BatchJobs(
            section=self.section,
            folder=self.paid.folder.with_name(FOLDER),
            paid=self.paid,
            control=aws.client("bedrock", self.section.region),
            store=aws.client("s3", self.section.region),
            clock=self.clock,
            say=self.say,
            count=self.spending.add,
        )

    def answers(self, questions: Questions) -> Generator[Answer]:
        """Yield an answer to every question, in the order of the questions.

        Raises:
            UsageError: fewer questions than a job must have, or more than the budget allows.
            RemoteFailed: a whole turn of jobs gave no answer.
            Refused: Bedrock or S3 says no.
            StillRunning: jobs are under way and ``queries.wait_hours`` have passed.
            Unreachable: nobody answers.
        """
        for question in questions:
            for had in self.had.of(question):
                self.spending.add(had.tokens_in, had.tokens_out)
        self._wait(self.jobs.open())
        limits = read_limits(self.section, self.say)
        for turn in range(self.section.retries + 1):
            missing = self._missing(questions)
            if not self._is_worth_asking(len(missing), len(questions), limits):
                break
            over = self._wait(self._ask(questions, missing, limits))
            if not sum(note.answered for note in over):
                raise RemoteFailed(
                    f"Bedrock answered none of {len(missing):,} questions in turn {turn + 1}: {_messages(over)}.",
                    hint="Correct what it names and run the stage again: only what has no answer is asked.",
                )
        for question in questions:
            yield self.had.last(question, self.jobs.errors.get(question.id, NO_ANSWER))

    def _wait(self, notes: list[JobNote]) -> list[JobNote]:
        over, running = self.jobs.wait(notes)
        if running:
            jobs = ", ".join(f"{note.arn.rpartition('/')[2]} ({note.status})" for note in running[:3])
            raise StillRunning(f"{plural(len(running), 'batch job')} of Bedrock not finished yet: {jobs}.")
        return over

    def _is_worth_asking(self, missing: int, total: int, limits: Limits) -> bool:
        """Tell whether what has no answer makes a job.

        Few enough to go without are left; so are those that other records would have to be paid for again to fill a
        job with, unless the stage would fail for want of them.

        Raises:
            UsageError: there are not as many questions as a job must have.
        """
        if not missing:
            return False
        if total < limits.min_records:
            raise UsageError(
                f"{plural(total, 'question')} are too few for a batch: Bedrock takes {limits.min_records:,} at least.",
                hint="Raise queries.documents, or take provider openai, local or sentences.",
            )
        return missing >= limits.min_records or missing > self.section.max_error_rate * total

    def _missing(self, questions: Questions) -> dict[str, str]:
        """Return record → key of every question that needs an answer and was not asked too often."""
        found: dict[str, str] = {}
        for question in questions:
            had = self.had.of(question)
            is_readable = bool(had) and not parse_answer(had[-1].raw, question.n).problem
            if not is_readable and len(had) <= self.section.retries:
                found[question.id] = self.had.key(question, len(had))
        return found

    def _ask(self, questions: Questions, missing: dict[str, str], limits: Limits) -> list[JobNote]:
        """Start the jobs of a turn."""
        wanted = dict(missing)
        for question in questions:
            if len(wanted) >= limits.min_records:
                break
            wanted.setdefault(question.id, "")
        sizes, tokens_in, tokens_out = [], self.spending.tokens_in, self.spending.tokens_out
        for question in questions:
            if question.id in wanted:
                sizes.append(len(self._line(question)))
                tokens_in += tokens_of(question.system) + tokens_of(question.prompt)
                tokens_out += answer_tokens(question.n, self.section.max_tokens)
        cost: Cost = cost_of(self.section, tokens_in, tokens_out)
        check_estimate(self.section, cost, len(sizes))
        inside = (question for question in questions if question.id in wanted)
        notes = []
        for one in divide(sizes, limits):
            aside = self.jobs.folder / ".input.part"
            aside.parent.mkdir(parents=True, exist_ok=True)
            rows = []
            with aside.open("wb") as stream:
                for _, question in zip(one, inside, strict=False):  # in this order: no question is taken for nothing
                    stream.write(self._line(question))
                    rows.append(BatchRecord(record=question.id, key=wanted[question.id]))
            notes.append(self.jobs.start(aside, rows))
            aside.unlink()
        return notes

    def _line(self, question: Question) -> bytes:
        return record_line(question, max_tokens=self.section.max_tokens, temperature=self.section.temperature)


def read_limits(section: QueriesSection, say: Callable[[str], None] = lambda _: None) -> Limits:
    """Return the limits of a job by Service Quotas; the usual ones where they may not be read."""
    quotas: list[tuple[str, float]] = []
    with suppress(UsageError):
        service = aws.client("service-quotas", section.region)
        try:
            with aws.asked("Bedrock's quotas", "servicequotas:ListServiceQuotas"):
                for page in service.get_paginator("list_service_quotas").paginate(ServiceCode="bedrock"):
                    quotas += [(one.get("QuotaName", ""), one.get("Value", 0.0)) for one in page.get("Quotas", ())]
        except (Refused, Unreachable) as error:
            say(f"{error} The usual limits of a job are taken.")
    return limits_of(quotas, section.model, Limits())


def _messages(notes: list[JobNote]) -> str:
    words = dict.fromkeys(f"{note.status}: {note.message}" if note.message else note.status for note in notes)
    return clip("; ".join(words), 500)
