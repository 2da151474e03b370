"""The randomisation test: exact where it can be, the same in every run, and right about chance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from release_tool.models.finetune.significance import RESAMPLES, randomisation_test


def by_hand(gains):
    means = [abs(np.mean(np.array(signs) * gains)) for signs in itertools.product((1, -1), repeat=len(gains))]
    return np.mean(np.array(means) >= abs(np.mean(gains)) - 1e-12)


@pytest.mark.parametrize("gains", [[0.3, -0.1], [0.1, 0.2, 0.05, 0.3, 0.1], [0.3, -0.1, 0.2, 0.4, 0.0, -0.2, 0.6, 0.1]])
def test_few_queries_are_counted_out(gains):
    found = randomisation_test(np.array(gains))
    assert found.p == pytest.approx(by_hand(np.array(gains)))
    assert found.resamples == 0


@pytest.mark.parametrize("gains", [[], [0.5], [0.0, 0.0, 0.0]])
def test_nothing_follows_from_no_difference_or_one_query(gains):
    assert randomisation_test(np.array(gains)).p == 1.0


def test_many_queries_are_drawn_the_same_in_every_run_and_near_the_normal_law():
    from scipy.stats import norm

    gains = np.random.default_rng(3).normal(0.02, 0.2, 300)
    found = randomisation_test(gains)
    z = gains.mean() / (np.sqrt(np.mean(gains**2) / len(gains)))
    assert found == randomisation_test(gains)
    assert found.resamples == RESAMPLES
    assert found.p == pytest.approx(2 * norm.sf(abs(z)), abs=0.02)


def test_it_is_two_sided():
    gains = np.random.default_rng(4).normal(0.05, 0.2, 200)
    assert randomisation_test(gains).p == pytest.approx(randomisation_test(-gains).p, abs=0.005)


def test_of_differences_by_chance_one_in_twenty_is_below_a_twentieth():
    generator = np.random.default_rng(5)
    found = [randomisation_test(generator.normal(0, 1, 10)).p for _ in range(400)]
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.035)
