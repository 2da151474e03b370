"""What was measured of one probe: numbers only, no text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One probe: what the archive answered against what the oracle answered."""

    probe: str
    """Id in the probe set, such as ``len-512`` or ``cjk-1``."""
    shape: str
    """What the probe is there for: short, empty, long, truncated, cjk, ..."""
    tokens: int
    """Length of the archive's own input after truncation, special tokens included; the oracle's where the
    ring does not tell (a real node)."""
    max_abs: float | None = None
    """Largest absolute difference of a component, a logit or a weight."""
    scale: float | None = None
    """max|reference|, which the tolerance of dense and metrics correlation is multiplied with when it is above 1."""
    cosine: float | None = None
    missing: int | None = None
    """Sparse: tokens above the threshold that the oracle has and the archive has not."""
    extra: int | None = None
    """Sparse: tokens above the threshold that the archive has and the oracle has not."""
    active: int | None = None
    """Sparse: tokens of the oracle's answer."""
    same_answer: bool | None = None
    """Question answering and highlighter: whether the answers are the same; metrics correlation: whether the events
    have the same windows and suspected metrics."""
    margin: float | None = None
    """How far the oracle's answer is from being another one. Question answering: best minus second best
    logit, the smaller of start and end; highlighter: least distance of a probability to the decision that it
    would turn; metrics correlation, in another libtorch than the oracle's: 0 where rounding the input turns it,
    else 1."""
    not_finite: int = 0
    """NaN and infinite numbers in the archive's answer."""
    error: str | None = None
    """The runtime's own words when it refused the probe; cut to 300 characters."""
    tokens_reference: int | None = None
    """Length of the oracle's input; null where ``tokens`` already is the oracle's."""
    size: int | None = None
    """Numbers in the archive's answer; null for sparse ones and where only the answer's text is known."""
    size_reference: int | None = None
    norm: float | None = None
    """Dense: length (L2) of the archive's embedding."""
    norm_reference: float | None = None
    worst: int | None = None
    """Where ``max_abs`` is: component, position, or token id of a sparse answer."""
    not_finite_reference: int | None = None
    """NaN and infinite numbers in the oracle's own answer: the source is broken."""
