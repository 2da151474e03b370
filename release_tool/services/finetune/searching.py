"""BM25 behind one interface: engines that find the best documents for a query, in the same order.

An engine returns raw hits. Which of them count, and how ties are broken, is decided here for all of them: scores are
rounded, equal ones stand in the order of the corpus. Scores are those of Lucene since its version 8 (without the factor
k1 + 1), k1 = 1.2, b = 0.75.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from release_tool.core.finetune.mining import DECIMALS, Hit, ranked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

K1, B = 1.2, 0.75
MORE = 4
"""Times as many hits are asked for where the first ones were not enough."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an engine found for one query."""

    hits: list[Hit]
    """In any order."""
    least: float
    """The lowest score among what it found: it left out nothing above, and of that score perhaps something. 0 where it
    left out nothing at all."""


class Engine(Protocol):
    """Searches a corpus."""

    most: int
    """Hits that one search can return."""

    def search(self, texts: Sequence[str], limit: int) -> list[Found]:
        """Return the best documents of each query, ``limit`` at most; of ties at the end, any."""
        ...

    def score(self, text: str, place: int) -> float:
        """Return the score of one document for a query; 0 where they share no term."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def search_until(
    engine: Engine, texts: Sequence[str], limit: int, enough: Callable[[int, list[Hit]], bool]
) -> list[list[Hit]]:
    """Return ranked hits of each query, as many as are enough.

    Where an engine returned as many as were asked for, those with the last score may be some of several: they are left
    out, and more are asked for if the others are not enough. So what is found does not depend on ``limit``.

    Args:
        engine: who searches.
        texts: the queries.
        limit: how many hits are asked for first.
        enough: tells of a query's number and its hits whether they will do.
    """
    found: list[list[Hit]] = [[] for _ in texts]
    pending, limit = list(range(len(texts))), min(limit, engine.most)
    while pending:
        again = []
        for number, one in zip(pending, engine.search([texts[one] for one in pending], limit), strict=True):
            found[number] = _certain(one)
            if one.least > 0 and not enough(number, found[number]):
                if limit < engine.most:
                    again.append(number)
                else:
                    found[number] = ranked(one.hits)
        pending, limit = again, min(limit * MORE, engine.most)
    return found


def _certain(found: Found) -> list[Hit]:
    """Return the hits that stay whatever else there is."""
    least = round(found.least, DECIMALS)
    return [hit for hit in ranked(found.hits) if hit[1] > least]
