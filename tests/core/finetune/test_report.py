"""The report's pictures: each is XML, holds what it shows in words, and takes numbers that are none."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from drawings import parse
from finetuned import evaluated_set, measures

from release_tool.core.finetune.evaluation import Role
from release_tool.core.finetune.report_plots import (
    MAX_POINTS,
    Curve,
    Histogram,
    curve_plot,
    gain_plot,
    histogram_plot,
)

HOSTILE = "</text><script>alert(1)</script>&\n"


def elements(drawn, name):
    return [one for one in parse(drawn).iter() if one.tag.endswith(f"}}{name}")]


def points(drawn):
    return [tuple(map(float, pair.split(","))) for pair in elements(drawn, "polyline")[0].get("points").split()]


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0], [0.0, -3.0, 1e9], [1e-9, 2e-9]])
def test_of_two_points_of_a_curve_the_larger_stands_higher(values):
    drawn = points(curve_plot("a", "Loss", [Curve(label="loss", points=tuple(enumerate(map(float, values))))]))
    for (first, one), (second, other) in pairwise(zip(values, drawn, strict=True)):
        assert (one[1] > other[1]) == (second > first), "y grows downwards"
        assert one[0] < other[0]


def test_a_long_curve_keeps_its_last_point_and_numbers_that_are_none_are_left_out():
    many = tuple((float(step), math.nan if step == 5 else float(step)) for step in range(5 * MAX_POINTS))
    drawn = points(curve_plot("a", "Loss", [Curve(label="loss", points=many)]))
    assert len(drawn) <= MAX_POINTS + 1
    assert drawn[-1] == max(drawn)


@pytest.mark.parametrize("curves", [[], [Curve(label="a", points=())], [Curve(label="a", points=((1.0, math.inf),))]])
def test_nothing_to_draw_is_no_picture(curves):
    assert curve_plot("a", "Loss", curves) is None
    assert histogram_plot("a", "Scores", [Histogram(label="a", low=0, high=1, counts=(0, 0))]) is None


def test_before_and_after_stand_where_their_numbers_are():
    one = evaluated_set(HOSTILE, Role.SET, before=measures(0.2), after=measures(0.4), bm25=measures(0.8))
    drawn = gain_plot("a", "nDCG", [one])
    before = next(mark for mark in elements(drawn, "circle") if float(mark.get("cy")) > 20)
    words = "".join(parse(drawn).itertext())
    assert "+20.00 (+1.00 to +3.00)" in words
    assert float(before.get("cx")) == pytest.approx(190 + 0.2 / 0.88 * (820 - 190 - 190), abs=0.01)
    assert "<script" not in drawn


def test_the_steps_of_a_histogram_are_shares():
    one = Histogram(label="a", low=0.0, high=4.0, counts=(1, 0, 3, 0))
    heights = {y for _, y in points(histogram_plot("a", "Scores", [one]))}
    assert len(heights) == 3
    assert max(heights) - min(heights) == pytest.approx(220)


@pytest.mark.parametrize(("low", "high"), [(0.26214, 0.26468), (-0.1113, -0.1109), (1234.25, 1236.75), (0.0, 1.0)])
def test_no_two_numbers_at_an_axis_read_alike(low, high):
    curve = curve_plot("a", "nDCG", [Curve(label="a", points=((0.0, low), (1.0, high)))])
    histogram = histogram_plot("a", "Scores", [Histogram(label="a", low=low, high=high, counts=(1, 2, 1))])
    for drawn, anchor in ((curve, "end"), (histogram, "middle")):
        told = [
            one for one in elements(drawn, "text") if (one.get("class"), one.get("text-anchor")) == ("tick", anchor)
        ]
        values = [float(one.text) for one in told]
        assert len(set(values)) == len(values) > 2
        assert all(low - (high - low) < value < high + (high - low) for value in values)
