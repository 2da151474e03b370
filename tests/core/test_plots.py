"""The plots: they are XML, they can't be broken out of, and higher means worse."""

from __future__ import annotations

import math
import re

import pytest
from drawings import parse
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.bars import SizeBar, TokenBar, size_plot, token_plot
from release_tool.core.plots import Point, Series, difference_plot, height, scale_of, worst
from release_tool.core.quantity import TIMES
from release_tool.packaged import read_packaged

NAMESPACE = "{http://www.w3.org/2000/svg}"
HOSTILE = "</text><script>alert(1)</script>\"' onload=x & \x00\u202e\ud800 ]]>"
differences = st.one_of(
    st.none(),
    st.just(0.0),
    st.just(math.nan),
    st.just(math.inf),
    st.floats(min_value=1e-300, max_value=1e300),
)


def series(values, ring="runtime", mark="circle", limit=1e-5):
    points = tuple(
        Point(probe=f"p{index}", shape="short", tokens=3 + index, value=value, ok=True, note=f"note {index}")
        for index, value in enumerate(values)
    )
    return Series(ring=ring, mark=mark, limit=limit, points=points)


@given(st.lists(differences, max_size=30), st.floats(min_value=1e-12, max_value=10))
def test_any_differences_give_well_formed_xml_with_one_mark_a_probe(values, limit):
    root = parse(difference_plot("d", "Differences", (series(values, limit=limit),)))
    marks = [group for group in root.iter(f"{NAMESPACE}g") if group.get("class", "").startswith("point")]
    assert len(marks) == len(values)
    for number in re.findall(r"[-\d.]+", " ".join(c.get("cy", "0") for c in root.iter(f"{NAMESPACE}circle"))):
        assert math.isfinite(float(number))


@given(st.lists(st.floats(min_value=1e-12, max_value=1e6), min_size=2, max_size=20))
def test_a_larger_difference_stands_higher(values):
    drawn = series(values)
    scale = scale_of((drawn,), 30, 266)
    for a in values:
        for b in values:
            if a > b:
                assert height(a, scale) <= height(b, scale)
            if a > b * 1.05:
                assert height(a, scale) < height(b, scale)


@given(st.floats(min_value=1e-12, max_value=1e6))
def test_zero_stands_below_every_number_and_a_refused_probe_above(value):
    scale = scale_of((series([value]),), 30, 266)
    assert height(0.0, scale) > height(value, scale) > height(None, scale)
    assert height(math.nan, scale) == height(math.inf, scale) == height(None, scale)


def test_the_limit_of_each_ring_is_drawn_and_named_at_its_height():
    both = (series([1e-7]), series([1e-6], ring="node", mark="diamond", limit=1e-4))
    root = parse(difference_plot("d", "Differences", both))
    lines = [float(line.get("y1")) for line in root.iter(f"{NAMESPACE}line") if line.get("class") == "limit"]
    scale = scale_of(both, 30, 266)
    assert lines == [pytest.approx(scale.y(1e-5), abs=0.01), pytest.approx(scale.y(1e-4), abs=0.01)]
    words = "".join(root.itertext())
    assert "limit 10⁻⁵" in words
    assert "limit 10⁻⁴" in words


def test_rings_differ_by_shape_and_a_failure_by_a_cross():
    bad = Point(probe="x", shape="s", tokens=4, value=1.0, ok=False, note="bad")
    both = (series([1e-7]), Series(ring="node", mark="diamond", limit=1e-4, points=(bad,)))
    root = parse(difference_plot("d", "Differences", both))
    assert len(list(root.iter(f"{NAMESPACE}polygon"))) == 2  # the mark and its legend
    assert [path.get("class") for path in root.iter(f"{NAMESPACE}path")] == ["cross"]


def test_the_worst_probe_is_one_that_fails_even_where_another_differs_more():
    fails = Point(probe="tokens", shape="s", tokens=4, value=1e-9, ok=False, note="a token is missing")
    large = Point(probe="large", shape="s", tokens=4, value=9e-6, ok=True, note="")
    both = Series(ring="runtime", mark="circle", limit=1e-5, points=(large, fails))
    assert worst((both,))[1].probe == "tokens"
    assert worst((series([1e-9, 3e-8, 1e-9]),))[1].probe == "p1"
    assert worst(()) is None


