"""evaluation.json: how base and trained model search, on the same queries and the same documents.

Numbers and the limits that they are held against; whether that passes is computed by ``gate``. Ids only, no texts.
Differences are of nDCG@10 and positive where the trained model does better.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from release_tool.core.quality import Interval, Measures


class Role(StrEnum):
    """Why something is measured."""

    HELD_OUT = "held-out"
    """Queries of documents that nothing was trained on; they decide."""
    SET = "set"
    """A judged set over the user's own domain."""
    GUARD = "guard"
    """A judged set of another domain, which may lose little."""


class Before(StrEnum):
    """What the numbers before are of."""

    BASE = "base"
    """The base model as it would be served."""
    UNTRAINED = "untrained"
    """A base that encodes nothing sparse: what training started from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A query that the trained model answers worse."""

    query: str
    before: float
    """nDCG@10 of this query."""
    after: float
    wanted: str
    """Id of the best judged document."""
    before_rank: int | None
    """Its place among the first hundred, from 1; null below."""
    after_rank: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """One set of queries."""

    name: str
    role: Role
    sha256: str
    """Over the files of a judged set; over ids, judgements and the digests of corpus and queries of the held-out."""
    documents: int
    """That were searched."""
    queries: int
    judgements: int
    before: Measures
    after: Measures
    bm25: Measures
    """Of the words alone, for orientation; decides nothing."""
    interval: Interval
    """Where the mean gain lies, by resampling the queries in pairs."""
    p: float
    """Two-sided paired randomisation test of the mean gain."""
    resamples: int
    """Signs that were drawn; 0 where every assignment was counted."""
    better: int
    """Queries that gain."""
    worse: int
    losers: tuple[Lost, ...]
    """Worst first."""

    @property
    def gain(self) -> float:
        """What the trained model gains of nDCG@10."""
        return self.after.ndcg_10 - self.before.ndcg_10


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The keys of the recipe that the gate looks at."""

    min_gain: float
    max_p: float
    max_guard_drop: float
    max_flops_ratio: float
    target_flops: float
    """What training steered to; 0: what the base has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """evaluation.json."""

    SCHEMA: ClassVar[str] = "release-tool/evaluation@1"

    schema: str = "release-tool/evaluation@1"
    kind: str
    """``dense`` or ``sparse``."""
    before: Before
    similarity: str
    """``dot`` or ``cosine``: what documents are ranked by."""
    sets: tuple[Evaluated, ...]
    """The held-out queries first, then sets and guards as the recipe names them."""
    limits: Limits
    reasons: tuple[str, ...]
    """Why the gate is red, as it was said; empty where it is green."""
    versions: dict[str, str] = field(default_factory=dict)
    """Libraries that encoded, ranked and measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryScore:
    """A row of ``scores``, by stage evaluate: nDCG@10 of one query."""

    STEM: ClassVar[str] = "scores"

    set: str
    query: str
    before: float
    after: float
