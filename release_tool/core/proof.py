"""A proof: numbers measured in one ring against the oracle, and the verdict that follows from them.

A proof keeps what was measured, a probe each, and no text. The verdict is computed (``failures``), never
stored as a claim: change a tolerance in the plan and the same proof gives another verdict. Laws (tests hold
them): a larger tolerance never turns a pass into a failure; a number that is not finite always fails; what
was not measured fails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from release_tool.core import proof_int8
from release_tool.core.comparison import Comparison
from release_tool.core.kinds import TRAITS, ModelKind
from release_tool.core.plan import Tolerances
from release_tool.core.variants import Variant

SPARSE_KINDS = frozenset({ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER})
ANSWER_KINDS = frozenset({ModelKind.QUESTION_ANSWERING, ModelKind.HIGHLIGHTER, ModelKind.METRICS_CORRELATION})
OTHER = {ModelKind.HIGHLIGHTER: "other sentences", ModelKind.METRICS_CORRELATION: "other events"}
SCALED_KINDS = frozenset({ModelKind.DENSE, ModelKind.METRICS_CORRELATION})
"""Kinds whose tolerance grows with max|reference| above 1."""

RUNTIME = "runtime"
NODE = "node"
LEGACY = "legacy"
RINGS = (RUNTIME, NODE, LEGACY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """proof-<ring>-<artifact id>.json."""

    SCHEMA: ClassVar[str] = "release-tool/proof@1"

    schema: str = "release-tool/proof@1"
    uses: dict[str, str] = field(default_factory=dict)
    ring: str
    """``runtime`` (emulated serving), ``node`` (real OpenSearch), ``legacy`` (pinned older wheels)."""
    artifact: str
    kind: ModelKind
    archive_sha256: str
    answers_sha256: str
    probes_sha256: str
    versions: dict[str, str]
    """What answered: onnxruntime, tokenizers, torch, opensearch, ml-commons, ..."""
    pinned: bool
    """True when the versions are the server's own; false when installed ones had to stand in."""
    embedding_dimension: int | None
    """Measured on the archive's answers."""
    comparisons: tuple[Comparison, ...]
    note: str | None = None
    not_asked: tuple[str, ...] | None = None
    """Ids of probes that the ring's interface refuses for every model (a node refuses an empty question): nothing
    about the archive follows from them, so they are not compared."""
    variant: Variant | None = None
    """The archive's, by the plan; null in older proofs. int8 is judged by its own tolerances."""
    spread: float | None = None
    """Cross-encoder: the oracle's largest logit less its smallest, over all probes; null for other kinds."""

    @property
    def int8(self) -> bool:
        """Whether the archive may be as far from its source as eight bits make it."""
        return self.variant is Variant.INT8

    def judge(self, item: Comparison, tolerances: Tolerances) -> tuple[float, str] | None:
        """Return (how bad, why) when one comparison is outside the tolerances, None when it is inside."""
        return judge(item, self.kind, self.ring, tolerances, self)

    def difference(self, item: Comparison) -> float | None:
        """Return the number that is judged; null where none was measured."""
        return proof_int8.difference(item, self.kind) if self.int8 else item.max_abs

    def allowed(self, item: Comparison, tolerances: Tolerances) -> float:
        """Return the largest difference allowed for a comparison."""
        return self.limit(tolerances) if self.int8 else allowed(item, self.kind, self.ring, tolerances)

    def limit(self, tolerances: Tolerances) -> float:
        """Return the largest difference allowed, at max|reference| ≤ 1."""
        if self.int8:
            return proof_int8.limit(self.kind, tolerances, self.spread)
        return limit_of(self.kind, self.ring, tolerances)

    def failures(self, tolerances: Tolerances) -> tuple[str, ...]:
        """Return one line for each probe outside the tolerances, worst first; empty means equal."""
        lines = tuple(line for _, line in self.ranked(tolerances))
        if not self.comparisons:
            return ("no probe was answered",)
        unsteady = len(self.unsteady())
        if unsteady * 2 > len(self.comparisons):
            lines += (f"the source's own answer to {unsteady} of {len(self.comparisons)} probes hangs on rounding",)
        return lines

    def unsteady(self) -> tuple[str, ...]:
        """Return the ids of the probes that say nothing: see ``is_unsteady``."""
        return tuple(item.probe for item in self.comparisons if is_unsteady(item, self.kind))

    def ranked(self, tolerances: Tolerances) -> tuple[tuple[Comparison, str], ...]:
        """Return (comparison, why it fails), worst first; equally bad ones by their text."""
        found = []
        for item in self.comparisons:
            verdict = self.judge(item, tolerances)
            if verdict is not None:
                found.append((verdict[0], item, verdict[1]))
        found.sort(key=lambda entry: (-entry[0], entry[2]))
        return tuple((item, line) for _, item, line in found)

    def worst(self) -> Comparison | None:
        """Return the comparison with the largest measured difference, whether it fails or not."""
        measured = [item for item in self.comparisons if self.difference(item) is not None]
        return max(measured, key=lambda item: _badness(self.difference(item) or 0.0), default=None)


def is_unsteady(item: Comparison, kind: ModelKind) -> bool:
    """Tell whether the source's own events are others when its input is rounded: nothing follows for the archive."""
    return kind is ModelKind.METRICS_CORRELATION and item.margin == 0 and item.error is None


