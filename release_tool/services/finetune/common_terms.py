"""Search without the terms that most documents have, and say how far what was found is certain.

Such terms weigh next to nothing and take most of the time: each of their documents has to be looked at. The others find
the documents, and only to those the common ones are added. A document that was not found scores at most as much as the
last one that was, and all that the common terms can give (MaxScore's bound). So what scores more than that is certain,
exactly as if all terms had been searched; the caller asks for more where it is not enough.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMON_SHARE = 0.4
"""Share of the documents from which on a term is common."""
MOST_GIVEN = 1.0
"""What the common terms of a query may give at most, of scores that reach from five to thirty."""
TIMES = 6
"""Documents that the other terms find, for one that is asked for: the longer the list, the lower its end."""
MOST_FOUND = 2000
"""A longer list takes more time than the common terms do."""
ROUNDED = 1.00001
"""More than a sum of float32 is off by."""
FEWEST_DOCUMENTS = 300_000
"""In a smaller corpus, scoring twice takes as long as it saves."""


@dataclass(frozen=True, slots=True)
class Divided:
    """The terms of a query, in two."""

    others: tuple[str, ...]
    """What is searched."""
    common: tuple[str, ...]
    given: float
    """The common terms add no more to a score, in Lucene's scale."""


def to_complete(scores: Sequence[float], limit: int, most: int, given: float) -> tuple[int, float]:
    """Tell which documents the common terms have to be added to.

    Args:
        scores: of what the other terms found, best first.
        limit: hits that are wanted.
        most: how many could be found; fewer are all that have one of the other terms.
        given: the common terms add no more to a score.

    Returns:
        How many of the first ones, and a score that none of the rest is above.
    """
    left_out = (scores[-1] if len(scores) == most else 0.0) + given
    if len(scores) < limit or left_out > scores[limit - 1]:
        return len(scores), left_out
    # As many as are wanted score that much without the common terms: who needs more than those give is out.
    enough = scores[limit - 1]
    return bisect_left(scores, given - enough, key=lambda score: -score), enough


def divide(
    terms: Sequence[str], documents: int, holding: Callable[[str], int], giving: Callable[[str], float]
) -> Divided:
    """Divide the terms of a query; a term that stands in it twice stays so, on one side.

    Args:
        terms: of the query.
        documents: how many there are.
        holding: returns how many of them have a term.
        giving: returns the highest score that a document has for a term alone; asked only where most have it.
    """
    counts = Counter(terms)
    held = {term: holding(term) for term in counts}
    common: list[str] = []
    given = 0.0
    for term in sorted(counts, key=lambda term: (-held[term], term)):
        if held[term] < COMMON_SHARE * documents:
            break
        gives = counts[term] * giving(term) * ROUNDED
        if given + gives > MOST_GIVEN:
            break
        common.append(term)
        given += gives
    if len(common) == len(counts):
        return Divided(tuple(terms), (), 0.0)
    others = tuple(term for term in terms if term not in common)
    return Divided(others, tuple(term for term in terms if term in common), given)
