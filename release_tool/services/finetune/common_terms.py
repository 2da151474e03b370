"""Search without the terms that most documents have, and say how far what was found is certain.

Such terms weigh next to nothing and take most of the time: each of their documents has to be looked at. What is found
by the other terms is scored again with all of them. A document that was not found by the others scores at most as much
as the last one that was, and all that the common terms can give (MaxScore's bound). So what scores more than that is
certain, exactly as if all terms had been searched; the caller asks for more where it is not enough.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMON_SHARE = 0.4
"""Share of the documents from which on a term is common."""
MOST_GIVEN = 1.0
"""What the common terms of a query may give at most, of scores that reach from five to thirty."""
TIMES = 3
"""Hits that are scored again, for one that is asked for."""
MOST_AGAIN = 800
"""A longer list takes more time than the common terms do."""
FEWEST_DOCUMENTS = 300_000
"""In a smaller corpus, scoring twice takes as long as it saves."""


@dataclass(frozen=True, slots=True)
class Divided:
    """The terms of a query, in two."""

    others: tuple[str, ...]
    """What is searched."""
    common: tuple[str, ...]
    given: float
    """More than the common terms can add to a score, in Lucene's scale."""


def divide(terms: Sequence[str], documents: int, holding: Callable[[str], int]) -> Divided:
    """Divide the terms of a query; a term that stands in it twice stays so, on one side.

    Args:
        terms: of the query.
        documents: how many there are.
        holding: returns how many of them have a term.
    """
    counts = Counter(terms)
    held = {term: holding(term) for term in counts}
    common: list[str] = []
    given = 0.0
    for term in sorted(counts, key=lambda term: (-held[term], term)):
        # The rest of BM25's product is below 1, however often a document has the term.
        gives = counts[term] * math.log(1 + (documents - held[term] + 0.5) / (held[term] + 0.5))
        if held[term] < COMMON_SHARE * documents or given + gives > MOST_GIVEN:
            break
        common.append(term)
        given += gives
    if len(common) == len(counts):
        return Divided(tuple(terms), (), 0.0)
    others = tuple(term for term in terms if term not in common)
    return Divided(others, tuple(term for term in terms if term in common), given)
