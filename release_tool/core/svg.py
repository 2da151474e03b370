"""Build SVG text from parts that can't break out of their place: names, numbers and texts are escaped here.

Elements carry class names only; colours belong to the page, which has a light and a dark palette. No text
given to these functions can become a script, a link or an external resource.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.escape import html_text, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping


class Svg(str):
    """SVG text that is safe to place in HTML as it is; templates recognise it by ``__html__``."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return the text unescaped: it was escaped where it was made."""
        return str(self)


def element(name: str, attributes: Mapping[str, str | float], *children: str) -> str:
    """Return one element; children are SVG text already."""
    written = "".join(f' {key}="{_value(value)}"' for key, value in attributes.items())
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


def text(x: float, y: float, words: str, css: str = "", anchor: str = "start") -> str:
    """Return a text element."""
    attributes: dict[str, str | float] = {"x": x, "y": y, "text-anchor": anchor}
    return element("text", attributes | ({"class": css} if css else {}), html_text(one_line(words)))


def title(words: str) -> str:
    """Return the hover text of its parent."""
    return element("title", {}, html_text(one_line(words)) or " ")


def line(start: tuple[float, float], end: tuple[float, float], css: str) -> str:
    """Return a straight line."""
    return element("line", {"x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1], "class": css})


def mark(shape: str, x: float, y: float, size: float) -> str:
    """Return a mark centred at (x, y): ``circle``, ``diamond``, ``triangle`` or ``cross``.

    Series differ by shape and not by colour alone.
    """
    if shape == "circle":
        return element("circle", {"cx": x, "cy": y, "r": size})
    if shape == "cross":
        path = f"M{_number(x - size)} {_number(y - size)}l{_number(2 * size)} {_number(2 * size)}"
        path += f"m0 {_number(-2 * size)}l{_number(-2 * size)} {_number(2 * size)}"
        return element("path", {"d": path, "class": "cross"})
    corners = {
        "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        "triangle": ((0, -1.3), (1.25, 1), (-1.25, 1)),
    }[shape]
    points = " ".join(f"{_number(x + dx * size)},{_number(y + dy * size)}" for dx, dy in corners)
    return element("polygon", {"points": points})


def figure(width: float, height: float, name: str, words: tuple[str, str], *children: str) -> Svg:
    """Return a whole picture.

    Args:
        width: of the drawing; the page scales it.
        height: of the drawing.
        name: identifier, unique in the page; names the title for screen readers.
        words: what the picture is, and what it shows, both read aloud.
        children: the drawing.
    """
    heading, description = words
    attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {_number(width)} {_number(height)}",
        "role": "img",
        "class": "plot",
        "aria-labelledby": f"{name}-title {name}-desc",
    }
    head = element("title", {"id": f"{name}-title"}, html_text(one_line(heading)))
    desc = element("desc", {"id": f"{name}-desc"}, html_text(one_line(description)))
    return Svg(element("svg", attributes, head, desc, *children))


def _value(value: str | float) -> str:
    return html_text(value) if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    # Two decimals: a hundredth of a unit is below any pixel, and equal input gives equal bytes.
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"
