"""Render the section of mining from its file of numbers alone: no clock, no path, no measurement here."""

from __future__ import annotations

import json
from statistics import mean
from typing import TYPE_CHECKING, Any

import foreign

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

HEADING = "## Mining negatives"
FILE = "mining.json"
MEMORY, SPEED = 0.25, 0.7
"""Goals beside bm25s: at most this share of its memory, at least this share of its queries a second."""
LARGE = 10_000_000

INTRODUCTION = """Written by `bench/mining.py`. Synthetic documents of 100 words by Zipf's law over 500,000 words, made
while they are read; queries are eight words of a document, asked one after another on one thread, 66 hits each,
in five rounds of other queries, of which the median counts (least and most in brackets). Ours is the
stage's own code with the recipe's defaults; bm25s has its fastest backend (numba), no stemmer and no stop words. Memory is
the largest resident set of the whole process; making the documents is in both times, and told apart.
"""


def overlap(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> float:
    """Return the mean share of the first ten documents that both have."""
    return mean(len(set(a) & set(b)) / max(len(a), len(b), 1) for a, b in zip(one, other, strict=True))


def line(points: Sequence[tuple[float, float]]) -> Callable[[float], float]:
    """Return the straight line through points (x, y), by least squares."""
    middle_x, middle_y = mean(x for x, _ in points), mean(y for _, y in points)
    above = sum((x - middle_x) * (y - middle_y) for x, y in points)
    slope = above / sum((x - middle_x) ** 2 for x, _ in points)
    return lambda x: middle_y + slope * (x - middle_x)


def render(out: Path) -> str:
    """Return the section; empty where nothing was measured."""
    path = out / FILE
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    rows = found["rows"]
    parts = [HEADING, "", INTRODUCTION]
    if found["busy"]:
        parts.append("**Measured with --busy-anyway: other work ran on this machine. These are no results.**\n")
    parts += [
        "| Engine | Documents | Index, s | of that making texts, s | CPU, s | Memory, MB | Disk, MB | Queries/s |"
    ]
    parts += ["|---|---|---|---|---|---|---|---|", *map(_row, rows), ""]
    parts += [_goals(rows), "", _projection([row for row in rows if row["engine"] == "tantivy"]), ""]
    parts += [remark for row in rows if (remark := _disturbed(row))]
    versions = ", ".join(f"{name} {version}" for row in rows[-2:] for name, version in row["versions"].items())
    parts.append(
        f"Both have {found['agreement']:.1%} of the first ten documents in common, over {found['queries']:,} queries. "
        f"{found['machine']['CPU']}; {versions}."
    )
    return "\n".join(parts) + "\n"


def _row(row: dict[str, Any]) -> str:
    name = {"tantivy": "ours (tantivy)"}.get(row["engine"], row["engine"])
    disk = f"{row['disk'] / 1e6:,.0f}" if row["disk"] else "none"
    cells = [
        name, f"{row['documents']:,}", f"{row['index_s']:.0f}", f"{row['generate_s']:.0f}", f"{row['process']['cpu_s']:.0f}",
        f"{row['process']['max_rss'] / 1e6:,.0f}", disk, f"{row['queries_per_s']:.0f} ({min(row['rates']):.0f} to {max(row['rates']):.0f})",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _goals(rows: list[dict[str, Any]]) -> str:
    ours, peer = rows[-2], rows[-1]
    memory = ours["process"]["max_rss"] / peer["process"]["max_rss"]
    speed = ours["queries_per_s"] / peer["queries_per_s"]
    return (
        f"Memory: {memory:.2f} of bm25s's (goal: ≤ {MEMORY}{_mark(kept=memory <= MEMORY)}). Queries/s: {speed:.2f} of "
        f"bm25s's (goal: ≥ {SPEED}{_mark(kept=speed >= SPEED)})."
    )


def _disturbed(row: dict[str, Any]) -> str:
    """Point at a run beside which something else ran; empty for others."""
    used = foreign.foreign_share(row["process"])
    if used <= foreign.NOTED:
        return ""
    return (
        f"**Other work used {used:.2f} of a core while {row['engine']} ran with {row['documents']:,} documents**: its times "
        "are upper bounds, its queries/s a lower one, and what is held against them is no result yet.\n"
    )


def _mark(*, kept: bool) -> str:
    return " ✓" if kept else " **missed**"


def _projection(rows: list[dict[str, Any]]) -> str:
    def at(value: Callable[[dict[str, Any]], float]) -> float:
        return line([(row["documents"], value(row)) for row in rows])(LARGE)

    # An engine that asked a query looks at a share of the documents: its time grows with them, not its rate.
    seconds = at(lambda row: 1 / row["queries_per_s"])
    return (
        f"On {LARGE:,} documents, by straight lines through the three sizes: index in "
        f"{at(lambda row: row['index_s'] - row['generate_s']) / 60:.0f} minutes beside reading the texts, "
        f"{at(lambda row: row['process']['max_rss']) / 1e6:,.0f} MB of memory, "
        f"{at(lambda row: row['disk']) / 1e9:.1f} GB of disk, {1 / seconds:.0f} queries/s a thread."
    )
