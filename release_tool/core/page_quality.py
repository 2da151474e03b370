"""How the archives search, as rows of the review page; every verdict is ``quality.over``'s."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.page import SIGN, Level, Notice, QualityRow
from release_tool.core.quality import POINTS, QUALITY_KINDS, over
from release_tool.core.quantity import clip, plural

if TYPE_CHECKING:
    from collections.abc import Iterable

    from release_tool.core.certificate import Certificate
    from release_tool.core.quality import Judged, Loser, Measures, Quality

SHOWN_LOSERS = 5


def quality_rows(certificate: Certificate) -> tuple[QualityRow, ...]:
    """Return a row a set; none where nothing was measured."""
    quality = certificate.quality
    return () if quality is None else tuple(_row(quality, judged) for judged in quality.sets)


def _row(quality: Quality, judged: Judged) -> QualityRow:
    reason = over(judged, quality.budget)
    level = Level.OK if reason is None else Level.STOP
    return QualityRow(
        artifact=clip(quality.artifact, 60),
        set=clip(judged.name, 80),
        level=level,
        sign=SIGN[level],
        verdict="within budget" if reason is None else "over budget",
        size=f"{plural(judged.queries, 'query', 'queries')}, {plural(judged.documents, 'document')}",
        ndcg=f"{judged.archive.ndcg_10:.4f}",
        source=f"{judged.source.ndcg_10:.4f}",
        loss=points(judged.lost),
        interval=f"{points(judged.loss.low)} to {points(judged.loss.high)}",
        budget=str(quality.budget),
        recall=_beside(judged.archive.recall_100, judged.source.recall_100),
        mrr=_beside(judged.archive.mrr_10, judged.source.mrr_10),
        more=_more(judged),
        sha256=judged.sha256,
        losers=tuple(_loser(loser) for loser in judged.losers[:SHOWN_LOSERS]) if reason else (),
    )


def points(share: float) -> str:
    """Return a difference of nDCG in points, with two digits and never minus nothing."""
    text = f"{share * POINTS:.2f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _beside(archive: float, source: float) -> str:
    return f"{archive:.4f} (source {source:.4f})"


def _more(judged: Judged) -> str:
    words = [_activity(judged.archive)] if judged.archive.flops is not None else []
    if judged.refused:
        words.append(f"the archive refuses {plural(judged.refused, 'text')}")
    if judged.empty:
        words.append(f"{plural(judged.empty, 'document')} without a text")
    return "; ".join(words)


def _activity(measures: Measures) -> str:
    return (
        f"FLOPS {measures.flops or 0:.2f}, {measures.document_tokens or 0:.1f} tokens a document, "
        f"{measures.query_tokens or 0:.1f} a query"
    )


def _loser(loser: Loser) -> str:
    ranks = f"{place(loser.source_rank)} → {place(loser.archive_rank)}"
    return f"{clip(loser.query, 80)}: {loser.source:.2f} → {loser.archive:.2f} ({ranks}): {clip(loser.text, 200)}"


def place(rank: int | None) -> str:
    """Return the place of the best judged document in words."""
    return "not found" if rank is None else f"place {rank}"


def not_measured(certificates: Iterable[Certificate]) -> list[Notice]:
    """Return a notice that names the archives that search and were measured on no judged set."""
    names = [
        clip(certificate.artifact, 60)
        for certificate in certificates
        if certificate.quality is None and certificate.bundle.kind in QUALITY_KINDS
    ]
    text = f"{', '.join(names)}: nobody measured what a search finds with it; release-tool quality does."
    return [Notice(level=Level.NOTE, title="Retrieval quality not measured", text=text)] if names else []
