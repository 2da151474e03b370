"""The main picture of the review page: the difference of every probe, in every ring. Pure text.

Law (a test holds it): of two probes in one picture the one with the larger difference stands higher. What no
number can say has a place of its own: exactly zero at the floor, refused or not finite above the ceiling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.core import svg
from release_tool.core.quantity import number_text, plural, power_text

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH = 820.0
LEFT, RIGHT, TOP = 66.0, 122.0, 30.0
PLOT_HEIGHT = 236.0
BAND = 26.0
"""Height of the rows for zero and for refused probes."""

TICK_TOKENS = (4, 8, 16, 32, 64, 128, 256, 512)
LEAST_TICK_DISTANCE = 34.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One probe in one ring."""

    probe: str
    shape: str
    tokens: int
    value: float | None
    """The difference; null, NaN or infinite where there is none to compare."""
    ok: bool
    note: str
    """What hovering shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """All probes of one ring."""

    ring: str
    mark: str
    """``circle``, ``diamond`` or ``triangle``; see ``svg.mark``."""
    limit: float
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogScale:
    """Whole decades from ``low`` to ``high`` (exponents of ten) on a height."""

    low: int
    high: int
    top: float
    bottom: float

    def y(self, value: float) -> float:
        """Return the height of a positive value; larger is higher, a smaller y. Clamped."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.bottom - min(1.0, max(0.0, share)) * (self.bottom - self.top)


def measurable(value: float | None) -> bool:
    """Tell whether a difference has a place on a logarithmic axis."""
    return value is not None and math.isfinite(value) and value > 0


def scale_of(series: Iterable[Series], top: float, bottom: float) -> LogScale:
    """Return an axis that holds every difference and every limit, with some air above the limit."""
    values = [item.limit for item in series if item.limit > 0]
    values += [p.value for item in series for p in item.points if p.value is not None and measurable(p.value)]
    low = math.floor(math.log10(min(values))) if values else -8
    high = math.ceil(math.log10(max(values)) + 0.3) if values else 0
    return LogScale(low=low, high=max(high, low + 2), top=top, bottom=bottom)


def slots(series: Iterable[Series]) -> dict[str, int]:
    """Return probe → place from the left: by length of the input, then by name."""
    tokens = {point.probe: point.tokens for item in series for point in item.points}
    return {probe: index for index, probe in enumerate(sorted(tokens, key=lambda name: (tokens[name], name)))}


def difference_plot(name: str, heading: str, series: tuple[Series, ...]) -> svg.Svg:
    """Return the largest difference of each probe on a logarithmic axis, with the tolerance of each ring.

    Args:
        name: identifier, unique in the page.
        heading: what is compared.
        series: one a ring; all of one kind.
    """
    points = [point for item in series for point in item.points]
    zero = any(point.value == 0 for point in points)
    odd = any(point.value != 0 and not measurable(point.value) for point in points)
    top = TOP + (BAND if odd else 0)
    scale = scale_of(series, top, top + PLOT_HEIGHT)
    bottom = scale.bottom + (BAND if zero else 0)
    parts = [*_decades(scale), *_token_axis(series, bottom)]
    if odd:
        parts.append(_band(TOP, "not comparable"))
    if zero:
        parts.append(_band(scale.bottom, "exactly 0"))
    place = slots(series)
    parts.extend(_limit_lines(series, scale))
    for number, item in enumerate(series):
        shift = (number - (len(series) - 1) / 2) * 3
        parts.append(_series_marks(item, scale, place, shift))
    parts.append(_worst_label(series, scale, place))
    parts.append(_legend(series))
    return svg.figure(WIDTH, bottom + 48, name, (heading, _describe(series)), *parts)


def slot_x(index: int, count: int) -> float:
    """Return the middle of a probe's place."""
    return LEFT + (index + 0.5) * (WIDTH - LEFT - RIGHT) / max(count, 1)


def _decades(scale: LogScale) -> list[str]:
    step = max(1, math.ceil((scale.high - scale.low) / 8))
    parts = []
    for exponent in range(scale.low, scale.high + 1, step):
        y = scale.y(10.0**exponent)
        parts.append(svg.line((LEFT, y), (WIDTH - RIGHT, y), "grid"))
        parts.append(svg.text(LEFT - 8, y + 4, power_text(exponent), "tick", "end"))
    return parts


def _band(top: float, label: str) -> str:
    shade = svg.element(
        "rect",
        {
            "x": LEFT,
            "y": top + 3,
            "width": WIDTH - LEFT - RIGHT,
            "height": BAND - 6,
            "rx": 3,
            "class": "band",
        },
    )
    return shade + svg.text(WIDTH - RIGHT + 8, top + BAND / 2 + 4, label, "tick")


