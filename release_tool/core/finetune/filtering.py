"""Which queries teach something: the rules that look at words alone.

A query is dropped for the first of these reasons that holds: its document is not in the corpus; it is too short or too
long; the same text is kept elsewhere; it is copied from its document; its document is not found again by it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import SequenceMatcher
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING

from release_tool.core.finetune.dividing import DEV, TEST, TRAIN
from release_tool.core.words import words_of

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from release_tool.core.finetune.records import Query

WRITTEN = ("openai", "local", "bedrock")
"""Providers whose queries may be copied. Own queries are what people type, and those of ``sentences`` are parts of
their documents by design: neither is asked for a copy."""
JUDGED = ("file",)
"""Providers whose queries have documents that people have judged: what no search finds is what is to be learnt, and no
mistake of a writer. They are not asked for the round trip."""
HELD_OUT_FIRST = (TEST, DEV, TRAIN)
DIGEST_BYTES = 16


class Reason(StrEnum):
    """Why a query is dropped."""

    UNKNOWN = "unknown_document"
    SHORT = "too_short"
    LONG = "too_long"
    DOUBLE = "double"
    COPY = "copied"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Judged:
    """A query, where its document is, and why it is dropped so far."""

    number: int
    """Its place among all queries, from 0."""
    query: Query
    place: int
    """Of its document; -1 where the corpus does not hold it."""
    split: str
    reason: Reason | None


def normal(text: str) -> str:
    """Return what two queries share that differ in case, punctuation and spaces alone."""
    return " ".join(words_of(text))


def length_reason(words: int, *, least: int, most: int) -> Reason | None:
    """Return why a query of so many words is dropped; null where it is not."""
    if words < max(least, 1):
        return Reason.SHORT
    return Reason.LONG if words > most else None


def copy_ratio(query: Sequence[str], document: Sequence[str]) -> float:
    """Return the longest run of a query's words that stands in a document, as a share of the query's words.

    Args:
        query: its words, in order.
        document: the same.
    """
    return Copies(document).ratio(query)


class Copies:
    """Looks for runs of words in one document, for all of its queries."""

    def __init__(self, document: Sequence[str]) -> None:
        """Read the document's words."""
        self._matcher: SequenceMatcher[str] = SequenceMatcher(None, (), document, autojunk=False)

    def ratio(self, query: Sequence[str]) -> float:
        """Return ``copy_ratio`` of a query; 0 for one without words."""
        if not query:
            return 0.0
        self._matcher.set_seq1(query)
        return self._matcher.find_longest_match().size / len(query)


@dataclass(slots=True)
class Doubles:
    """Chooses, of all queries with one text, the one that is kept.

    That of the most held-out split, the first one there: a text that evaluates is never trained on, and none is both
    chosen by and trained on.
    """

    _best: dict[bytes, int] = field(default_factory=dict)

    def see(self, number: int, text: str, split: str) -> None:
        """Take note of a query.

        Args:
            number: its place among all queries, from 0.
            text: of it.
            split: of its document.
        """
        key, rank = _digest(text), _rank(split, number)
        if rank < self._best.get(key, rank + 1):
            self._best[key] = rank

    def keeps(self, number: int, text: str, split: str) -> bool:
        """Tell whether a query that was seen is the one that is kept."""
        return self._best.get(_digest(text)) == _rank(split, number)


def _rank(split: str, number: int) -> int:
    """Return one number by which (split, number) pairs are in order: smaller than a million tuples."""
    return HELD_OUT_FIRST.index(split) << 48 | number


def _digest(text: str) -> bytes:
    return blake2b(normal(text).encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def counts_of(kept: Counter[str], dropped: Counter[str]) -> dict[str, float]:
    """Return the counts of the stage: queries kept by split, dropped by reason; each is there, if only as 0."""
    found: dict[str, float] = {"kept": float(kept.total())}
    found |= {f"kept_{split}": float(kept[split]) for split in (TRAIN, DEV, TEST)}
    found["dropped"] = float(dropped.total())
    return found | {reason.value: float(dropped[reason.value]) for reason in Reason}
