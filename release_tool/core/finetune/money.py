"""What writing queries costs: tokens before they are counted, and a budget that is kept."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from release_tool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.finetune.sections import QueriesSection

BYTES_A_TOKEN = 4
"""Of UTF-8, roughly, for the byte-pair vocabularies of today: a token is four Latin letters, two of Cyrillic or one
and a third of Chinese. Good enough to cut and to estimate by; what is paid is counted by the service."""
QUERY_TOKENS = 24
"""Tokens of a query in its JSON, estimated high: twelve words, quotation marks and a comma."""
ANSWER_TOKENS = 16
"""Tokens of an answer around its queries."""
MILLION = 1_000_000
PAID = ("openai", "bedrock")
"""Providers whose tokens may have a price; both are services."""


class BudgetReached(UsageError):
    """What the recipe allows is spent."""

    default_hint = (
        "What was paid for is kept. Raise queries.max_dollars or queries.max_total_tokens and run the stage again: "
        "only what has no answer yet is asked."
    )


def tokens_of(text: str) -> int:
    """Return about how many tokens a text has."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_A_TOKEN)


def first_tokens(text: str, limit: int) -> str:
    """Return the beginning of a text of about ``limit`` tokens at most, cut between words where there are any."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit * BYTES_A_TOKEN:
        return text
    cut = data[: limit * BYTES_A_TOKEN].decode("utf-8", "ignore")
    last = max(cut.rfind(" "), cut.rfind("\n"))
    return cut[:last] if last >= len(cut) * 0.8 else cut


def answer_tokens(n: int, max_tokens: int) -> int:
    """Return about how many tokens an answer of n queries has."""
    return min(max_tokens, n * QUERY_TOKENS + ANSWER_TOKENS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Tokens and what they cost."""

    tokens_in: int
    tokens_out: int
    dollars: float

    @property
    def tokens(self) -> int:
        """Both."""
        return self.tokens_in + self.tokens_out


def cost_of(section: QueriesSection, tokens_in: int, tokens_out: int) -> Cost:
    """Return what tokens cost at the prices of a recipe."""
    dollars = (tokens_in * section.dollars_in + tokens_out * section.dollars_out) / MILLION
    return Cost(tokens_in=tokens_in, tokens_out=tokens_out, dollars=round(dollars, 6))


def has_price(section: QueriesSection) -> bool:
    """Tell whether a recipe names a price."""
    return section.dollars_in > 0 or section.dollars_out > 0


def check_estimate(section: QueriesSection, cost: Cost, questions: int) -> None:
    """Refuse what would cost more than the recipe allows, before anything is paid.

    Raises:
        UsageError: with the figures.
    """
    about = f"{questions:,} questions, about {cost.tokens_in:,} tokens sent and {cost.tokens_out:,} answered"
    if has_price(section) and cost.dollars > section.max_dollars:
        raise UsageError(
            f"The queries would cost about {cost.dollars:,.2f} dollars ({about}); "
            f"the recipe allows {section.max_dollars:,.2f}.",
            hint="Raise queries.max_dollars, or lower queries.documents or queries.max_document_tokens.",
        )
    if cost.tokens > section.max_total_tokens:
        raise UsageError(
            f"The queries would take about {cost.tokens:,} tokens ({about}); "
            f"the recipe allows {section.max_total_tokens:,}.",
            hint="Raise queries.max_total_tokens, or lower queries.documents or queries.max_document_tokens.",
        )


@dataclass
class Spending:
    """Adds up what was really used, from several threads, and says when the budget is reached."""

    section: QueriesSection
    tokens_in: int = 0
    tokens_out: int = 0
    _reserved: list[int] = field(default_factory=lambda: [0, 0], init=False, repr=False)
    """Tokens in and out that questions on their way are expected to take."""
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def add(self, tokens_in: int, tokens_out: int) -> None:
        """Count an answer that was stored."""
        with self._lock:
            self.tokens_in += tokens_in
            self.tokens_out += tokens_out

    @property
    def cost(self) -> Cost:
        """What was spent up to now, answers of earlier runs included where they were added."""
        with self._lock:
            return cost_of(self.section, self.tokens_in, self.tokens_out)

    def check(self, tokens_in: int = 0, tokens_out: int = 0) -> None:
        """Refuse a further question that the budget may not bear; called before it is sent.

        Args:
            tokens_in: that it will send, about.
            tokens_out: that its answer will have, about.

        Raises:
            BudgetReached: with the figures.
        """
        with self._lock:
            self._check(tokens_in, tokens_out)

    @contextmanager
    def reserved(self, tokens_in: int, tokens_out: int) -> Iterator[None]:
        """Keep room in the budget for a question while it is on its way, so that many at once don't go over it.

        Raises:
            BudgetReached: there is no room.
        """
        with self._lock:
            self._check(tokens_in, tokens_out)
            self._reserve(tokens_in, tokens_out)
        try:
            yield
        finally:
            with self._lock:
                self._reserve(-tokens_in, -tokens_out)

    def _reserve(self, tokens_in: int, tokens_out: int) -> None:
        self._reserved[0] += tokens_in
        self._reserved[1] += tokens_out

    def _check(self, tokens_in: int, tokens_out: int) -> None:
        spent = cost_of(self.section, self.tokens_in, self.tokens_out)
        then = cost_of(
            self.section,
            self.tokens_in + self._reserved[0] + tokens_in,
            self.tokens_out + self._reserved[1] + tokens_out,
        )
        if has_price(self.section) and then.dollars > self.section.max_dollars:
            raise BudgetReached(
                f"The budget is reached: {spent.dollars:,.4f} of {self.section.max_dollars:,.4f} dollars are spent, "
                "and another question could go over it."
            )
        if then.tokens > self.section.max_total_tokens:
            raise BudgetReached(
                f"The budget is reached: {spent.tokens:,} of {self.section.max_total_tokens:,} tokens are used, and "
                "another question could go over it."
            )
