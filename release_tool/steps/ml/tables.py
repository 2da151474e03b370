"""Answers of a cluster as text for a terminal: facts of one thing, rows of many. What a server wrote is escaped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.core.ml.shapes import inner

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from release_tool.core.ml.request import Request
    from release_tool.services.cluster.sender import Sender

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


def flat(data: Any, before: str = "") -> list[tuple[str, Any]]:
    """Return nested objects as rows: path → value."""
    if not isinstance(data, dict):
        return [(before, data)]
    return [row for key, value in data.items() for row in flat(value, f"{before}.{key}" if before else str(key))]


def profiled(reply: Any) -> list[tuple[Any, ...]]:
    """Return a row for each node and model of a profile: memory and what predict took."""
    lines: list[tuple[Any, ...]] = []
    for node, said in inner(reply, "nodes").items():
        for model, told in inner(said, "models").items():
            one = inner(told)
            took = inner(one, "predict_request_stats") or inner(one, "model_inference_stats")
            size = one.get("memory_size_estimation_cpu") or one.get("memory_size_estimation_gpu")
            memory = f"{size / 1e6:.0f} MB" if isinstance(size, (int, float)) else ""
            times = [
                f"{took[key]:.1f}" if isinstance(took.get(key), (int, float)) else "" for key in ("p50", "p90", "p99")
            ]
            lines.append((node, model, one.get("model_state"), memory, took.get("count"), *times))
    return lines


def found_or_none(cluster: Sender, request: Request) -> Any:
    """Send a search; an index that nobody has made yet holds nothing.

    Raises:
        as the transport
    """
    from release_tool.errors import Refused

    try:
        return cluster.send(request)
    except Refused as error:
        if error.status == 404:
            return {}
        raise
