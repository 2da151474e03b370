"""Times come to percentiles, and two models are compared by the rounds in which both were asked."""

from __future__ import annotations

from itertools import islice

import pytest

from release_tool.core.ml.predict import Function, Wanted
from release_tool.core.ml.timing import Case, Round, beside, made_rows, made_texts, round_size, timed

CASE = Case(concurrency=2, words=8)


def rounds(*medians):
    return [Round(seconds=1.0, times=(value / 2, value, value * 10)) for value in medians]


def test_throughput_counts_the_whole_time_and_not_the_sum_of_the_answers():
    found = timed("m", CASE, [Round(seconds=2.0, times=(1.0,) * 8), Round(seconds=2.0, times=(1.0,) * 8)])
    assert (found.requests, found.per_second, found.p50_ms, found.p99_ms) == (16, 4.0, 1000.0, 1000.0)


def test_a_ratio_is_taken_in_each_round_so_that_a_slow_moment_meets_both():
    found = beside(CASE, rounds(*[1, 9] * 5), rounds(*[2, 18] * 5))
    assert (found.ratio, found.low, found.high, found.rounds) == (2.0, 2.0, 2.0, 10)
    mixed = beside(CASE, rounds(*[1] * 10), rounds(*[0.5, 2] * 5))
    assert mixed.low < 1 < mixed.high


def test_the_made_texts_have_their_length_differ_and_are_the_same_in_every_run():
    texts = list(islice(made_texts(12), 20))
    assert {len(text.split()) for text in texts} == {12}
    assert len(set(texts)) == 20
    assert texts == list(islice(made_texts(12), 20))


@pytest.mark.parametrize("function", [one for one in Function if one is not Function.REMOTE])
def test_every_local_kind_has_questions_of_a_length(function):
    (row,) = islice(made_rows(5, Wanted(function=function)), 1)
    assert row.body
    with pytest.raises(ValueError, match="remote"):
        next(made_rows(5, Wanted(function=Function.REMOTE)))


def test_a_round_keeps_all_threads_busy():
    assert round_size(Case(concurrency=1, words=1), 200, 10) == 20
    assert round_size(Case(concurrency=16, words=1), 200, 10) == 128
