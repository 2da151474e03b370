"""Proofs: numbers from one ring for one archive, and the verdict that follows from them.

A proof keeps what was measured, a probe each, and no text. The verdict is computed (``failures``), never stored as
a claim: change a tolerance in the plan and the same proof gives another verdict.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from release_tool.core.kinds import ModelKind
from release_tool.core.plan import Tolerances


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One probe: what the archive answered against what the oracle answered."""

    probe: str
    """Id in the probe set, such as ``len-512`` or ``cjk-1``."""
    shape: str
    """What the probe is there for: short, empty, long, truncated, cjk, ..."""
    tokens: int
    """Length of the model's input after truncation, special tokens included."""
    max_abs: float | None = None
    """Largest absolute difference of a component, a logit or a weight."""
    scale: float | None = None
    """max|reference|, which the dense tolerance is multiplied with when it is above 1."""
    cosine: float | None = None
    missing: int | None = None
    """Sparse: tokens above the threshold that the oracle has and the archive has not."""
    extra: int | None = None
    """Sparse: tokens above the threshold that the archive has and the oracle has not."""
    active: int | None = None
    """Sparse: tokens of the oracle's answer."""
    same_answer: bool | None = None
    """Question answering and highlighter: whether the answers are the same."""
    margin: float | None = None
    """Question answering: best span minus second best; highlighter: least distance of a probability to the
    threshold that decided."""
    not_finite: int = 0
    """NaN and infinite numbers in the archive's answer."""
    error: str | None = None
    """The runtime's own words when it refused the probe; cut to 300 characters."""


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

    def failures(self, tolerances: Tolerances) -> tuple[str, ...]:
        """Return one line for each probe outside the tolerances, worst first; empty means equal."""
        lines: list[tuple[float, str]] = []
        for item in self.comparisons:
            reason = judge(item, self.kind, self.ring, tolerances)
            if reason is not None:
                lines.append(reason)
        if not self.comparisons:
            lines.append((float("inf"), "no probe was answered"))
        return tuple(text for _, text in sorted(lines, key=lambda pair: (-pair[0], pair[1])))


def judge(item: Comparison, kind: ModelKind, ring: str, tolerances: Tolerances) -> tuple[float, str] | None:  # noqa: PLR0911
    """Return (how bad, why) when one comparison is outside the tolerances."""
    where = f"probe {item.probe} ({item.shape}, {item.tokens} tokens)"
    if item.error is not None:
        return float("inf"), f"{where}: the runtime refused it: {item.error}"
    if item.not_finite:
        return float("inf"), f"{where}: {item.not_finite} numbers are NaN or infinite"
    if item.missing or item.extra:
        return (
            float((item.missing or 0) + (item.extra or 0)),
            f"{where}: {item.missing or 0} tokens missing and {item.extra or 0} extra above "
            f"{tolerances.sparse_threshold:g}",
        )
    if kind is ModelKind.QUESTION_ANSWERING and item.same_answer is not None and item.max_abs is None:
        if item.same_answer is False and (item.margin is None or item.margin > tolerances.answer_margin):
            return 1.0, f"{where}: another answer than the oracle's, whose margin is {item.margin}"
        return None
    if kind is ModelKind.HIGHLIGHTER and item.same_answer is not None:
        if item.same_answer is False and (item.margin is None or item.margin > tolerances.highlight_margin):
            return 1.0, f"{where}: other sentences than the oracle's, {item.margin} away from the threshold"
        return None
    if item.max_abs is None:
        return float("inf"), f"{where}: nothing was measured"
    limit = limit_of(kind, ring, tolerances) * (max(1.0, item.scale or 0.0) if kind is ModelKind.DENSE else 1.0)
    # "not <=" and not ">": a NaN difference must fail.
    if not item.max_abs <= limit:
        return item.max_abs / limit, f"{where}: differs by {item.max_abs:.3g}, allowed {limit:.3g}"
    return None


def limit_of(kind: ModelKind, ring: str, tolerances: Tolerances) -> float:
    """Return the largest absolute difference allowed for a kind in a ring."""
    if kind is ModelKind.DENSE:
        return tolerances.dense_node if ring == "node" else tolerances.dense_runtime
    if kind in (ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER):
        return tolerances.sparse_weight
    return tolerances.logit


def proof_name(ring: str, artifact_id: str) -> str:
    """Return the document's file name."""
    return f"proof-{ring}-{artifact_id}.json"
