"""The documents that queries are made of, the questions about them, what they will cost, and how it went."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from release_tool.core.finetune.money import PAID, answer_tokens, check_estimate, cost_of, tokens_of
from release_tool.core.finetune.prompt import Template, question_of
from release_tool.core.finetune.records import Document, Grouped, Placed
from release_tool.core.finetune.stages import Stage
from release_tool.errors import RemoteFailed, UsageError
from release_tool.part_files import PartWriter, read_rows, read_some

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from release_tool.core.finetune.answers import Parsed
    from release_tool.core.finetune.money import Cost
    from release_tool.core.finetune.sections import QueriesSection
    from release_tool.core.finetune.writing import Answer, Question
    from release_tool.steps.finetune.running import Work

FOLDER = "asked"
MOST_REASONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The questions of a stage; the texts stay on disk."""

    folder: Path
    """Of the documents asked about."""
    count: int
    section: QueriesSection
    template: Template
    examples: Sequence[str]
    seed: int

    def documents(self) -> Iterator[Document]:
        """Yield the documents asked about, in the order of the corpus."""
        return read_rows(self.folder, Document)

    def __iter__(self) -> Iterator[Question]:
        """Yield the questions, a document each, in the same order."""
        for document in self.documents():
            yield question_of(
                self.template,
                document,
                n=self.section.per_document,
                max_tokens=self.section.max_document_tokens,
                examples=self.examples,
                seed=self.seed,
            )

    def __len__(self) -> int:
        """Count them."""
        return self.count


def asked_of(work: Work) -> Asked:
    """Draw the documents, once: a killed stage finds them where they were put.

    Raises:
        UsageError: the prompt or the examples are wrong, or there is no document.
    """
    from release_tool.steps.finetune.prompting import examples_of, template_of

    section = work.recipe.queries
    template, examples = template_of(work), examples_of(work)
    folder = work.scratch / FOLDER
    if not folder.is_dir():
        _draw(work, folder)
    count = sum(1 for _ in read_rows(folder, Document))
    if not count:
        raise UsageError("There is no document to make queries of.", hint="Look at the corpus and at its rejects.")
    return Asked(folder=folder, count=count, section=section, template=template, examples=examples,
                 seed=work.recipe.model.seed)  # fmt: skip


def _draw(work: Work, folder: Path) -> None:
    """Copy the documents asked about into a folder, which appears when it is whole."""
    from release_tool.core.finetune.asking import draw

    rows = draw(_rows(work), work.recipe.queries.documents, work.recipe.model.seed)
    aside = folder.with_name(f"{FOLDER}.new")
    with PartWriter(aside, Document.STEM) as out:
        for document in read_some(work.of(Stage.CORPUS), Document, rows):
            out.add(document)
    aside.mkdir(parents=True, exist_ok=True)
    aside.replace(folder)


def _rows(work: Work) -> Iterator[tuple[int, str, str]]:
    """Yield row, id and split of one document of each group: near duplicates would be paid for twice."""
    placed = read_rows(work.of(Stage.SPLIT), Placed)
    grouped = read_rows(work.of(Stage.CORPUS), Grouped)
    for row, (place, group) in enumerate(zip(placed, grouped, strict=True)):
        if group.group == group.id:
            yield row, place.id, place.split


def estimate(section: QueriesSection, asked: Asked) -> Cost:
    """Return about what the questions will cost; each is made once."""
    sent = sum(tokens_of(one.system) + tokens_of(one.prompt) for one in asked)
    answered = len(asked) * answer_tokens(section.per_document, section.max_tokens)
    return cost_of(section, sent, answered)


def check_money(section: QueriesSection, asked: Asked) -> None:
    """Refuse what is too dear before the first question.

    Raises:
        UsageError: with the figures.
    """
    if section.provider in PAID:
        check_estimate(section, estimate(section, asked), len(asked))


@dataclass
class Tally:
    """Counts what came of the questions, and ends the stage as soon as too many have no answer."""

    section: QueriesSection
    total: int
    queries: int = 0
    fewer: int = 0
    """Documents with less queries than were wanted."""
    tokens_in: int = 0
    tokens_out: int = 0
    asked_again: int = 0
    """Answers beyond the first ones: those before could not be read."""
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def without(self) -> int:
        """Documents without an answer."""
        return self.reasons.total()

    def add(self, answer: Answer, parsed: Parsed | None) -> None:
        """Count one answer.

        Raises:
            RemoteFailed: more documents have none than the recipe allows; of a provider that works here, UsageError.
        """
        self.tokens_in += answer.tokens_in
        self.tokens_out += answer.tokens_out
        self.asked_again += max(0, answer.attempts - 1)
        got = len(parsed.queries) if parsed else 0
        self.queries += got
        self.fewer += 0 < got < self.section.per_document
        problem = parsed.problem if parsed else answer.error or "no answer"
        if problem:
            self.reasons[problem] += 1
            if self.without > self.section.max_error_rate * self.total:
                raise self._failure()

    def _failure(self) -> UsageError | RemoteFailed:
        commonest = "; ".join(f"{reason} ({count:,})" for reason, count in self.reasons.most_common(MOST_REASONS))
        text = (
            f"{self.without:,} of {self.total:,} documents have no queries, which is more than "
            f"{self.section.max_error_rate:.1%} (queries.max_error_rate): {commonest}."
        )
        if self.section.provider in PAID:
            return RemoteFailed(text, hint="What was answered is kept. See to the cause, then run the stage again.")
        return UsageError(text, hint="Look at the documents, choose another provider or raise max_error_rate.")

    def counts(self) -> dict[str, float]:
        """Return what people look at."""
        found: dict[str, float] = {"documents": self.total, "queries": self.queries, "without_queries": self.without,
                                   "with_fewer_queries": self.fewer}  # fmt: skip
        if self.section.provider in PAID:
            found |= {"tokens_in": self.tokens_in, "tokens_out": self.tokens_out, "unreadable": self.asked_again}
        return found | {f"without: {reason}": count for reason, count in sorted(self.reasons.items())}
