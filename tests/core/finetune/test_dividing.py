"""What a division promises: shares, stability, and something in every split of a small corpus."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from release_tool.core.finetune.dividing import WHOLE, divide, position

places_of = st.sets(st.integers(0, WHOLE - 1), min_size=0, max_size=40).map(sorted)
shares = st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.25, 0.49, 0.5])


def splits(places, dev, test):
    division = divide(places, dev=dev, test=test)
    return {place: division.split_of(place) for place in places}


@given(places_of, shares, shares)
def test_each_split_with_a_share_has_a_group_where_there_are_three_and_train_always_has_one(places, dev, test):
    assume(dev + test < 1)
    found = set(splits(places, dev, test).values())
    if len(places) < 3:
        assert found <= {"train"}
        return
    assert "train" in found
    assert ("dev" in found) == (dev > 0)
    assert ("test" in found) == (test > 0)


@st.composite
def full(draw):
    """Draw shares, and places of which each split gets one by its share alone."""
    dev, test = draw(shares), draw(st.sampled_from([0.0, 0.05, 0.1, 0.4]))
    ends = [(0.0, test), (test, test + dev), (test + dev, 1.0)]
    own = [draw(st.integers(int(low * WHOLE), int(high * WHOLE) - 1)) for low, high in ends if high > low]
    return sorted({*draw(places_of), *own, WHOLE - 1, WHOLE - 2, WHOLE - 3}), dev, test


@given(full())
def test_where_the_hash_fills_every_split_it_alone_decides(drawn):
    places, dev, test = drawn
    assert splits(places, dev, test) == {
        place: "test" if place < int(test * WHOLE) else "dev" if place < int((test + dev) * WHOLE) else "train"
        for place in places
    }


@given(full(), places_of)
def test_groups_that_are_added_move_no_other_one_once_every_split_has_its_own(drawn, more):
    places, dev, test = drawn
    before = splits(places, dev, test)
    after = splits(sorted({*places, *more}), dev, test)
    assert {place: after[place] for place in places} == before


@given(full())
def test_a_larger_dev_takes_from_train_and_leaves_test_alone(drawn):
    places, dev, test = drawn
    small, large = splits(places, dev, test), splits(places, dev + 0.05, test)
    assert [place for place in places if small[place] == "test"] == [p for p in places if large[p] == "test"]
    assert {place for place in places if small[place] == "dev"} <= {p for p in places if large[p] == "dev"}


@given(places_of, shares, shares)
def test_a_division_is_two_cuts_of_the_line(places, dev, test):
    assume(dev + test < 1)
    order = [name for name, _ in itertools.groupby(splits(places, dev, test)[place] for place in places)]
    assert order == [name for name in ("test", "dev", "train") if name in order]


def test_shares_hold_over_many_groups_and_another_key_divides_otherwise():
    names = [f"group {number}" for number in range(20_000)]
    found = {}
    for key in ("release-tool", "another"):
        division = divide(sorted(position(key, name) for name in names), dev=0.05, test=0.1)
        found[key] = [division.split_of(position(key, name)) for name in names]
        assert found[key].count("test") == pytest.approx(2000, abs=170)  # four standard deviations
        assert found[key].count("dev") == pytest.approx(1000, abs=124)
    both = sum(one == other == "test" for one, other in zip(*found.values(), strict=True))
    assert both == pytest.approx(200, abs=56)


def test_the_place_of_a_group_is_the_same_for_ever():
    # Were it to change, every split of every corpus would, and documents of test would be trained on.
    assert position("release-tool", "d1") == 1_097_888_637_813_079
    assert position("", "ключ 日本") == 943_325_940_053_023
