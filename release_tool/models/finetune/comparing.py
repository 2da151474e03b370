"""Rank by what two models have encoded of the same texts, measure both and compare them query by query."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from release_tool.core.finetune.evaluation import Evaluated, Lost, QueryScore
from release_tool.errors import IntegrityError
from release_tool.models.candidates import candidates
from release_tool.models.encoded import read_block
from release_tool.models.finetune.encode_texts import DENSE, block_path, kind_of
from release_tool.models.finetune.significance import randomisation_test
from release_tool.models.measures import interval, losers, ranking_of, score
from release_tool.models.ranking import Best, flops, rank_dense, rank_sparse
from release_tool.sets import blocks, own_texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from release_tool.core.finetune.evaluation import Role
    from release_tool.core.probes import Probe
    from release_tool.core.quality import Measures
    from release_tool.held_out import HeldOut
    from release_tool.models.measures import Ranking, Scored
    from release_tool.sets import JudgedSet

    Judged = JudgedSet | HeldOut


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """What one model finds."""

    scored: Scored
    ranking: Ranking
    means: Measures


def compare(
    judged: Judged, role: Role, folders: tuple[Path, Path], kind: str, *, cosine: bool
) -> tuple[Evaluated, list[QueryScore]]:
    """Return how two models do, and nDCG@10 of every query.

    Args:
        judged: what both have encoded.
        role: why it is measured.
        folders: of the blocks before and after.
        kind: ``dense`` or ``sparse``.
        cosine: dense: rank by cosine, not by the inner product.

    Raises:
        IntegrityError: a block is gone or has changed.
    """
    skip = own_texts(judged.entries(), judged.queries)
    bests = [_rank(judged, folder, kind, cosine=cosine) for folder in folders]
    words = candidates(judged.texts, judged.queries)
    names = _names(judged, [*(place for best, *_ in bests for place in np.unique(best.places)), *_places(words)])
    before, after = (_side(judged, found, names, skip) for found in bests)
    bm25 = {query: [names[place] for place in of if names[place] != skip.get(query)] for query, of in words.items()}
    gains = after.scored.ndcg - before.scored.ndcg
    test = randomisation_test(gains)
    found = Evaluated(
        name=judged.name,
        role=role,
        sha256=judged.sha256,
        documents=judged.documents,
        queries=len(judged.queries),
        judgements=sum(map(len, judged.grades.values())),
        before=before.means,
        after=after.means,
        bm25=score(bm25, judged.grades).means,
        interval=interval(gains),
        p=test.p,
        resamples=test.resamples,
        better=int(np.count_nonzero(gains > 0)),
        worse=int(np.count_nonzero(gains < 0)),
        losers=tuple(
            Lost(
                query=one.query,
                before=one.source,
                after=one.archive,
                wanted=one.wanted,
                before_rank=one.source_rank,
                after_rank=one.archive_rank,
            )
            for one in losers(
                judged.queries, judged.grades, (before.scored, before.ranking), (after.scored, after.ranking)
            )
        ),
    )
    return found, [
        QueryScore(set=judged.name, query=query, before=float(first), after=float(second))
        for query, first, second in zip(judged.queries, before.scored.ndcg, after.scored.ndcg, strict=True)
    ]


def answers(probes: Iterable[Probe], folder: Path, kind: str) -> Iterator[dict[str, np.ndarray]]:
    """Yield the arrays of some texts, block by block.

    Raises:
        IntegrityError: one that was written is gone, or its numbers changed.
    """
    for block in blocks(probes):
        arrays = read_block(block_path(folder, block.name), kind_of(kind), len(block.probes))
        if arrays is None:
            raise IntegrityError("What was encoded has changed.", hint="Run release-tool finetune evaluate again.")
        yield arrays


def _rank(judged: Judged, folder: Path, kind: str, *, cosine: bool) -> tuple[Best, Measures | None]:
    asked = answers(judged.query_probes(), folder, kind)
    searched = answers(judged.document_probes(), folder, kind)
    if kind == DENSE:
        return rank_dense(asked, searched, cosine=cosine), None
    from release_tool.core.quality import Measures

    best, queries, documents = rank_sparse(asked, searched)
    activity = Measures(
        ndcg_10=0.0,
        recall_100=0.0,
        mrr_10=0.0,
        flops=flops(queries, documents),
        document_tokens=float(documents.mean.sum()),
        query_tokens=float(queries.mean.sum()),
    )
    return best, activity


def _side(
    judged: Judged, found: tuple[Best, Measures | None], names: Mapping[int, str], skip: Mapping[str, str]
) -> _Side:
    best, activity = found
    ranking = ranking_of(best, list(judged.queries), names, skip)
    scored = score(ranking, judged.grades)
    means = scored.means
    if activity is not None:
        means = replace(
            means,
            flops=activity.flops,
            document_tokens=activity.document_tokens,
            query_tokens=activity.query_tokens,
        )
    return _Side(scored=scored, ranking=ranking, means=means)


def _places(words: Mapping[str, list[int]]) -> set[int]:
    return {place for places in words.values() for place in places}


def _names(judged: Judged, places: Iterable[int]) -> dict[int, str]:
    """Return place → id of the documents that were found: the ids of ten million are never together in memory."""
    wanted = {int(place) for place in places}
    return {place: entry.id for place, entry in enumerate(judged.entries()) if place in wanted}
