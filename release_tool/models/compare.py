"""Compare the answers of a ring with the oracle's, probe by probe: numbers only, no verdict.

Laws (tests hold them): equal answers have no difference; swapping both sides swaps missing with extra and changes
no other measure of distance; whatever the arrays hold, the numbers of a comparison are finite, since what is not
finite is counted instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from release_tool.core.comparison import Comparison
from release_tool.core.kinds import ModelKind
from release_tool.core.plan import Tolerances

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from release_tool.core.probes import Probe
    from release_tool.models.answers import Answers

MAX_ERROR_CHARACTERS = 300

EDGE = 1e-5
"""Weights this close to the threshold or to the prune bound may fall on either side of it: float32
rounding of one forward pass, the same that a dense embedding may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a ring answered, in the order of the probes."""

    arrays: Mapping[str, np.ndarray]
    texts: Sequence[str | None] = ()
    """Question answering: the answers' texts."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """Probe id → why the ring refused it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the comparison itself depends on."""

    tolerances: Tolerances = field(default_factory=Tolerances)
    prune_ratio: float = 0.0
    other_library: bool = False
    """Whether another libtorch answered than the oracle's, whose last bits are its own."""


def compare(
    probes: Sequence[Probe], reference: Answers, measured: Measured, rules: Rules | None = None
) -> tuple[Comparison, ...]:
    """Return one comparison a probe.

    Args:
        probes: those that both sides answered, in order.
        reference: the oracle's answers.
        measured: the ring's.
        rules: of the plan.

    Raises:
        ValueError: the arrays are not those of these probes: a defect of what made them.
    """
    if tuple(probe.id for probe in probes) != reference.facts.probes:
        raise ValueError("the oracle answered other probes")
    row_of = ROWS[reference.facts.kind]
    lengths = measured.arrays.get("tokens")
    if lengths is not None and len(lengths) != len(probes):
        raise ValueError(f"the ring answered {len(lengths)} of {len(probes)} probes")
    found = []
    for row, probe in enumerate(probes):
        wanted = int(reference.arrays["tokens"][row])
        error = measured.errors.get(probe.id)
        facts: dict[str, Any] = {"tokens": wanted}
        if error is not None:
            facts["error"] = error[:MAX_ERROR_CHARACTERS]
        else:
            if lengths is not None:
                facts |= {"tokens": int(lengths[row]), "tokens_reference": wanted}
            facts |= row_of(reference, measured, row, rules or Rules())
        found.append(Comparison(probe=probe.id, shape=probe.shape, **facts))
    return tuple(found)


