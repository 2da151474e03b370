"""Is a difference of two rankings more than chance? A paired randomisation test over queries, by scipy.

Under the hypothesis that both models are equally good, each query's difference could as well have the other sign.
Source: Smucker, Allan and Carterette, A comparison of statistical significance tests for information retrieval
evaluation, CIKM 2007.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SEED = 20_261_122
RESAMPLES = 10_000
AT_ONCE = 256
"""Assignments of signs that are in memory together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Randomised:
    """What the test found."""

    p: float
    """Two-sided: share of assignments whose mean is at least as far from 0 as the measured one."""
    resamples: int
    """Assignments that were drawn; 0 where every one was counted."""


def randomisation_test(differences: np.ndarray) -> Randomised:
    """Test the mean of differences float64 [queries]; the same in every run.

    All assignments are counted where there are no more than would be drawn, else so many are drawn.
    """
    from scipy.stats import permutation_test

    if len(differences) < 2 or not np.any(differences):  # one query: each of its two signs lies as far from 0
        return Randomised(p=1.0, resamples=0)
    exact = 2 ** min(len(differences), 63) <= RESAMPLES

    def mean(sample: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(sample.mean(axis=axis))

    found = permutation_test(
        (differences,),
        mean,
        permutation_type="samples",
        n_resamples=np.inf if exact else RESAMPLES,
        batch=AT_ONCE,
        rng=np.random.default_rng(SEED),
    )
    return Randomised(p=float(min(1.0, found.pvalue)), resamples=0 if exact else RESAMPLES)
