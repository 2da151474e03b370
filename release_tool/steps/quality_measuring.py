"""Measure what source and archive have encoded of a judged set, and write it down."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from release_tool.core.kinds import ModelKind
from release_tool.core.quality_parts import Part
from release_tool.steps import quality_encoding as encoding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

    from release_tool.core.quality import Judged, Measures
    from release_tool.models.measures import Ranking, Scored
    from release_tool.models.ranking import Activity, Best
    from release_tool.steps.quality_encoding import Wanted
    from release_tool.steps.release_reading import Release

COSINE, DOT, LOGIT = "cosine", "dot", "logit"
SENTENCE_SETTINGS = "config_sentence_transformers.json"


def similarity_of(release: Release, kind: ModelKind) -> str:
    """Return what documents are ranked by.

    Vectors that the source makes of length one are ranked by their inner product: an archive that leaves them as long
    as they are must show. Else it is what the model's own settings name, and cosine where they name nothing.
    """
    if kind is ModelKind.CROSS_ENCODER:
        return LOGIT
    if kind is not ModelKind.DENSE or release.plan.normalize_result or release.plan.source.model.normalize:
        return DOT
    try:
        settings = json.loads(release.work.path(f"snapshot/{SENTENCE_SETTINGS}").read_text(encoding="utf-8"))
        named = settings.get("similarity_fn_name")
    except (OSError, ValueError, AttributeError):
        named = None
    return DOT if named in ("dot", "dot_product", "dot_score") else COSINE


class _Ranked:
    """A ranking and what was counted while it was made."""

    def __init__(self, ranking: Ranking, activities: tuple[Activity, Activity] | None) -> None:
        self.ranking = ranking
        self.activities = activities


def measure(release: Release, wanted: Wanted) -> Judged:
    """Return how source and archive do on one set; both have encoded it.

    Raises:
        IntegrityError: what they encoded is gone or has changed.
    """
    from release_tool.core.quality import Judged
    from release_tool.models.measures import interval, losers, score
    from release_tool.sets import own_texts

    judged = wanted.judged
    own = encoding.source_folder(release)
    served = encoding.archive_folder(release, wanted.bundle)
    names = [entry.id for entry in judged.entries()]
    skip = own_texts(judged.entries(), judged.queries)
    source = _rank(release, wanted, (own, own), names, skip)
    archive = _rank(release, wanted, (served, own), names, skip)
    scored = score(source.ranking, judged.grades), score(archive.ranking, judged.grades)
    losses = scored[0].ndcg - scored[1].ndcg
    return Judged(
        name=judged.name,
        sha256=judged.sha256,
        files=judged.files,
        documents=judged.documents,
        queries=len(judged.queries),
        judgements=sum(map(len, judged.grades.values())),
        empty=len(judged.empty),
        refused=_refused(release, wanted),
        source=_with_activity(scored[0], source),
        archive=_with_activity(scored[1], archive),
        loss=interval(losses),
        losers=losers(judged.queries, judged.grades, (scored[0], source.ranking), (scored[1], archive.ranking)),
    )


def _rank(
    release: Release, wanted: Wanted, folders: tuple[Path, Path], names: list[str], skip: dict[str, str]
) -> _Ranked:
    """Rank by what lies in the first folder; where an archive serves one side only, the other is in the second."""
    from release_tool.models.measures import ranking_of
    from release_tool.models.ranking import rank_dense, rank_sparse

    kind = wanted.bundle.kind

    def answers(part: Part) -> Iterator[dict[str, np.ndarray]]:
        (side,) = (one for one in encoding.sides_of(release, wanted.bundle) if one.part is part)
        return encoding.answers_of(folders[0] if side.by_archive else folders[1], wanted, side)

    queries = list(wanted.judged.queries)
    activities = None
    if kind is ModelKind.CROSS_ENCODER:
        best = _rerank(wanted, list(answers(Part.PAIRS)))
    elif kind is ModelKind.DENSE:
        cosine = similarity_of(release, kind) == COSINE
        best = rank_dense(answers(Part.QUERIES), answers(Part.DOCUMENTS), cosine=cosine)
    else:
        best, *both = rank_sparse(answers(Part.QUERIES), answers(Part.DOCUMENTS))
        activities = (both[0], both[1])
    return _Ranked(ranking_of(best, queries, names, skip), activities)


def _rerank(wanted: Wanted, blocks: list[dict[str, np.ndarray]]) -> Best:
    import numpy as np

    from release_tool.models.ranking import DEPTH, Best, settled

    candidates = wanted.candidates or {}
    logits = np.concatenate([block["logit"] for block in blocks]) if blocks else np.zeros(0, np.float32)
    scores = np.full((len(candidates), DEPTH), -np.inf, np.float32)
    places = np.full((len(candidates), DEPTH), np.iinfo(np.int64).max, np.int64)
    at = 0
    for row, query in enumerate(wanted.judged.queries):
        found = candidates[query]
        scores[row, : len(found)] = settled(logits[at : at + len(found)])
        places[row, : len(found)] = found
        at += len(found)
    order = np.lexsort((places, -scores), axis=1)
    return Best(np.take_along_axis(scores, order, axis=1), np.take_along_axis(places, order, axis=1))


def _with_activity(scored: Scored, ranked: _Ranked) -> Measures:
    from release_tool.models.ranking import flops

    if ranked.activities is None:
        return scored.means
    queries, documents = ranked.activities
    return replace(
        scored.means,
        flops=flops(queries, documents),
        document_tokens=float(documents.mean.sum()),
        query_tokens=float(queries.mean.sum()),
    )


def _refused(release: Release, wanted: Wanted) -> int:
    """Count texts whose answer from the archive is not a number."""
    import numpy as np

    count = 0
    for side in encoding.sides_of(release, wanted.bundle):
        if not side.by_archive:
            continue
        for arrays in encoding.answers_of(encoding.archive_folder(release, wanted.bundle), wanted, side):
            rows = arrays.get("embedding", arrays.get("logit"))
            if rows is not None:
                count += int(np.count_nonzero(~np.isfinite(rows.reshape(len(rows), -1)).all(axis=1)))
    return count
