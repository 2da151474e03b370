"""The gate: may a trained model be handed over without a person who takes the responsibility?

The rule. Points are hundredths of nDCG@10; p is two-sided, so that a gain by chance is called one as rarely as a loss.

1. There are held-out queries, and on them the mean gain is at least ``evaluate.min_gain`` and p at most
   ``evaluate.max_p``. A test of few queries can't reach a small p, and so does not pass.
2. No judged set of the user's domain gets worse with p at most ``evaluate.max_p``.
3. No guard loses more than ``evaluate.max_guard_drop``, whatever its p.
4. Sparse: FLOPS over the held-out queries are at most ``evaluate.max_flops_ratio`` times the base's. Where the base
   encodes nothing sparse there is nothing to compare with but ``train.target_flops``, if the recipe names it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from release_tool.core.escape import one_line
from release_tool.core.finetune.evaluation import Before, Role
from release_tool.core.quality import POINTS, ROUNDING
from release_tool.core.quantity import clip

if TYPE_CHECKING:
    from release_tool.core.finetune.evaluation import Evaluated, Evaluation, Limits

MAX_NAME = 80


def failures(evaluation: Evaluation) -> tuple[str, ...]:
    """Return why the gate is red; empty where it is green."""
    limits = evaluation.limits
    held = [one for one in evaluation.sets if one.role is Role.HELD_OUT]
    found = [] if held else ["there are no held-out queries: nothing shows that the model is better"]
    for one in evaluation.sets:
        if not all(map(math.isfinite, (one.before.ndcg_10, one.after.ndcg_10, one.p))):
            found.append(f"{name_of(one)}: nDCG@10 is no number")
            continue
        match one.role:
            case Role.HELD_OUT:
                found += _held_out(one, limits)
            case Role.SET:
                found += _set(one, limits)
            case Role.GUARD:
                found += _guard(one, limits)
    for one in held:
        found += _flops(one, evaluation)
    return tuple(found)


def name_of(one: Evaluated) -> str:
    """Return the name of a set for people."""
    return "the held-out queries" if one.role is Role.HELD_OUT else clip(one_line(one.name), MAX_NAME)


def points(share: float) -> str:
    """Return a difference of nDCG in points with its sign, never minus nothing."""
    text = f"{share * POINTS:+.2f}"
    return "0.00" if float(text) == 0 else text


def _held_out(one: Evaluated, limits: Limits) -> list[str]:
    found = []
    if one.gain * POINTS < limits.min_gain - ROUNDING:
        found.append(
            f"{name_of(one)}: nDCG@10 goes from {one.before.ndcg_10:.4f} to {one.after.ndcg_10:.4f}, by "
            f"{points(one.gain)} points; {limits.min_gain:g} at least are wanted (evaluate.min_gain)"
        )
    if one.p > limits.max_p + ROUNDING:
        found.append(
            f"{name_of(one)}: a difference as large comes by chance with p = {one.p:.4f} over {one.queries} queries; "
            f"{limits.max_p:g} at most is wanted (evaluate.max_p)"
        )
    return found


def _set(one: Evaluated, limits: Limits) -> list[str]:
    if one.gain >= -ROUNDING or one.p > limits.max_p + ROUNDING:
        return []
    return [f"{name_of(one)}: gets worse, by {points(one.gain)} points with p = {one.p:.4f}"]


def _guard(one: Evaluated, limits: Limits) -> list[str]:
    if -one.gain * POINTS <= limits.max_guard_drop + ROUNDING:
        return []
    lost = f"the guard loses {points(-one.gain).lstrip('+')} points of nDCG@10"
    return [f"{name_of(one)}: {lost}; {limits.max_guard_drop:g} may be lost (evaluate.max_guard_drop)"]


def _flops(one: Evaluated, evaluation: Evaluation) -> list[str]:
    limits, after = evaluation.limits, one.after.flops
    base = one.before.flops if evaluation.before is Before.BASE else limits.target_flops or None
    if after is None or base is None:
        return []
    if after <= base * limits.max_flops_ratio + ROUNDING:
        return []
    whose = "the base has" if evaluation.before is Before.BASE else "training was to reach"
    more = f"FLOPS {after:.2f} are more than {limits.max_flops_ratio:g} times the {base:.2f} that {whose}"
    return [f"{name_of(one)}: {more} (evaluate.max_flops_ratio)"]
