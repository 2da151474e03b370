"""What ``quality`` tells: a line an archive and set, and the error of a set over its budget with its worst queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.core.escape import one_line
from release_tool.core.page_quality import place, points
from release_tool.core.quality import POINTS, over, quality_name
from release_tool.errors import ValidationFailed

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.quality import Quality

SHOWN_LOSERS = 5
HEAD = ("artifact", "set", "queries", "nDCG@10", "source", "loss in points", "recall@100", "MRR@10", "verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One archive on one set."""

    artifact: str
    set: str
    queries: int
    ndcg_10: float
    source_ndcg_10: float
    loss_points: float
    loss_points_low: float
    """Lower end of the interval of 95 %."""
    loss_points_high: float
    recall_100: float
    mrr_10: float
    flops: float | None
    document_tokens: float | None
    passed: bool
    budget: str

    def cells(self) -> tuple[str, ...]:
        """Return what stands in a row, but for the verdict."""
        lost, low, high = (
            points(value / POINTS) for value in (self.loss_points, self.loss_points_low, self.loss_points_high)
        )
        return (
            self.artifact,
            one_line(self.set),
            str(self.queries),
            f"{self.ndcg_10:.4f}",
            f"{self.source_ndcg_10:.4f}",
            f"{lost} ({low} to {high})",
            f"{self.recall_100:.4f}",
            f"{self.mrr_10:.4f}",
        )


def lines_of(found: list[Quality]) -> list[Line]:
    """Return a line for each archive and set."""
    return [
        Line(
            artifact=quality.artifact,
            set=judged.name,
            queries=judged.queries,
            ndcg_10=judged.archive.ndcg_10,
            source_ndcg_10=judged.source.ndcg_10,
            loss_points=judged.lost * POINTS,
            loss_points_low=judged.loss.low * POINTS,
            loss_points_high=judged.loss.high * POINTS,
            recall_100=judged.archive.recall_100,
            mrr_10=judged.archive.mrr_10,
            flops=judged.archive.flops,
            document_tokens=judged.archive.document_tokens,
            passed=over(judged, quality.budget) is None,
            budget=str(quality.budget),
        )
        for quality in found
        for judged in quality.sets
    ]


def table(lines: list[Line]) -> str:
    """Return the result as a table of text."""
    rows = [HEAD, *((*line.cells(), "kept" if line.passed else "OVER BUDGET") for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def markdown(lines: list[Line]) -> str:
    """Return the result for a step summary."""
    rows = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for line in lines:
        cells = [cell.replace("|", "\\|").replace("`", "\\`") for cell in line.cells()]
        rows.append("| " + " | ".join([*cells, "kept" if line.passed else "**over budget**"]) + " |")
    return "\n".join(rows)


def failing(found: list[Quality], work: Path) -> ValidationFailed | None:
    """Return the error of what is over its budget: the numbers, and the queries that lose most."""
    lines: list[str] = []
    for quality in found:
        for judged in quality.sets:
            reason = over(judged, quality.budget)
            if reason is None:
                continue
            lines.append(f"{quality.artifact}: {reason}")
            lines.extend(
                f"  {one_line(loser.query)}: nDCG@10 {loser.source:.2f} → {loser.archive:.2f}"
                f" ({place(loser.source_rank)} → {place(loser.archive_rank)}): {one_line(loser.text)}"
                for loser in judged.losers[:SHOWN_LOSERS]
            )
            lines.append(f"  all numbers: {one_line(str(work / quality_name(quality.artifact)))}")
    if not lines:
        return None
    return ValidationFailed(
        "The archive finds less than its source does.\n" + "\n".join(lines),
        hint="Nothing of this may be published: look at the queries above; budgets stand in release-tool.toml.",
    )
