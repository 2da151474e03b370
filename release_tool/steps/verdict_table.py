"""The verdicts of a measurement for people: a table, its Markdown, and the error of a red result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.errors import ValidationFailed

if TYPE_CHECKING:
    from release_tool.steps.measuring import Verdict


def failing(verdicts: list[Verdict]) -> ValidationFailed | None:
    """Return the error of a red result: the worst probe, its number and tolerance, the cause, where the proof is."""
    red = [item for item in verdicts if not item.passed]
    if not red:
        return None
    lines = []
    for item in red:
        more = f" (and {len(item.failures) - 1} more)" if len(item.failures) > 1 else ""
        lines.append(f"{item.artifact} in the {item.ring} ring: {item.failures[0]}{more}")
        if item.diagnosis is not None:
            lines.append(f"  {item.diagnosis}")
        if item.proof is not None:
            lines.append(f"  measured numbers: {item.proof}")
    return ValidationFailed("The archive does not answer as its source does.\n" + "\n".join(lines))


def table(verdicts: list[Verdict]) -> str:
    """Return the result as a table of text."""
    head = ("artifact", "ring", "probes", "worst difference", "allowed", "verdict")
    rows = [head]
    for item in verdicts:
        verdict = item.word
        if not item.measured:
            verdict += ", not measured again"
        elif not item.pinned:
            verdict += ", stand-in for the server's versions"
        worst = f"{item.worst:.2g} ({item.worst_probe})" if item.worst is not None else "answers only"
        limit = f"{item.allowed:.2g}" if item.worst is not None and item.allowed is not None else ""
        rows.append((item.artifact, item.ring, str(item.probes), worst, limit, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def markdown(verdicts: list[Verdict]) -> str:
    """Return the result for a step summary; nothing in it comes from a model or a server."""
    lines = ["| Artifact | Ring | Probes | Worst difference | Allowed | Verdict |", "|---|---|---|---|---|---|"]
    for item in verdicts:
        worst = "answers only" if item.worst is None else f"{item.worst:.2g} ({item.worst_probe})"
        limit = "" if item.worst is None or item.allowed is None else f"{item.allowed:.2g}"
        verdict = item.word if item.passed else "**different**"
        lines.append(f"| {item.artifact} | {item.ring} | {item.probes} | {worst} | {limit} | {verdict} |")
    return "\n".join(lines)
