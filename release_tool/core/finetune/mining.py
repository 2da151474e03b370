"""Which of the documents that a search finds become candidates of a query."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from release_tool.core.finetune.dividing import DEV, TRAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

STEMMERS = (
    "arabic",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hungarian",
    "italian",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "spanish",
    "swedish",
    "tamil",
    "turkish",
)
"""Languages of Snowball's stemmers that the embedded engine has."""
WORDPIECE, WORDS = "wordpiece", "words"
ANALYSES = (*STEMMERS, WORDPIECE, WORDS)

ALLOWED = {TRAIN: frozenset({TRAIN}), DEV: frozenset({TRAIN, DEV})}
"""Split of a query → splits of its candidates. Queries of test have none: nothing is learnt from them."""

Hit = tuple[int, float]
"""Place of a document in the corpus, and its score."""

DECIMALS = 4
"""Of a score: what is left is far above the rounding of a sum of some hundred float32, so that the order in which an
engine adds does not show, and ties are ties for all of them."""


def ranked(hits: Iterable[Hit]) -> list[Hit]:
    """Return hits with rounded scores, best first; equal ones in the order of the corpus. What scores 0 is no hit."""
    rounded = ((place, round(score, DECIMALS)) for place, score in hits)
    return sorted((hit for hit in rounded if hit[1] > 0), key=lambda hit: (-hit[1], hit[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the recipe says."""

    depth: int
    """Candidates a query at most."""
    skip: int
    """First places that are left out."""
    max_share: float
    """Share of the positive's own score above which a candidate is left out; 0: none is."""

    @property
    def wanted(self) -> int:
        """Hits that are allowed, and needed, where none scores too much."""
        return self.depth + self.skip


def choose(
    hits: Iterable[Hit], rules: Rules, *, is_allowed: Callable[[int], bool], own: float | None = None
) -> tuple[Hit, ...]:
    """Return the candidates of a query, best first.

    Places are counted among the documents that may be candidates at all: what is of another split, the positive and
    its near duplicates are left out before ``skip`` is. Where some score too much, the next ones follow.

    Args:
        hits: best first.
        rules: of the recipe.
        is_allowed: tells of a place whether it may be a candidate.
        own: the positive's own score; null where ``max_share`` leaves nothing out.
    """
    limit = math.inf if own is None else own * rules.max_share
    allowed = islice((hit for hit in hits if is_allowed(hit[0])), rules.skip, None)
    return tuple(islice((hit for hit in allowed if hit[1] <= limit), rules.depth))
