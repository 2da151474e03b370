"""From paired timings to a ratio with an interval, and the rule when one archive is slower than another.

Both archives are asked in every round, one right after the other, so a round's ratio is free of what the machine does
from minute to minute. The interval is that of the median by order statistics (a sign test turned around): it assumes
nothing of how times are distributed, and a few rounds that something disturbed can't move it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.99
"""How often the interval holds the true ratio, were there nothing but chance."""
MIN_ROUNDS = 8
"""With fewer not even the least and the largest ratio make an interval of that level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """One archive's time through another's, for inputs of one length."""

    tokens: int
    ratio: float
    """Median over the rounds."""
    low: float
    high: float

    def is_over(self, budget: float) -> bool:
        """Tell whether the archive is slower than allowed, and not only by chance: the whole interval says so."""
        return self.low > budget

    def is_open(self, budget: float) -> bool:
        """Tell whether the rounds leave it open: some of the interval is allowed and some not."""
        return self.low <= budget < self.high


def ratio_of(tokens: int, ours: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> Ratio:
    """Return the ratio of two archives.

    Args:
        tokens: the length of the input.
        ours: a round each the times of its answers, in any unit.
        others: the same of the other archive, in the same rounds.

    Raises:
        ValueError: fewer rounds than ``MIN_ROUNDS``, or not the same rounds.
    """
    middle, low, high = paired(ours, others)
    return Ratio(tokens=tokens, ratio=middle, low=low, high=high)


def paired(ours: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Return the median of the rounds' ratios and the interval that holds it; arguments and errors as ``ratio_of``."""
    ratios = sorted(median(mine) / median(theirs) for mine, theirs in zip(ours, others, strict=True) if mine and theirs)
    place = rank(len(ratios))
    return median(ratios), ratios[place], ratios[-1 - place]


def undecided(ratios: Sequence[Ratio], budget: float) -> bool:
    """Tell whether it takes more rounds to say if the budget is kept: no length is over it, and one may be."""
    return not any(ratio.is_over(budget) for ratio in ratios) and any(ratio.is_open(budget) for ratio in ratios)


def rank(rounds: int) -> int:
    """Return how many ratios lie outside the interval at each end.

    Raises:
        ValueError: there are too few rounds for any interval.
    """
    tail, place = 0.0, -1
    for below in range(rounds):
        tail += math.comb(rounds, below) / 2**rounds
        if tail > (1 - LEVEL) / 2:
            break
        place = below
    if place < 0:
        raise ValueError(f"{rounds} rounds say nothing with that much confidence; {MIN_ROUNDS} do")
    return place


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all values do not exceed (the nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