def judge(
    item: Comparison, kind: ModelKind, ring: str, tolerances: Tolerances, proof: Proof | None = None
) -> tuple[float, str] | None:
    """Return (how bad, why) when one comparison is outside the tolerances, None when it is inside.

    How bad: the difference in units of its tolerance; infinite where nothing can be compared. Without its proof a
    comparison is judged as float32's.
    """
    unit = f"{TRAITS[kind].unit}s"
    where = f"probe {item.probe} ({item.shape}, {item.tokens} {unit})"
    broken = _broken(item, kind)
    if broken is not None:
        return math.inf, f"{where}: {broken}"
    reasons: list[tuple[float, str]] = []
    if item.tokens_reference is not None and item.tokens_reference != item.tokens:
        # Fixed padding or another truncation: the input is not the model's, whatever the numbers say.
        reasons.append((1.0, f"the archive reads {item.tokens} {unit}, the source {item.tokens_reference}"))
    if proof is not None and proof.int8:
        reasons.extend(proof_int8.reasons(item, kind, tolerances, proof.spread))
        return _worst_of(where, reasons)
    if item.missing or item.extra:
        missing, extra = item.missing or 0, item.extra or 0
        found = f"{missing} tokens missing and {extra} extra above {tolerances.sparse_threshold:g}"
        reasons.append((float(missing + extra), found))
    if kind in ANSWER_KINDS:
        reasons.extend(_answer(item, kind, tolerances))
    if item.max_abs is not None:
        reasons.extend(_difference(item, kind, ring, tolerances))
    return _worst_of(where, reasons)


def _worst_of(where: str, reasons: list[tuple[float, str]]) -> tuple[float, str] | None:
    if not reasons:
        return None
    return max(bad for bad, _ in reasons), f"{where}: " + "; ".join(text for _, text in reasons)


def _broken(item: Comparison, kind: ModelKind) -> str | None:
    """Say why a probe can't be compared at all."""
    if item.error is not None:
        return f"the runtime refused it: {item.error}"
    if item.not_finite_reference:
        return f"{item.not_finite_reference} numbers of the source's own answer are NaN or infinite"
    if item.not_finite:
        return f"{item.not_finite} numbers are NaN or infinite"
    if item.size is not None and item.size_reference is not None and item.size != item.size_reference:
        return f"the archive answers {item.size} numbers, the source {item.size_reference}"
    measured: object = item.max_abs
    if kind is ModelKind.HIGHLIGHTER:
        measured = item.same_answer
    elif kind in SPARSE_KINDS and (item.missing is None or item.extra is None):
        measured = None
    elif kind is ModelKind.QUESTION_ANSWERING and item.max_abs is None:
        measured = item.same_answer
    elif kind is ModelKind.METRICS_CORRELATION:
        measured = item.same_answer if is_unsteady(item, kind) or item.same_answer is None else item.max_abs
    return "nothing was measured" if measured is None else None


def _answer(item: Comparison, kind: ModelKind, tolerances: Tolerances) -> list[tuple[float, str]]:
    if item.same_answer is not False:
        return []
    highlighter = kind is ModelKind.HIGHLIGHTER
    limit = tolerances.highlight_margin if highlighter else tolerances.answer_margin
    # "not <=" and not ">": a NaN margin must fail.
    if item.margin is not None and item.margin <= limit:
        return []
    what = OTHER.get(kind, "another answer")
    said = "is not known" if item.margin is None else f"is {item.margin:.3g}"
    bad = 1.0 if item.margin is None else _badness(_ratio(item.margin, limit))
    return [(bad, f"{what} than the source's, whose margin {said} (allowed where it is at most {limit:g})")]


def _difference(item: Comparison, kind: ModelKind, ring: str, tolerances: Tolerances) -> list[tuple[float, str]]:
    limit = allowed(item, kind, ring, tolerances)
    difference = math.nan if item.max_abs is None else item.max_abs
    # "not <=" and not ">": a NaN difference must fail.
    if difference <= limit:
        return []
    return [(_badness(_ratio(difference, limit)), f"differs by {difference:.3g}, allowed {limit:.3g}")]


def _ratio(value: float, limit: float) -> float:
    return value / limit if limit > 0 else math.inf


def _badness(value: float) -> float:
    """Order NaN with the infinite: a sort over NaN has no order."""
    return math.inf if math.isnan(value) else value


def allowed(item: Comparison, kind: ModelKind, ring: str, tolerances: Tolerances) -> float:
    """Return the largest difference allowed here; for some kinds it grows with max|reference| above 1."""
    limit = limit_of(kind, ring, tolerances)
    if kind in SCALED_KINDS and item.scale is not None and math.isfinite(item.scale):
        return limit * max(1.0, item.scale)
    return limit


def limit_of(kind: ModelKind, ring: str, tolerances: Tolerances) -> float:
    """Return the largest absolute difference allowed for a kind in a ring, at max|reference| ≤ 1."""
    if kind is ModelKind.METRICS_CORRELATION:
        # Both other rings answer with another libtorch than the oracle's.
        return tolerances.dense_runtime if ring == RUNTIME else tolerances.dense_node
    if kind is ModelKind.DENSE:
        return tolerances.dense_node if ring == NODE else tolerances.dense_runtime
    if kind in SPARSE_KINDS:
        return tolerances.sparse_weight
    return tolerances.logit


def proof_name(ring: str, artifact_id: str) -> str:
    """Return the document's file name."""
    return f"proof-{ring}-{artifact_id}.json"
