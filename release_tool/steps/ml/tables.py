"""Answers of a cluster as text for a terminal: facts of one thing, rows of many. What a server wrote is escaped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_VALUE = 300
"""Characters of one value; --json has all of it."""


def facts(data: Mapping[str, Any], *, first: Sequence[str] = ()) -> str:
    """Return a line for each field, those of ``first`` in front."""
    names = [*(name for name in first if name in data), *(name for name in data if name not in first)]
    width = max((len(name) for name in names), default=0)
    return "\n".join(f"{one_line(name):<{width}}  {value_text(data[name])}" for name in names)


def rows(header: Sequence[str], lines: Iterable[Sequence[Any]], *, empty: str = "nothing") -> str:
    """Return a table with columns as wide as they must be."""
    cells = [[value_text(value) for value in line] for line in lines]
    if not cells:
        return empty
    table = [list(header), *cells]
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table
    )


def value_text(value: Any) -> str:
    """Return one value as one line, cut."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    line = one_line(text)
    return line if len(line) <= MAX_VALUE else line[:MAX_VALUE] + "…"
