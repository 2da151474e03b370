"""Several teachers become one score; what scores like the positive is no negative."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from release_tool.core.finetune.ensemble import (
    SAME,
    hardest,
    lowest,
    rank_of_first,
    sampled,
    stretched,
    together,
    true_negatives,
)

LOGITS = st.lists(st.integers(-4000, 4000).map(lambda one: one / 100), min_size=1, max_size=30)
SHARES = st.floats(0, 1)


def columns(rows):
    """Teachers of equally many documents."""
    return st.integers(2, 12).flatmap(
        lambda width: st.lists(
            st.lists(st.integers(-2000, 2000).map(lambda one: one / 100), min_size=width, max_size=width),
            min_size=1,
            max_size=rows,
        )
    )


def test_each_teacher_is_stretched_and_the_mean_is_taken_by_hand():
    assert stretched([2.0, -2.0, 0.0]) == (1.0, 0.0, 0.5)
    assert together([[2.0, -2.0, 0.0], [0.1, 0.3, 0.2]]) == (0.5, 0.5, 0.5)
    assert together([[2.0, -2.0, 0.0], [30.0, 10.0, 10.0]]) == (1.0, 0.0, 0.25)


def test_a_teacher_that_tells_nothing_apart_has_no_vote():
    assert stretched([3.0, 3.0, 3.0 + SAME / 2]) is None
    assert together([[2.0, -2.0, 0.0], [7.0, 7.0, 7.0]]) == (1.0, 0.0, 0.5)
    assert together([[7.0, 7.0], [1.0, 1.0]]) is None
    assert together([[7.0]]) is None


@given(columns(4))
def test_scores_lie_between_0_and_1_and_a_single_teacher_reaches_both(teachers):
    scores = together(teachers)
    assume(scores is not None)
    assert len(scores) == len(teachers[0])
    assert all(0 <= score <= 1 for score in scores)
    if len(teachers) == 1:
        assert (min(scores), max(scores)) == (0, 1)


@given(columns(4), st.integers(-50, 50), st.sampled_from([0.25, 0.5, 2, 8]), st.data())
def test_unit_and_zero_of_a_teacher_do_not_matter(teachers, shift, scale, data):
    number = data.draw(st.integers(0, len(teachers) - 1))
    moved = [
        [logit * scale + shift if place == number else logit for logit in row] for place, row in enumerate(teachers)
    ]
    first, second = together(teachers), together(moved)
    assert (first is None) == (second is None)
    if first is not None:
        assert second == pytest.approx(first, abs=2e-6)


@given(columns(4), st.randoms(use_true_random=False))
def test_neither_the_order_of_teachers_nor_that_of_documents_matters(teachers, chance):
    scores = together(teachers)
    assume(scores is not None)
    assert together(teachers[::-1]) == pytest.approx(scores, abs=2e-6)
    order = list(range(len(scores)))
    chance.shuffle(order)
    moved = together([[row[place] for place in order] for row in teachers])
    assert moved == pytest.approx([scores[place] for place in order], abs=2e-6)


@given(columns(4), st.integers(0, 11))
def test_what_every_teacher_prefers_scores_higher(teachers, place):
    assume(place < len(teachers[0]))
    scores = together(teachers)
    assume(scores is not None)
    for other, score in enumerate(scores):
        if all(row[place] >= row[other] for row in teachers):
            assert scores[place] >= score


@given(LOGITS, SHARES)
def test_every_negative_that_stays_is_below_the_share_and_every_other_above(logits, share):
    scores = together([logits])
    assume(scores is not None)
    kept = true_negatives(scores, share)
    assert 0 not in kept
    for place, score in enumerate(scores[1:], 1):
        assert (place in kept) == (score <= share * scores[0])


@given(LOGITS, SHARES, SHARES)
def test_a_smaller_share_leaves_out_more(logits, one, other):
    scores = together([logits])
    assume(scores is not None)
    assert set(true_negatives(scores, min(one, other))) <= set(true_negatives(scores, max(one, other)))


@given(LOGITS)
def test_what_scores_above_the_positive_is_never_a_negative(logits):
    scores = together([logits])
    assume(scores is not None)
    assert all(scores[place] <= scores[0] for place in true_negatives(scores, 1))
    if scores[0] == 0:
        assert all(scores[place] == 0 for place in true_negatives(scores, 0.95))
    if scores[0] == 1:
        assert [place for place in range(1, len(scores)) if scores[place] <= 0.95] == true_negatives(scores, 0.95)


def test_the_rank_of_the_positive_counts_those_above_it_only():
    assert rank_of_first([0.5]) == 1
    assert rank_of_first([0.5, 0.5, 0.4]) == 1
    assert rank_of_first([0.5, 0.6, 0.4, 1.0]) == 3


def test_the_hardest_come_first_and_equal_ones_as_they_were_found():
    scores = [1.0, 0.2, 0.7, 0.2, 0.9]
    assert hardest([1, 2, 3, 4], scores) == [4, 2, 1, 3]


@given(st.integers(1, 40), st.data())
def test_a_sample_keeps_the_order_and_depends_on_seed_and_query_alone(count, data):
    places = data.draw(st.permutations(range(count)))
    size = data.draw(st.integers(0, count))
    drawn = sampled(places, size, seed=7, query="q")
    assert len(set(drawn)) == len(drawn) == size
    assert drawn == [place for place in places if place in drawn]
    assert drawn == sampled(places, size, seed=7, query="q")


def test_other_seeds_and_queries_draw_otherwise_and_every_place_about_as_often():
    places = list(range(40))
    drawn = {tuple(sampled(places, 8, seed=seed, query=query)) for seed in range(5) for query in "abc"}
    assert len(drawn) == 15
    counts = [0] * 40
    for number in range(2000):
        for place in sampled(places, 8, seed=1, query=str(number)):
            counts[place] += 1
    assert statistics.mean(counts) == 400
    assert max(abs(count - 400) for count in counts) < 100  # more than five times the deviation of 18


def test_the_lowest_are_those_of_which_the_teachers_think_least_by_hand():
    assert lowest([[5.0, -1.0, 3.0, 2.0]], 0.5) == {1, 3}
    # Row 0 is the best of one and the worst of the other; row 1 is in the middle of both, as row 2.
    assert lowest([[9.0, 1.0, 2.0, -5.0], [0.0, 400.0, 300.0, 100.0]], 0.25) == {3}
    assert lowest([[1.0, 1.0, 1.0, 1.0]], 0.5) == {0, 1}
    assert lowest([[1.0, 2.0]], 0.49) == set()
    assert lowest([[1.0, 2.0]], 0) == lowest([], 0.5) == set()


@given(columns(3), st.floats(0, 0.9))
def test_the_share_is_kept_and_nobody_lower_stays(teachers, share):
    dropped = lowest(teachers, share)
    rows = len(teachers[0])
    assert len(dropped) == int(share * rows)
    for low in dropped:
        for high in set(range(rows)) - dropped:
            assert not all(row[high] < row[low] for row in teachers)
