"""The measures of a ranking by ir-measures (trec_eval's own), and how sure a loss is: a paired bootstrap.

nDCG takes the judgement itself as the gain, as trec_eval and BEIR do; a document is relevant for recall and the
reciprocal rank where it is judged above 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from release_tool.core.quality import Interval, Loser, Measures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from release_tool.models.ranking import Best

SEED = 20_261_121
RESAMPLES = 10_000
LEVEL = 0.95
MAX_LOSERS = 10
MAX_TEXT = 160
AT_ONCE = 256

Ranking = dict[str, list[str]]
"""Query → documents, best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A ranking, measured: nDCG@10 by query, and the means."""

    ndcg: np.ndarray
    """float64 [queries], in the order of the queries."""
    means: Measures


def ranking_of(
    best: Best, queries: Sequence[str], names: Sequence[str] | Mapping[int, str], skip: Mapping[str, str]
) -> Ranking:
    """Return query → documents by name; ``skip`` names a query's own text among the documents.

    Args:
        best: places of documents.
        queries: their names, in the order of the rows.
        names: those of the documents by place; of all, or of the ones that were found.
        skip: query → document that does not count for it.
    """
    found: Ranking = {}
    for query, scores, places in zip(queries, best.scores, best.places, strict=True):
        named = (names[place] for place, score in zip(places, scores, strict=True) if np.isfinite(score))
        found[query] = [name for name in named if name != skip.get(query)]
    return found


def score(ranking: Ranking, grades: Mapping[str, Mapping[str, int]]) -> Scored:
    """Measure a ranking; a query that finds nothing counts 0."""
    from ir_measures import RR, R, iter_calc, nDCG

    wanted = {nDCG @ 10: "ndcg", R @ 100: "recall", RR @ 10: "mrr"}
    # By place and not by score: equal scores would be put into another order.
    run = {query: {name: float(-place) for place, name in enumerate(names)} for query, names in ranking.items()}
    found: dict[str, dict[str, float]] = {name: dict.fromkeys(grades, 0.0) for name in wanted.values()}
    for metric in iter_calc(list(wanted), {query: dict(of) for query, of in grades.items()}, run):
        if metric.query_id in grades:
            found[wanted[metric.measure]][metric.query_id] = float(metric.value)
    by_query = {name: np.asarray(list(values.values())) for name, values in found.items()}
    means = Measures(
        ndcg_10=float(by_query["ndcg"].mean()),
        recall_100=float(by_query["recall"].mean()),
        mrr_10=float(by_query["mrr"].mean()),
    )
    return Scored(ndcg=by_query["ndcg"], means=means)


def interval(losses: np.ndarray) -> Interval:
    """Return where the mean of losses [queries] lies: percentiles over resampled queries, the same in every run."""
    generator = np.random.default_rng(SEED)
    count = len(losses)
    means = [
        losses[generator.integers(0, count, (min(AT_ONCE, RESAMPLES - at), count))].mean(axis=1)
        for at in range(0, RESAMPLES, AT_ONCE)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(low=float(low), high=float(high), level=LEVEL, resamples=RESAMPLES, seed=SEED)


def losers(
    queries: Mapping[str, str],
    grades: Mapping[str, Mapping[str, int]],
    source: tuple[Scored, Ranking],
    archive: tuple[Scored, Ranking],
) -> tuple[Loser, ...]:
    """Return the queries that lose most, worst first."""
    lost = source[0].ndcg - archive[0].ndcg
    names = list(queries)
    worst = [index for index in np.argsort(-lost, kind="stable")[:MAX_LOSERS].tolist() if lost[index] > 0]
    found = []
    for index in worst:
        query = names[index]
        wanted = max(grades[query], key=lambda name: (grades[query][name], name))
        text = queries[query]
        found.append(
            Loser(
                query=query,
                text=text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…",
                source=float(source[0].ndcg[index]),
                archive=float(archive[0].ndcg[index]),
                wanted=wanted,
                source_rank=_rank(source[1][query], wanted),
                archive_rank=_rank(archive[1][query], wanted),
            )
        )
    return tuple(found)


def _rank(names: list[str], wanted: str) -> int | None:
    return names.index(wanted) + 1 if wanted in names else None


def versions() -> dict[str, str]:
    """Return the libraries that rank and measure."""
    from importlib.metadata import version

    return {name: version(name) for name in ("ir-measures", "pytrec-eval-terrier", "scipy", "numpy")}
