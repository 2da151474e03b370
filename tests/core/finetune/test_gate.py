"""The gate's rules, each at its limit; and that a number that is none passes nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from finetuned import evaluated_set, evaluation, measures

from release_tool.core.codec import decode_text, encode_text
from release_tool.core.finetune.evaluation import Before, Evaluation, Role
from release_tool.core.finetune.gate import failures


def held(before=0.5, after=0.52, **over):
    return evaluated_set(before=measures(before), after=measures(after), **over)


def other(role, gain, p=0.01):
    return evaluated_set("other", role, before=measures(0.5), after=measures(0.5 + gain / 100), p=p)


def test_a_gain_that_is_no_chance_passes():
    assert failures(evaluation(held())) == ()


def test_nothing_held_out_fails_whatever_the_sets_say():
    (reason,) = failures(evaluation(other(Role.SET, 10)))
    assert "no held-out queries" in reason


@pytest.mark.parametrize(
    ("gain", "wanted", "passes"), [(1.0, 1.0, True), (0.99, 1.0, False), (0.0, 0.0, True), (-0.01, 0.0, False)]
)
def test_the_gain_must_reach_what_is_wanted(gain, wanted, passes):
    found = failures(evaluation(held(after=0.5 + gain / 100), min_gain=wanted))
    assert (found == ()) is passes
    assert passes or "evaluate.min_gain" in found[0]


@pytest.mark.parametrize(("p", "passes"), [(0.05, True), (0.0501, False), (1.0, False)])
def test_the_gain_must_be_unlikely_by_chance(p, passes):
    found = failures(evaluation(held(p=p)))
    assert (found == ()) is passes
    assert passes or "evaluate.max_p" in found[0]


@pytest.mark.parametrize(
    ("gain", "p", "passes"), [(-0.1, 0.05, False), (-0.1, 0.2, True), (0.0, 0.0, True), (5, 1, True)]
)
def test_a_judged_set_must_not_get_worse_beyond_chance(gain, p, passes):
    assert (failures(evaluation(held(), other(Role.SET, gain, p))) == ()) is passes


@pytest.mark.parametrize(("gain", "passes"), [(-0.5, True), (-0.51, False), (3, True)])
def test_a_guard_may_lose_what_is_allowed_whatever_its_p(gain, passes):
    assert (failures(evaluation(held(), other(Role.GUARD, gain, p=1.0))) == ()) is passes


@pytest.mark.parametrize(
    ("before", "after", "kind", "target", "passes"),
    [
        (2.0, 2.2, Before.BASE, 0.0, True),
        (2.0, 2.21, Before.BASE, 0.0, False),
        (900.0, 5.0, Before.UNTRAINED, 0.0, True),
        (900.0, 5.0, Before.UNTRAINED, 4.0, False),
        (900.0, 4.4, Before.UNTRAINED, 4.0, True),
    ],
)
def test_flops_are_held_against_the_base_or_what_training_was_to_reach(before, after, kind, target, passes):
    one = evaluated_set(before=measures(0.5, before), after=measures(0.6, after))
    found = failures(evaluation(one, kind="sparse", before=kind, target_flops=target))
    assert (found == ()) is passes
    assert passes or "evaluate.max_flops_ratio" in found[0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("role", Role)
def test_a_number_that_is_none_fails(role, bad):
    sets = [held(), replace(other(role, 1), after=measures(bad))]
    assert any("no number" in reason for reason in failures(evaluation(*sets)))


def test_all_reasons_are_given_and_a_hostile_name_stays_on_its_line():
    bad = replace(other(Role.GUARD, -9), name="a\n::error::b" + "x" * 500)
    found = failures(evaluation(held(after=0.4, p=0.9), bad))
    assert len(found) == 3
    assert all("\n" not in reason and len(reason) < 400 for reason in found)


def test_an_evaluation_survives_its_document():
    made = evaluation(held(), other(Role.GUARD, -9))
    assert decode_text(Evaluation, encode_text(made)) == made
