"""What the review page shows, as ready values: a template prints these and decides nothing.

All texts are raw here (a model's name may hold anything); each template's environment escapes them for its
place.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from release_tool.core.svg import Svg


class Level(StrEnum):
    """How much a line asks of the reader."""

    OK = "ok"
    NOTE = "note"
    ATTENTION = "attention"
    STOP = "stop"


SIGN = {Level.OK: "✓", Level.NOTE: "i", Level.ATTENTION: "!", Level.STOP: "✕"}
WORD = {Level.OK: "good", Level.NOTE: "note", Level.ATTENTION: "attention", Level.STOP: "stop"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that an approver should know before anything else."""

    level: Level
    title: str
    text: str

    @property
    def sign(self) -> str:
        """The level as a sign, so that colour is never alone."""
        return SIGN[self.level]

    @property
    def word(self) -> str:
        """The level as a word."""
        return WORD[self.level]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A name and its value."""

    label: str
    value: str
    note: str = ""
    mono: bool = False
    """Set in a fixed-width face: digests, keys, names that are compared letter by letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRow:
    """One archive among the others of its release."""

    artifact: str
    variant: str
    name: str
    """What it is registered as."""
    size: str
    parity: str
    """The worst difference in each ring beside what is allowed: ``runtime 1.2e-07 of 1e-05``."""
    quality: str
    """nDCG@10 on each judged set and what is lost."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRow:
    """One archive in one ring."""

    artifact: str
    ring: str
    ring_meaning: str
    level: Level
    sign: str
    verdict: str
    passed: str
    """``72 of 72``."""
    worst: str
    limit: str
    headroom: str
    worst_probe: str
    cosine: str
    """Least cosine over the probes; empty where the kind has none."""
    versions: tuple[Fact, ...]
    versions_note: str
    reasons: tuple[str, ...]
    more_reasons: str
    diagnosis: str
    """What most likely causes the failures, from the numbers alone; empty where none fails or no rule knows it."""
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRow:
    """One archive on one judged set."""

    artifact: str
    set: str
    level: Level
    sign: str
    verdict: str
    size: str
    """``124 queries, 316 documents``."""
    ndcg: str
    source: str
    loss: str
    """Points of nDCG@10."""
    interval: str
    """Where the loss lies, 95 % of the resamples: ``-0.10 to 0.25``."""
    budget: str
    recall: str
    mrr: str
    more: str
    """Sparse: how many tokens; texts that were refused or are empty."""
    sha256: str
    """Of the set."""
    losers: tuple[str, ...]
    """Queries that lose most, where the budget is not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedRow:
    """One archive's speed and size in one ring."""

    artifact: str
    variant: str
    ring: str
    level: Level
    sign: str
    verdict: str
    size: str
    load: str
    memory: str
    """Of the process with the model: loaded, and after the longest input."""
    times: tuple[str, ...]
    """``64 tokens: 13.4 / 14.2 ms``: p50 and p95."""
    beside: tuple[str, ...]
    """The other archive, and the ratio of the times by length; empty where there was none."""
    note: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeRow:
    """All probes of one shape, for one archive: what a text without pictures can show."""

    artifact: str
    shape: str
    probes: str
    tokens: str
    cells: tuple[str, ...]
    """The worst difference in each ring, in the order of ``Page.rings``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawing and what to see in it."""

    heading: str
    caption: str
    svg: Svg


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactCard:
    """One archive."""

    id: str
    title: str
    size: str
    exact_size: str
    sha256: str
    names: tuple[Fact, ...]
    facts: tuple[Fact, ...]
    warnings: tuple[str, ...]
    config_sha256: str
    config_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompatRow:
    """One range of OpenSearch versions for one archive."""

    artifact: str
    versions: str
    level: Level
    sign: str
    verdict: str
    """``deploys``, ``refused``, ``unknown``."""
    basis: str
    """``measured``, ``derived`` or ``unknown``."""
    reasons: tuple[str, ...]
    target: bool
    """Whether a target version of the plan lies in the range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """One file with its size and digest."""

    path: str
    size: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The whole page."""

    title: str
    headline: str
    """The first line: may it be approved, and if not, why."""
    level: Level
    sign: str
    digest: str | None
    digest_groups: tuple[str, ...]
    """The digest in groups of eight, for eyes that compare it; empty without one."""
    reasons: tuple[str, ...]
    notices: tuple[Notice, ...]
    identity: tuple[Fact, ...]
    settings: tuple[Fact, ...]
    variants: tuple[VariantRow, ...]
    rings: tuple[str, ...]
    proofs: tuple[ProofRow, ...]
    shapes: tuple[ShapeRow, ...]
    quality: tuple[QualityRow, ...]
    speed: tuple[SpeedRow, ...]
    pictures: tuple[Picture, ...]
    artifacts: tuple[ArtifactCard, ...]
    sizes: Picture | None
    compat: tuple[CompatRow, ...]
    left_out: tuple[Fact, ...]
    warnings: tuple[str, ...]
    lineage: tuple[Fact, ...]
    replaces: tuple[Fact, ...]
    budgets: tuple[Fact, ...]
    tolerances: tuple[Fact, ...]
    source_files: tuple[FileRow, ...]
    source_total: str
    manifest: tuple[FileRow, ...]
    recompute: tuple[str, ...]
    footer: str
