"""The bars of the review page: tokens that only one side has, and the sizes of the archives. Pure text."""

from __future__ import annotations

from dataclasses import dataclass

from release_tool.core import svg
from release_tool.core.plots import LEFT, RIGHT, TOP, WIDTH, slot_x
from release_tool.core.quantity import bytes_text, plural, size_text

LABEL_ROOM = 70.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBar:
    """Sparse: tokens of one probe that only one side has."""

    probe: str
    missing: int
    extra: int


def token_plot(name: str, heading: str, bars: tuple[TokenBar, ...]) -> svg.Svg:
    """Return extra tokens as bars upwards and missing ones downwards, one place a probe."""
    most = max((max(bar.missing, bar.extra) for bar in bars), default=0) or 1
    unit, middle = 60.0 / most, TOP + 66.0
    parts = [
        svg.line((LEFT, middle), (WIDTH - RIGHT, middle), "stroke"),
        svg.text(WIDTH - RIGHT + 8, middle - 8, "extra ↑", "tick"),
        svg.text(WIDTH - RIGHT + 8, middle + 16, "missing ↓", "tick"),
        svg.text(LEFT - 8, TOP + 10, f"{most:,}", "tick", "end"),
        svg.text(LEFT - 8, middle + 4, "0", "tick", "end"),
        svg.text(LEFT - 8, middle + 64, f"{most:,}", "tick", "end"),
    ]
    for index, bar in enumerate(bars):
        x = slot_x(index, len(bars)) - 3
        words = f"{bar.probe}: {bar.extra:,} extra, {bar.missing:,} missing"
        rects = [
            svg.element("rect", {"x": x, "y": y, "width": 6, "height": length, "class": css})
            for count, y, css in (
                (bar.extra, middle - bar.extra * unit, "extra"),
                (bar.missing, middle, "missing"),
            )
            if (length := count * unit)
        ]
        if rects:
            parts.append(svg.element("g", {}, svg.title(words), *rects))
    extra, missing = sum(bar.extra for bar in bars), sum(bar.missing for bar in bars)
    words = f"{plural(len(bars), 'probe')}: {extra:,} extra and {missing:,} missing tokens in all."
    return svg.figure(WIDTH, middle + 80, name, (heading, words), *parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeBar:
    """One archive."""

    label: str
    size: int
    expected: int
    """What the plan expected, in bytes."""


def size_plot(name: str, heading: str, bars: tuple[SizeBar, ...]) -> svg.Svg:
    """Return the size of each archive as a bar, with a tick where the plan expected it."""
    most = max((max(bar.size, bar.expected) for bar in bars), default=0) or 1
    left, right, row = 132.0, 110.0, 30.0
    unit = (WIDTH - left - right) / most
    parts = []
    for index, bar in enumerate(bars):
        y = 6 + index * row
        words = f"{bar.label}: {bytes_text(bar.size)}, expected about {size_text(bar.expected)}"
        expected = left + bar.expected * unit
        body = [
            svg.title(words),
            svg.element(
                "rect",
                {
                    "x": left,
                    "y": y,
                    "width": max(1.0, bar.size * unit),
                    "height": 18,
                    "rx": 2,
                    "class": "bar",
                },
            ),
            svg.line((expected, y - 3), (expected, y + 21), "expected"),
        ]
        parts.append(svg.text(left - 10, y + 14, bar.label[:22], "legend", "end"))
        parts.append(svg.element("g", {}, *body))
        end = left + bar.size * unit
        # The label follows its bar; where the tick would strike it through, it follows the tick.
        crossed = end - 4 < expected < end + LABEL_ROOM
        parts.append(svg.text((expected if crossed else end) + 9, y + 14, size_text(bar.size), "legend"))
    summary = "; ".join(f"{bar.label} {size_text(bar.size)}" for bar in bars)
    return svg.figure(WIDTH, 10 + row * len(bars), name, (heading, summary), *parts)