def differences(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Return how two rows of numbers differ: ``first`` is the archive's, ``second`` the oracle's.

    Numbers that are not finite are counted and left out; rows of different sizes have sizes and no difference.
    """
    facts: dict[str, Any] = {
        "size": int(first.size),
        "size_reference": int(second.size),
        "not_finite": int(np.sum(~np.isfinite(first))),
        "not_finite_reference": int(np.sum(~np.isfinite(second))),
        "scale": _largest(second),
    }
    if first.shape != second.shape:
        return facts
    both = np.isfinite(first) & np.isfinite(second)
    gap = np.full(first.shape, -1.0)
    gap[both] = np.abs(first[both].astype(np.float64) - second[both].astype(np.float64))
    if np.any(both):
        facts |= {"max_abs": float(gap.max()), "worst": int(gap.argmax())}
    elif not gap.size:
        facts["max_abs"] = 0.0
    return facts


def _largest(values: np.ndarray) -> float:
    finite = np.abs(values[np.isfinite(values)].astype(np.float64))
    return float(finite.max(initial=0.0))


def cosine(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return the cosine of two rows of equal size; null where it is not defined."""
    if first.shape != second.shape:
        return None
    lengths = _norm(first), _norm(second)
    if not lengths[0] or not lengths[1]:
        return None
    value = float(first.astype(np.float64) @ second.astype(np.float64)) / (lengths[0] * lengths[1])
    # Rounding may lift it a hair above 1.
    return max(-1.0, min(1.0, value))


def _norm(values: np.ndarray) -> float | None:
    length = float(np.linalg.norm(values.astype(np.float64)))
    return length if math.isfinite(length) else None


def _dense(reference: Answers, measured: Measured, row: int, rules: Rules) -> dict[str, Any]:  # noqa: ARG001
    mine, theirs = np.asarray(measured.arrays["embedding"][row]), reference.arrays["embedding"][row]
    facts = differences(mine, theirs)
    return {**facts, "cosine": cosine(mine, theirs), "norm": _norm(mine), "norm_reference": _norm(theirs)}


def _logit(reference: Answers, measured: Measured, row: int, rules: Rules) -> dict[str, Any]:  # noqa: ARG001
    return differences(measured.arrays["logit"][row : row + 1], reference.arrays["logit"][row : row + 1])


def _slice(arrays: Mapping[str, np.ndarray], row: int, name: str, bounds: str = "indptr") -> np.ndarray:
    indptr = arrays[bounds]
    found: np.ndarray = arrays[name][int(indptr[row]) : int(indptr[row + 1])]
    return found


def _sparse(reference: Answers, measured: Measured, row: int, rules: Rules) -> dict[str, Any]:
    mine = _weights(measured.arrays, row)
    theirs = _weights(reference.arrays, row)
    broken = int(np.sum(~np.isfinite(_slice(measured.arrays, row, "weights"))))
    facts: dict[str, Any] = {
        "active": len(theirs),
        "not_finite": broken,
        "not_finite_reference": int(np.sum(~np.isfinite(_slice(reference.arrays, row, "weights")))),
        "scale": max((abs(weight) for weight in theirs.values()), default=0.0),
        "cosine": sparse_cosine(mine, theirs),
    }
    return {**facts, **sparse_differences(mine, theirs, rules)}


def _weights(arrays: Mapping[str, np.ndarray], row: int) -> dict[int, float]:
    ids, weights = _slice(arrays, row, "ids"), _slice(arrays, row, "weights")
    return {
        int(index): float(weight)
        for index, weight in zip(ids.tolist(), weights.tolist(), strict=True)
        if math.isfinite(weight)
    }


def sparse_cosine(mine: Mapping[int, float], theirs: Mapping[int, float]) -> float:
    """Return the cosine of two sparse vectors: 1 where both are empty, 0 where one is."""
    if not mine or not theirs:
        return 1.0 if not mine and not theirs else 0.0
    tokens = sorted({*mine, *theirs})
    both = [np.asarray([side.get(token, 0.0) for token in tokens]) for side in (mine, theirs)]
    return cosine(both[0], both[1]) or 0.0


def spread(reference: Answers) -> float | None:
    """Return how far the oracle's logits lie apart, largest less smallest; null for other kinds than cross-encoders."""
    if reference.facts.kind is not ModelKind.CROSS_ENCODER:
        return None
    logits = reference.arrays["logit"]
    finite = logits[np.isfinite(logits)].astype(np.float64)
    return float(finite.max() - finite.min()) if finite.size else None


def sparse_differences(mine: Mapping[int, float], theirs: Mapping[int, float], rules: Rules) -> dict[str, Any]:
    """Return missing and extra tokens above the threshold, the largest difference of a weight, and its token.

    A token at the very edge (of the threshold or of the prune bound) that one side has and the other has not is no
    difference: rounding decided it. Negative weights count by their size.
    """
    threshold = rules.tolerances.sparse_threshold
    bound = rules.prune_ratio * max((abs(weight) for side in (mine, theirs) for weight in side.values()), default=0)
    missing = extra = 0
    worst: tuple[float, int | None] = (0.0, None)
    for token in sorted({*mine, *theirs}):
        a, b = mine.get(token, 0.0), theirs.get(token, 0.0)
        gap, larger = abs(a - b), max(abs(a), abs(b))
        alone = token not in mine or token not in theirs
        if alone and bound > 0 and abs(larger - bound) <= EDGE * max(1.0, bound):
            continue
        above = (abs(a) > threshold, abs(b) > threshold)
        if above[0] != above[1] and not (abs(larger - threshold) <= EDGE and gap <= EDGE):
            missing += above[1]
            extra += above[0]
        if gap > worst[0]:
            worst = (gap, token)
    return {"missing": missing, "extra": extra, "max_abs": worst[0], "worst": worst[1]}


def _question_answering(reference: Answers, measured: Measured, row: int, rules: Rules) -> dict[str, Any]:  # noqa: ARG001
    facts: dict[str, Any] = {"margin": _finite(reference.arrays["margin"][row])}
    if measured.texts:
        facts["same_answer"] = measured.texts[row] == reference.facts.texts[row]
    if "start" in measured.arrays:
        both = [
            np.concatenate([_slice(side, row, "start"), _slice(side, row, "end")])
            for side in (measured.arrays, reference.arrays)
        ]
        facts |= differences(both[0], both[1])
    else:
        sides = [_slice(reference.arrays, row, name) for name in ("start", "end")]
        facts["not_finite_reference"] = int(sum(np.sum(~np.isfinite(side)) for side in sides))
    return facts


def _highlighter(reference: Answers, measured: Measured, row: int, rules: Rules) -> dict[str, Any]:  # noqa: ARG001
    mine = set(_slice(measured.arrays, row, "selected").tolist())
    theirs = set(_slice(reference.arrays, row, "selected").tolist())
    chances = _slice(reference.arrays, row, "probability", "probability_indptr")
    return {
        "same_answer": mine == theirs,
        "margin": _finite(reference.arrays["margin"][row]),
        "not_finite_reference": int(np.sum(~np.isfinite(chances))),
    }


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _events(reference: Answers, measured: Measured, row: int, rules: Rules) -> dict[str, Any]:
    mine, theirs = (_events_of(arrays, row) for arrays in (measured.arrays, reference.arrays))
    facts = differences(*(np.concatenate([np.zeros(0), *(event[1] for event in side)]) for side in (mine, theirs)))
    facts["same_answer"] = len(mine) == len(theirs) and all(
        same_event(*pair) for pair in zip(mine, theirs, strict=True)
    )
    facts["not_finite"] += int(sum(np.sum(~np.isfinite(event[0])) for event in mine))
    if not rules.other_library:
        return facts
    facts["margin"] = _finite(reference.arrays["margin"][row])
    # Where the source's own answer hangs on the last bit, a difference in numbers says nothing.
    return {key: facts[key] for key in UNSTEADY} if facts["margin"] == 0 else facts


UNSTEADY = ("same_answer", "margin", "not_finite", "not_finite_reference")


Event = tuple[np.ndarray, ...]
"""Window, pattern, suspected metrics."""


def same_event(mine: Event, theirs: Event) -> bool:
    """Tell whether two events have one window and the same suspected metrics."""
    if mine[0].shape != theirs[0].shape or set(mine[2].tolist()) != set(theirs[2].tolist()):
        return False
    return bool(np.allclose(mine[0], theirs[0], rtol=EDGE, atol=EDGE))


def _events_of(arrays: Mapping[str, np.ndarray], row: int) -> list[Event]:
    """Return the events of a probe."""
    ends = np.cumsum(np.vstack([np.zeros((1, 3), np.int64), arrays["sizes"]]), axis=0)
    return [
        tuple(
            arrays[name][ends[event, place] : ends[event + 1, place]]
            for place, name in enumerate(("window", "pattern", "suspected"))
        )
        for event in range(int(arrays["indptr"][row]), int(arrays["indptr"][row + 1]))
    ]


ROWS: dict[ModelKind, Callable[[Answers, Measured, int, Rules], dict[str, Any]]] = {
    ModelKind.DENSE: _dense,
    ModelKind.SPARSE: _sparse,
    ModelKind.SPARSE_TOKENIZER: _sparse,
    ModelKind.CROSS_ENCODER: _logit,
    ModelKind.QUESTION_ANSWERING: _question_answering,
    ModelKind.HIGHLIGHTER: _highlighter,
    ModelKind.METRICS_CORRELATION: _events,
}
