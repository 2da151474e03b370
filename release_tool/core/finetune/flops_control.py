"""Steer the weight of the FLOPS regulariser so that a sparse model ends at a target.

The weight that gives a number of FLOPS depends on batch size, candidates, data and learning rate, so no fixed one is
portable. What is wanted is known, and what there is can be measured: a controller closes the loop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PROPORTIONAL = 0.5
INTEGRAL = 0.15
"""Of the error in natural logarithms, a measurement. Found on toy and real encoders: faster ones overshoot, since an
encoder answers a weight many steps later."""
MAX_ERROR = 1.0
"""A start far from the target moves the weight by a factor of e at most, a measurement."""
RANGE = 1e4
"""The weight stays within this factor of its start: an encoder that does not answer must not run away."""
DEFAULT_TARGET = 2.0
"""Products a pair where the base gives no aim; published inference-free models have 1.7 to 2.3."""
MAX_OWN = 5.0
"""FLOPS above which a base is no trained sparse encoder, whose own FLOPS would be an aim."""


@dataclass
class FlopsController:
    """A proportional and integral controller in its incremental form, on logarithms."""

    target: float
    start: float
    """The first weight."""
    weight: float = 0.0
    error: float = 0.0
    """Of the last measurement: ln(measured / target)."""

    def __post_init__(self) -> None:
        """Begin with the start."""
        self.weight = self.weight or self.start

    def measured(self, flops: float) -> float:
        """Return the weight after a measurement; it grows while there are too many FLOPS."""
        error = math.log(max(flops, 1e-9) / self.target)
        error = min(MAX_ERROR, max(-MAX_ERROR, error))
        step = INTEGRAL * error + PROPORTIONAL * (error - self.error)
        self.error = error
        self.weight = min(self.start * RANGE, max(self.start / RANGE, self.weight * math.exp(step)))
        return self.weight

    def state(self) -> dict[str, float]:
        """Return what a checkpoint keeps."""
        return {"weight": self.weight, "error": self.error}

    def restore(self, state: dict[str, float]) -> None:
        """Go on from a checkpoint."""
        self.weight, self.error = float(state["weight"]), float(state["error"])


def aim(wanted: float, own: float) -> float:
    """Return the target: what the recipe wants, else the base's own, else what published models have.

    Args:
        wanted: train.target_flops; 0 leaves it to the base.
        own: FLOPS of the base on the rows of dev.
    """
    if wanted > 0:
        return wanted
    return own if 0 < own <= MAX_OWN else DEFAULT_TARGET
