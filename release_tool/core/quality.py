"""Retrieval quality of one archive beside that of its source, on judged sets, and what it may lose.

Numbers, not booleans: the document keeps what was measured and what was allowed; whether that passes is computed.
Losses are counted in points, hundredths of nDCG@10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from release_tool.core.kinds import ModelKind

QUALITY_KINDS = (ModelKind.DENSE, ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER, ModelKind.CROSS_ENCODER)
"""Kinds that search; the others answer or select, and no judged set says how well."""

LOSS_POINTS = 0.1
"""Points that an archive may lose that computes in float32: rounding turns a tie now and then, nothing else may."""
KEPT_PER_CENT: dict[ModelKind, float] = {
    ModelKind.DENSE: 99.5,
    ModelKind.SPARSE: 99.0,
    ModelKind.SPARSE_TOKENIZER: 99.0,
    ModelKind.CROSS_ENCODER: 98.5,
}
"""Per cent of the source's nDCG@10 that an int8 archive must keep; what good quantisation is known to reach."""

INT8 = "int8"
POINTS = 100.0
SHIPPED_SET = "release-tool"
"""Name of the set that comes with the package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What an archive may lose; one of the two is null."""

    loss_points: float | None = None
    """Points of nDCG@10 at most: hundredths of it."""
    kept_per_cent: float | None = None
    """Per cent of the source's nDCG@10 at least."""

    def allowed(self, source: float) -> float:
        """Return how much nDCG@10 may be lost where the source has this much."""
        if self.kept_per_cent is not None:
            return source * (1 - self.kept_per_cent / 100)
        return (self.loss_points or 0.0) / POINTS

    def __str__(self) -> str:
        """Say it in words."""
        if self.kept_per_cent is not None:
            return f"{self.kept_per_cent:g} % of the source's nDCG@10 must be kept"
        return f"{self.loss_points or 0:g} points of nDCG@10 may be lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """What the settings say for each kind; what they leave out is the default."""

    loss_points: dict[ModelKind, float] = field(default_factory=dict)
    kept_per_cent: dict[ModelKind, float] = field(default_factory=dict)

    def of(self, kind: ModelKind, variant: str) -> Budget:
        """Return the budget of an archive by its kind and variant."""
        if INT8 in variant.split("-"):
            return Budget(kept_per_cent=self.kept_per_cent.get(kind, KEPT_PER_CENT[kind]))
        return Budget(loss_points=self.loss_points.get(kind, LOSS_POINTS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Means over all judged queries of a set."""

    ndcg_10: float
    """Graded: the gain of a document is its judgement."""
    recall_100: float
    mrr_10: float
    flops: float | None = None
    """Sparse: products of weights a pair of query and document has on average; null for other kinds."""
    document_tokens: float | None = None
    """Sparse: mean of tokens that weigh something in a document."""
    query_tokens: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Where the mean loss of nDCG@10 lies, by resampling the queries in pairs."""

    low: float
    high: float
    level: float
    """Share of the resamples inside, such as 0.95."""
    resamples: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loser:
    """A query that the archive answers worse than the source."""

    query: str
    text: str
    """Shortened."""
    source: float
    """nDCG@10 of this query."""
    archive: float
    wanted: str
    """Id of the best judged document."""
    source_rank: int | None
    """Its place among the first hundred, from 1; null below."""
    archive_rank: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One judged set: what it is, and how source and archive do on it."""

    name: str
    sha256: str
    """Over the digests of its files."""
    files: dict[str, str]
    """Path in the set → sha256 of what was read."""
    documents: int
    queries: int
    """Judged ones; others are not asked."""
    judgements: int
    empty: int
    """Documents without a text, which neither side can find."""
    refused: int
    """Texts that the archive refuses: they are found by no query and find nothing."""
    source: Measures
    archive: Measures
    loss: Interval
    losers: tuple[Loser, ...]
    """Worst first."""

    @property
    def lost(self) -> float:
        """What the archive loses of nDCG@10; negative where it does better."""
        return self.source.ndcg_10 - self.archive.ndcg_10


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """quality-<artifact id>.json."""

    SCHEMA: ClassVar[str] = "release-tool/quality@1"

    schema: str = "release-tool/quality@1"
    uses: dict[str, str] = field(default_factory=dict)
    artifact: str
    kind: ModelKind
    variant: str
    archive_sha256: str
    budget: Budget
    sets: tuple[Judged, ...]
    """Sorted by name."""
    similarity: str
    """``dot``, ``cosine`` or ``logit``: what a document is ranked by."""
    versions: dict[str, str]
    """Libraries that ranked and measured."""

    def failures(self) -> tuple[str, ...]:
        """Return why the archive may not be released; empty where every set stays within the budget."""
        found = [] if self.sets else ["no judged set was measured"]
        for judged in self.sets:
            reason = over(judged, self.budget)
            if reason:
                found.append(reason)
        return tuple(found)


ROUNDING = 1e-9
"""A mean over doubles; a loss of exactly the budget passes."""


def over(judged: Judged, budget: Budget) -> str | None:
    """Say how a set is over its budget; null where it is not."""
    if not all(map(math.isfinite, (judged.source.ndcg_10, judged.archive.ndcg_10))):
        return f"{judged.name}: nDCG@10 is no number"
    if judged.lost <= budget.allowed(judged.source.ndcg_10) + ROUNDING:
        return None
    return (
        f"{judged.name}: nDCG@10 falls from {judged.source.ndcg_10:.4f} to {judged.archive.ndcg_10:.4f}, "
        f"by {judged.lost * POINTS:.2f} points; {budget}"
    )


def quality_name(artifact_id: str) -> str:
    """Return the document's file name."""
    return f"quality-{artifact_id}.json"
