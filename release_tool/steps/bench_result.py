"""What ``bench`` tells: a table of the archives and one of their times, and the error of one over its budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.core.quantity import size_text
from release_tool.errors import ValidationFailed

if TYPE_CHECKING:
    from release_tool.core.speed import Measured
    from release_tool.steps.benching import Result

LIMIT = 60
"""Characters of a file's name in a table."""


def table(results: tuple[Result, ...]) -> str:
    """Return both tables for a terminal, and what is to be said about them."""
    first, second = _rows(results)
    lines = [*_aligned(first), "", *_aligned(second)]
    lines += ["", *_notes(results)]
    return "\n".join(lines)


def markdown(results: tuple[Result, ...]) -> str:
    """Return both tables for a step summary."""
    from release_tool.core.escape import markdown as escaped

    lines = ["### Speed and size", ""]
    for rows in _rows(results):
        head, *rest = [[escaped(cell) for cell in row] for row in rows]
        lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rest] + [""]
    return "\n".join([*lines, *(f"- {escaped(note)}" for note in _notes(results))])


def document(results: tuple[Result, ...]) -> dict[str, Any]:
    """Return everything as JSON data."""
    from release_tool.core.codec import encode

    return {"schema": "release-tool/bench@1", "archives": [encode(one) for one in results]}


def failing(results: tuple[Result, ...]) -> ValidationFailed | None:
    """Return the error of the archives over their budgets; null where all stay within."""
    lines = [f"  - {one_line(one.file_name)}: {reason}" for one in results for reason in one.failures]
    if not lines:
        return None
    return ValidationFailed(
        "Over budget:\n" + "\n".join(lines),
        hint="Make it smaller or faster (--variant), or allow more with --budget at plan.",
    )


def _rows(results: tuple[Result, ...]) -> tuple[list[list[str]], list[list[str]]]:
    tokens = [times.tokens for times in results[0].measured.times]
    on_node = results[0].measured.loaded_bytes is None
    first = [["archive", "size", "deploy" if on_node else "load"]]
    first[0] += [] if on_node else ["memory, loaded", f"after {tokens[-1]} tokens"]
    second = [["p50 / p95 in ms", *(f"{length} tokens" for length in tokens)]]
    for one in results:
        name = one_line(one.file_name)[:LIMIT]
        first.append([name, size_text(one.size), f"{one.measured.load_seconds:.2f} s", *_memory(one.measured)])
        second.append([name, *_times(one)])
    return first, second


def _memory(measured: Measured) -> list[str]:
    return [size_text(count) for count in (measured.loaded_bytes, measured.peak_bytes) if count is not None]


def _times(one: Result) -> list[str]:
    ratios = {ratio.tokens: ratio for ratio in one.first.ratios} if one.first else {}
    cells = []
    for times in one.measured.times:
        ratio = ratios.get(times.tokens)
        beside = f"  x{ratio.ratio:.2f} ({ratio.low:.2f} to {ratio.high:.2f})" if ratio else ""
        cells.append(f"{times.p50_ms:.1f} / {times.p95_ms:.1f}{beside}")
    return cells


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _notes(results: tuple[Result, ...]) -> list[str]:
    measured = results[0].measured
    notes = [f"{measured.ring}, {measured.rounds} rounds, {measured.machine}"]
    compared = next((one.first for one in results if one.first), None)
    if compared is not None:
        notes.append(
            f"x: the median over the rounds of the time through that of {one_line(compared.file_name)}, "
            "with its interval of 99 %"
        )
    notes += list(dict.fromkeys(one_line(one.measured.note) for one in results if one.measured.note))
    notes += [
        f"{one_line(one.file_name)}: {', '.join(one.open)}: the rounds leave open whether the budget is kept; "
        "more --rounds would tell"
        for one in results
        if one.open
    ]
    return notes
