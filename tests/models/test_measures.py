"""The measures: against their definitions, written out; the interval of a loss; the queries that lose."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release_tool.models.measures import interval, losers, ranking_of, score
from release_tool.models.ranking import Best


def ndcg(names, grades, depth=10):
    gain = sum(grades.get(name, 0) / math.log2(place + 2) for place, name in enumerate(names[:depth]))
    ideal = sum(g / math.log2(place + 2) for place, g in enumerate(sorted(grades.values(), reverse=True)[:depth]))
    return gain / ideal


NAMES = [f"d{index}" for index in range(150)]


@settings(max_examples=60, deadline=None)
@given(
    st.permutations(NAMES).map(lambda names: names[:120]),
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 4), min_size=1, max_size=30).filter(
        lambda g: max(g.values())
    ),
)
def test_the_library_measures_what_the_definitions_say(names, grades):
    names = names[:100]
    found = score({"q": names}, {"q": grades}).means
    relevant = {name for name, grade in grades.items() if grade > 0}
    first = next((place for place, name in enumerate(names[:10], 1) if name in relevant), None)
    assert found.ndcg_10 == pytest.approx(ndcg(names, grades))
    assert found.recall_100 == pytest.approx(len(relevant & set(names)) / len(relevant))
    assert found.mrr_10 == pytest.approx(1 / first if first else 0)


def test_a_query_that_finds_nothing_counts_nothing_and_counts_along():
    found = score({"a": ["x"], "b": []}, {"a": {"x": 1}, "b": {"x": 1}})
    assert found.ndcg.tolist() == [1.0, 0.0]
    assert (found.means.ndcg_10, found.means.recall_100, found.means.mrr_10) == (0.5, 0.5, 0.5)


def test_a_grade_of_three_counts_three_times_a_grade_of_one():
    best, other = {"x": 3, "y": 1}, {"q": ["y", "x"]}
    assert score(other, {"q": best}).means.ndcg_10 == pytest.approx((1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3)))


def test_the_interval_is_the_same_in_every_run_and_holds_the_mean():
    losses = np.random.default_rng(5).normal(0.02, 0.1, 200)
    first = interval(losses)
    assert first == interval(losses)
    assert first.low < losses.mean() < first.high
    # The normal approximation of the same thing.
    assert first.high - first.low == pytest.approx(2 * 1.96 * losses.std() / math.sqrt(200), rel=0.05)


def test_no_loss_has_an_interval_of_nothing():
    found = interval(np.zeros(30))
    assert (found.low, found.high) == (0.0, 0.0)


def test_the_losers_are_named_worst_first_with_their_places():
    queries = {"a": "short", "b": "l" * 500, "c": "kept"}
    grades = {"a": {"x": 1}, "b": {"x": 1, "y": 3}, "c": {"x": 1}}
    before = {"a": ["x", "y"], "b": ["y", "x"], "c": ["x"]}
    after = {"a": ["y", "x"], "b": ["z"], "c": ["x"]}
    found = losers(queries, grades, (score(before, grades), before), (score(after, grades), after))
    assert [(one.query, one.wanted, one.source_rank, one.archive_rank) for one in found] == [
        ("b", "y", 1, None),
        ("a", "x", 1, 2),
    ]
    assert len(found[0].text) == 160
    assert (found[0].source, found[0].archive) == (1.0, 0.0)


def test_a_query_that_is_a_document_itself_is_not_found():
    best = Best(np.asarray([[3.0, 2.0, -np.inf]], np.float32), np.asarray([[0, 1, 2]]))
    assert ranking_of(best, ["q"], ["own", "other", "refused"], {"q": "own"}) == {"q": ["other"]}