def test_hovering_a_point_shows_its_note():
    root = parse(difference_plot("d", "Differences", (series([1e-7, 2e-7]),)))
    notes = [title.text for title in root.iter(f"{NAMESPACE}title")]
    assert notes[0] == "Differences"
    assert {"note 0", "note 1"} <= set(notes)


def test_screen_readers_get_a_title_and_the_numbers():
    drawn = difference_plot("d", "Differences", (series([1e-7, 3e-4]),))
    root = parse(drawn)
    ids = root.get("aria-labelledby").split()
    named = {item.get("id"): item.text for item in root if item.get("id")}
    assert named[ids[0]] == "Differences"
    assert f"runtime: 2 probes, 0 outside, limit 10⁻⁵, the largest 3{TIMES}10⁻⁴ at p1" in named[ids[1]]


def test_hostile_names_stay_text_in_every_plot():
    point = Point(probe=HOSTILE, shape=HOSTILE, tokens=3, value=1e-7, ok=True, note=HOSTILE)
    hostile = Series(ring=HOSTILE, mark="circle", limit=1e-5, points=(point,))
    drawn = (
        difference_plot("d", HOSTILE, (hostile,)),
        token_plot("t", HOSTILE, (TokenBar(probe=HOSTILE, missing=1, extra=2),)),
        size_plot("s", HOSTILE, (SizeBar(label=HOSTILE, size=3, expected=4),)),
    )
    for text in drawn:
        root = parse(text)
        assert {item.tag.removeprefix(NAMESPACE) for item in root.iter()} <= {
            "svg", "g", "title", "desc", "text", "line", "rect", "circle", "polygon", "path",
        }  # fmt: skip
        assert not [name for item in root.iter() for name in item.attrib if name.startswith("on") or "href" in name]
        assert "\u202e" not in text
        text.encode()


def test_bars_of_tokens_are_as_long_as_their_counts():
    bars = (TokenBar(probe="a", missing=4, extra=2), TokenBar(probe="b", missing=0, extra=1))
    root = parse(token_plot("t", "Tokens", bars))
    rects = {(r.get("class"), float(r.get("height"))) for r in root.iter(f"{NAMESPACE}rect")}
    assert rects == {("missing", 60.0), ("extra", 30.0), ("extra", 15.0)}


@given(st.lists(st.tuples(st.integers(0, 10**10), st.integers(0, 10**10)), min_size=1, max_size=6))
def test_bars_of_sizes_keep_the_order_of_the_sizes(pairs):
    bars = tuple(SizeBar(label=f"a{i}", size=size, expected=expected) for i, (size, expected) in enumerate(pairs))
    root = parse(size_plot("s", "Sizes", bars))
    widths = [float(r.get("width")) for r in root.iter(f"{NAMESPACE}rect")]
    assert len(widths) == len(bars)
    for a, wide in zip(bars, widths, strict=True):
        for b, other in zip(bars, widths, strict=True):
            if a.size > b.size:
                assert wide >= other


def test_every_class_of_a_plot_has_a_rule_in_the_page():
    bad = Point(probe="x", shape="s", tokens=4, value=None, ok=False, note="bad")
    every = tuple(
        Series(ring=mark, mark=mark, limit=1e-5, points=(bad, *series([0.0, 1e-6]).points))
        for mark in ("circle", "diamond", "triangle")
    )
    text = (
        difference_plot("d", "Differences", every)
        + token_plot("t", "Tokens", (TokenBar(probe="a", missing=4, extra=2),))
        + size_plot("s", "Sizes", (SizeBar(label="a", size=3, expected=4),))
    )
    style = read_packaged("templates/review.html.j2").decode()
    used = {name for found in re.findall(r'class="([^"]*)"', text) for name in found.split()} - {"plot"}
    assert {"ring-diamond", "bad", "limit", "cross", "missing", "expected", "band"} <= used
    for name in used:
        assert f".plot .{name} " in style, name