def _token_axis(series: tuple[Series, ...], bottom: float) -> list[str]:
    place = slots(series)
    tokens = {point.probe: point.tokens for item in series for point in item.points}
    parts = [svg.text((LEFT + WIDTH - RIGHT) / 2, bottom + 40, "probes, by tokens of input", "axis", "middle")]
    last = -LEAST_TICK_DISTANCE
    seen: set[int] = set()
    for probe, index in place.items():
        reached = [mark for mark in TICK_TOKENS if mark <= tokens[probe] and mark not in seen]
        x = slot_x(index, len(place))
        if (reached or index == 0) and x - last >= LEAST_TICK_DISTANCE:
            parts.append(svg.line((x, bottom), (x, bottom + 5), "stroke"))
            parts.append(svg.text(x, bottom + 19, f"{tokens[probe]:,}", "tick", "middle"))
            last = x
        seen.update(reached)
    return parts


def _limit_lines(series: tuple[Series, ...], scale: LogScale) -> list[str]:
    parts = []
    by_limit: dict[float, list[str]] = {}
    for item in series:
        by_limit.setdefault(item.limit, []).append(item.ring)
    for limit, rings in by_limit.items():
        y = scale.y(limit) if limit > 0 else scale.bottom
        parts.append(svg.line((LEFT, y), (WIDTH - RIGHT, y), "limit"))
        parts.append(svg.text(WIDTH - RIGHT + 8, y - 2, f"limit {number_text(limit)}", "limit-text"))
        parts.append(svg.text(WIDTH - RIGHT + 8, y + 11, ", ".join(rings), "tick"))
    return parts


def height(value: float | None, scale: LogScale) -> float:
    """Return where a difference stands: 0 below the axis, what can't be compared above it."""
    if value == 0:
        return scale.bottom + BAND / 2
    if value is None or not measurable(value):
        return scale.top - BAND / 2
    return scale.y(value)


def _series_marks(item: Series, scale: LogScale, place: dict[str, int], shift: float) -> str:
    marks = []
    for point in item.points:
        x, y = slot_x(place[point.probe], len(place)) + shift, height(point.value, scale)
        drawn = [svg.title(point.note), svg.mark(item.mark, x, y, 3.6)]
        if not point.ok:
            drawn.append(svg.mark("cross", x, y, 7))
        marks.append(svg.element("g", {"class": "point" if point.ok else "point bad"}, *drawn))
    return svg.element("g", {"class": f"ring ring-{item.mark}"}, *marks) if marks else ""


def _badness(point: Point) -> float:
    return point.value if point.value is not None and math.isfinite(point.value) else math.inf


def worst(series: Iterable[Series]) -> tuple[Series, Point] | None:
    """Return the probe that speaks most against a release: outside first, then by share of its ring's limit."""
    pairs = [(item, point) for item in series for point in item.points]
    if not pairs:
        return None
    return max(pairs, key=lambda pair: (not pair[1].ok, _badness(pair[1]) / (pair[0].limit or 1.0), pair[1].probe))


def _worst_label(series: tuple[Series, ...], scale: LogScale, place: dict[str, int]) -> str:
    found = worst(series)
    if found is None or (found[1].value == 0 and found[1].ok):
        return ""
    point = found[1]
    x, y = slot_x(place[point.probe], len(place)), height(point.value, scale)
    right = x < (LEFT + WIDTH - RIGHT) / 2
    words = f"worst: {point.probe[:40]}"
    return svg.text(x + (9 if right else -9), y - 7, words, "worst", "start" if right else "end")


def _legend(series: tuple[Series, ...]) -> str:
    parts = []
    x = LEFT
    for item in series:
        sample = svg.element("g", {"class": f"ring ring-{item.mark}"}, svg.mark(item.mark, x + 5, 12, 4))
        words = f"{item.ring} ring, {plural(len(item.points), 'probe')}"
        parts.append(sample + svg.text(x + 15, 16, words, "legend"))
        x += 36 + 6.6 * len(words)
    return "".join(parts)


def _describe(series: tuple[Series, ...]) -> str:
    lines = []
    for item in series:
        bad = sum(not point.ok for point in item.points)
        found = worst((item,))
        value = found[1].value if found else None
        largest = f", the largest {number_text(value)} at {found[1].probe[:40]}" if found and value is not None else ""
        count, limit = plural(len(item.points), "probe"), number_text(item.limit)
        lines.append(f"{item.ring}: {count}, {bad} outside, limit {limit}{largest}")
    return ". ".join(lines) + "."
