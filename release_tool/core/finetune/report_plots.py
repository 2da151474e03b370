"""The pictures of a run's report: curves of the training, nDCG before and after, the teachers' scores. Pure text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

from release_tool.core import svg
from release_tool.core.finetune.gate import name_of, points
from release_tool.core.quantity import clip, number_text, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from release_tool.core.finetune.evaluation import Evaluated

WIDTH, HEIGHT = 820.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 66.0, 24.0, 26.0, 40.0
MARKS = ("circle", "diamond", "triangle")
MAX_POINTS = 400
"""Of a curve: beyond it, every n-th is drawn."""
ROW = 34.0
LABELS = 190.0
GAINS = 190.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Numbers by step."""

    label: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How often scores lie where: ``counts`` in bins of equal width from ``low`` to ``high``."""

    label: str
    low: float
    high: float
    counts: tuple[int, ...]


def curve_plot(name: str, heading: str, curves: Sequence[Curve]) -> svg.Svg | None:
    """Return curves over steps on one linear axis; null where there is nothing to draw."""
    shown = [one for curve in curves if (one := _finite(curve)).points]
    if not shown:
        return None
    xs = [x for curve in shown for x, _ in curve.points]
    ys = [y for curve in shown for _, y in curve.points]
    x_of, y_of = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT), _Axis(*_room(ys), HEIGHT + TOP, TOP)
    parts = [*_grid(ys, y_of)]
    marked = sorted({min(xs), (min(xs) + max(xs)) / 2, max(xs)})
    parts += [svg.text(x_of(value), HEIGHT + TOP + 18, f"{value:,.6g}", "tick", "middle") for value in marked]
    parts.append(svg.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT + TOP + 34, "steps", "axis", "middle"))
    parts += _legend([curve.label for curve in shown], LEFT)
    for curve, shape in zip(shown, cycle(MARKS), strict=False):
        path = " ".join(f"{x_of(x):.2f},{y_of(y):.2f}" for x, y in curve.points)
        parts.append(svg.element("polyline", {"points": path, "class": f"curve curve-{shape}"}))
        (x, y) = curve.points[-1]
        parts.append(_mark(shape, x_of(x), y_of(y)))
    words = "; ".join(
        f"{one.label}: from {number_text(one.points[0][1])} to {number_text(one.points[-1][1])} over "
        f"{plural(len(one.points), 'step')}"
        for one in shown
    )
    return svg.figure(WIDTH, HEIGHT + TOP + BOTTOM, name, (heading, words), *parts)


def gain_plot(name: str, heading: str, sets: Sequence[Evaluated]) -> svg.Svg:
    """Return nDCG@10 of each set before and after as marks on one line, with the interval of the gain."""
    right = WIDTH - GAINS
    means = [value for one in sets for value in (one.before.ndcg_10, one.after.ndcg_10, one.bm25.ndcg_10)]
    most = min(1.0, max(max(means, default=1.0) * 1.1, 0.1))
    x_of = _Axis(0.0, most, LABELS, right)
    bottom = TOP + ROW * len(sets)
    parts = []
    for value in _ticks(0.0, most):
        parts.append(svg.line((x_of(value), TOP), (x_of(value), bottom), "grid"))
        parts.append(svg.text(x_of(value), bottom + 16, f"{value:g}", "tick", "middle"))
    for number, one in enumerate(sets):
        y = TOP + ROW * (number + 0.5)
        low, high = (one.before.ndcg_10 + end for end in (one.interval.low, one.interval.high))
        values = (("before", one.before.ndcg_10), ("after", one.after.ndcg_10), ("BM25", one.bm25.ndcg_10))
        parts.append(svg.text(LABELS - 10, y + 4, clip(name_of(one), 26), "legend", "end"))
        parts.append(svg.line((x_of(max(low, 0.0)), y), (x_of(min(high, 1.0)), y), "whisker"))
        for (label, value), shape in zip(values, MARKS, strict=True):
            parts.append(_mark(shape, x_of(value), y, svg.title(f"{label}: {value:.4f}")))
        ends = f"{points(one.interval.low)} to {points(one.interval.high)}"
        parts.append(svg.text(right + 12, y + 4, f"{points(one.gain)} ({ends})", "legend"))
    parts += _legend(["before", "after", "BM25"], LABELS)
    words = "; ".join(
        f"{name_of(one)}: {one.before.ndcg_10:.4f} before, {one.after.ndcg_10:.4f} after, BM25 {one.bm25.ndcg_10:.4f}"
        for one in sets
    )
    return svg.figure(WIDTH, bottom + 26, name, (heading, words), *parts)


def histogram_plot(name: str, heading: str, shown: Sequence[Histogram]) -> svg.Svg | None:
    """Return distributions over one axis, each as shares of its own number; null where there is nothing."""
    drawn = [one for one in shown if sum(one.counts)]
    if not drawn:
        return None
    low, high = min(one.low for one in drawn), max(one.high for one in drawn)
    shares = [tuple(count / sum(one.counts) for count in one.counts) for one in drawn]
    most = max(max(of) for of in shares)
    x_of, y_of = _Axis(low, high, LEFT, WIDTH - RIGHT), _Axis(0.0, most, HEIGHT + TOP, TOP)
    parts = [svg.line((LEFT, y_of(0.0)), (WIDTH - RIGHT, y_of(0.0)), "stroke")]
    parts += [
        svg.text(x_of(value), HEIGHT + TOP + 18, f"{value:.10g}", "tick", "middle") for value in _ticks(low, high)
    ]
    parts += [svg.text(LEFT - 8, y_of(value) + 4, f"{value:.0%}", "tick", "end") for value in (0.0, most)]
    parts += _legend([f"{one.label}, {sum(one.counts):,}" for one in drawn], LEFT)
    for one, of, shape in zip(drawn, shares, cycle(MARKS), strict=False):
        width = (one.high - one.low) / len(of) or 1.0
        steps = []
        for index, share in enumerate(of):
            start = one.low + index * width
            steps += [f"{x_of(start):.2f},{y_of(share):.2f}", f"{x_of(start + width):.2f},{y_of(share):.2f}"]
        parts.append(svg.element("polyline", {"points": " ".join(steps), "class": f"curve curve-{shape}"}))
    words = "; ".join(f"{one.label}: {sum(one.counts):,} scores" for one in drawn)
    return svg.figure(WIDTH, HEIGHT + TOP + BOTTOM, name, (heading, words), *parts)


def _mark(shape: str, x: float, y: float, *more: str) -> str:
    return svg.element("g", {"class": f"ring ring-{shape}"}, *more, svg.mark(shape, x, y, 4.5))


def _legend(labels: Sequence[str], place: float) -> list[str]:
    parts = []
    for label, shape in zip(labels, cycle(MARKS), strict=False):
        parts.append(_mark(shape, place + 5, 12) + svg.text(place + 15, 16, label, "legend"))
        place += 40 + 6.6 * len(label)
    return parts


def _finite(curve: Curve) -> Curve:
    kept = [point for point in curve.points if all(map(math.isfinite, point))]
    step = max(1, math.ceil(len(kept) / MAX_POINTS))
    last = kept[-1:] if kept and (len(kept) - 1) % step else []
    return Curve(label=clip(curve.label, 60), points=tuple(kept[::step] + last))


class _Axis:
    """Places numbers between two ends on a length; a single number stands in the middle."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self._low, self._high, self._start, self._end = low, high, start, end

    def __call__(self, value: float) -> float:
        width = self._high - self._low
        share = (value - self._low) / width if width > 0 else 0.5
        return self._start + share * (self._end - self._start)


def _room(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    air = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - air, high + air


def _ticks(low: float, high: float) -> list[float]:
    """Return a few round numbers between two ends."""
    width = high - low
    if width <= 0:
        return [low]
    step = 10.0 ** math.floor(math.log10(width / 4))
    step *= next((factor for factor in (1, 2, 5) if width / (step * factor) <= 6), 10)
    first = math.ceil(low / step)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _grid(values: Sequence[float], y_of: _Axis) -> list[str]:
    parts = []
    for value in _ticks(*_room(values)):
        parts.append(svg.line((LEFT, y_of(value)), (WIDTH - RIGHT, y_of(value)), "grid"))
        parts.append(svg.text(LEFT - 8, y_of(value) + 4, f"{value:.10g}", "tick", "end"))
    return parts
