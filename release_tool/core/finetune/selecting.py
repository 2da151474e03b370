"""Which documents of a query are trained on, and which queries are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.core.finetune.ensemble import hardest, rank_of_first, sampled, together, true_negatives
from release_tool.core.finetune.records import Selected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from release_tool.core.finetune.records import Mined

PERCENTILE = "positive_among_the_worst"
ALIKE = "all_alike_to_the_teachers"
RANK = "positive_too_far_down"
FEW = "too_few_negatives"
REASONS = (PERCENTILE, FEW, ALIKE, RANK)
"""Why a query is dropped; the first one that is found counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What the recipe says of it."""

    negatives: int
    max_positive_share: float
    min_positive_rank: int
    sampling: str
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What became of a query."""

    row: Selected | None
    reason: str = ""
    """Why there is no row."""
    answers: int = 0
    """Candidates that were left out because they answer the query as well as the positive."""


def choose(mined: Mined, logits: Sequence[Sequence[float]], rules: Selection) -> Chosen:
    """Choose the documents of one query.

    Every row has the positive and exactly as many negatives: the trainers make one tensor of a batch. A query with
    fewer is dropped, and not filled up: a document that nobody found or scored would be an easy one with a made-up
    label, and one that was left out as an answer would teach the wrong thing.

    Args:
        mined: its candidates, best first.
        logits: each teacher's, of the positive and then of the first candidates; none without a teacher, when
            candidates are taken by their rank in the search and rows have no labels.
        rules: of the recipe.
    """
    if not logits:
        return _row(mined, mined.documents, list(range(len(mined.documents))), None, rules)
    if len(logits[0]) <= rules.negatives:
        return Chosen(row=None, reason=FEW)
    scores = together(logits)
    if scores is None:
        return Chosen(row=None, reason=ALIKE)
    if rank_of_first(scores) > rules.min_positive_rank:
        return Chosen(row=None, reason=RANK)
    places = true_negatives(scores, rules.max_positive_share)
    answers = len(scores) - 1 - len(places)
    order = [place - 1 for place in hardest(places, scores)]
    return _row(mined, mined.documents[: len(scores) - 1], order, scores, rules, answers)


def _row(
    mined: Mined,
    documents: Sequence[str],
    order: list[int],
    scores: Sequence[float] | None,
    rules: Selection,
    answers: int = 0,
) -> Chosen:
    """Return the row of candidates by their places in the order of preference."""
    if len(order) < rules.negatives:
        return Chosen(row=None, reason=FEW, answers=answers)
    if rules.sampling == "random":
        order = sampled(order, rules.negatives, seed=rules.seed, query=mined.query)
    taken = order[: rules.negatives]
    labels = None if scores is None else (scores[0], *(scores[place + 1] for place in taken))
    return Chosen(
        row=Selected(
            query=mined.query,
            split=mined.split,
            documents=(mined.positive, *(documents[place] for place in taken)),
            labels=labels,
        ),
        answers=answers,
    )
