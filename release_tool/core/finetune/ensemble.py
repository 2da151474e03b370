"""What several teachers say of one query's documents, brought to one score each, and what of them is trained on.

A teacher's logits have a zero and a unit of their own. Over the documents of one query each teacher is therefore
stretched to 0 for its worst and 1 for its best, and the score is the mean over the teachers, all of equal weight: the
rule by which OpenSearch's sparse encoders were distilled. Shifting a teacher's logits, or multiplying them by a
positive number, changes nothing.

The rule for negatives is NV-Retriever's TopK-PercPos: one that scores above a share (95 %) of the positive is taken for
an answer that nobody marked, and left out. It was made for similarities, which have a zero; so it is applied to these
scores, which have one too, and not to logits, of which a share means nothing. A positive that is not its teachers' best
scores below 1, and its threshold falls with it: what scores above it is always left out. A positive that all teachers
find worst scores 0, and only what scores 0 as well stays.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from release_tool.core.finetune.dividing import position

if TYPE_CHECKING:
    from collections.abc import Sequence

SAME = 1e-6
"""Best less worst logit of a teacher that tells nothing apart: rounding of float32, which stretching would blow up."""
DECIMALS = 6
"""Of a score: what is beyond is rounding of the teachers' float32."""


def stretched(logits: Sequence[float]) -> tuple[float, ...] | None:
    """Return a teacher's logits from 0 to 1, null where it tells nothing apart.

    Args:
        logits: at least one.
    """
    low, high = min(logits), max(logits)
    if not high - low > SAME:
        return None
    return tuple((logit - low) / (high - low) for logit in logits)


def together(teachers: Sequence[Sequence[float]]) -> tuple[float, ...] | None:
    """Return the score of each document, from 0 to 1; null where no teacher tells them apart.

    A teacher that finds all of them alike has no vote.

    Args:
        teachers: each one's logits of the same documents.
    """
    voices = [voice for logits in teachers if (voice := stretched(logits)) is not None]
    if not voices:
        return None
    return tuple(round(sum(column) / len(voices), DECIMALS) for column in zip(*voices, strict=True))


def rank_of_first(scores: Sequence[float]) -> int:
    """Return the rank of the first document, from 1: how many score above it, and one."""
    return 1 + sum(score > scores[0] for score in scores[1:])


def true_negatives(scores: Sequence[float], share: float) -> list[int]:
    """Return the places of the documents after the first that score no more than a share of it, in order."""
    limit = share * scores[0]
    return [place for place, score in enumerate(scores) if place and score <= limit]


def hardest(places: Sequence[int], scores: Sequence[float]) -> list[int]:
    """Return places, highest score first; equal ones in the order in which the search found them."""
    return sorted(places, key=lambda place: (-scores[place], place))


def sampled(places: Sequence[int], count: int, *, seed: int, query: str) -> list[int]:
    """Return some of the places, without one twice, in the order that they had; the same for the same seed and query.

    Args:
        places: to choose from.
        count: at most as many as there are.
        seed: of the run.
        query: id; another query draws otherwise.
    """
    drawn = set(sorted(places, key=lambda place: position(f"{seed}:{query}", str(place)))[:count])
    return [place for place in places if place in drawn]


def lowest(teachers: Sequence[Sequence[float]], share: float) -> set[int]:
    """Return the rows of which the teachers think least.

    Raw logits can be compared from query to query, of one teacher: each says for every row which share of all rows
    scores below it, and the mean of that over the teachers orders the rows. Equal ones are dropped in their order.

    Args:
        teachers: each one's logit of every row's positive.
        share: of the rows that are returned, rounded down.
    """
    rows = len(teachers[0]) if teachers else 0
    count = int(share * rows)
    if not count:
        return set()
    below = [0] * rows
    for logits in teachers:
        order = sorted(logits)
        for row, logit in enumerate(logits):
            below[row] += bisect_left(order, logit)
    return set(sorted(range(rows), key=lambda row: (below[row], row))[:count])
