"""Render the section of fine-tuning from its files of numbers alone: no clock, no path, no measurement here."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import foreign

if TYPE_CHECKING:
    from pathlib import Path

HEADING = "## Fine-tuning"
CASES = ("dense", "sparse")
GAIN, LIKELY = 1.0, 0.05
"""Goal: points of nDCG@10 for at least one of the two figures, and the p value that it must not pass."""
SETS = {"held-out": "queries made of held-out documents", "set": "the collection's own queries"}

INTRODUCTION = """Written by `bench/finetune.py`. all-MiniLM-L6-v2 is trained on the documents of Cranfield alone: queries that the
offline provider makes of the documents of split train, BM25 negatives, no teacher, no service. Split test is never trained
on, nor used as negatives, and its queries search all documents. The collection's own queries and judgements are read by
nothing of the run but its last measurement. They were seen once before: while the offline provider was written, its kinds of
queries were tried on this collection, with the scores of its own queries beside; what is told of those may flatter it.
nDCG@10 is graded, the interval is of 95 % of the resamples, p of a two-sided paired randomisation test.
"""


def render(out: Path) -> str:
    """Return the section over everything that was measured; empty without."""
    found = [
        json.loads(path.read_text(encoding="utf-8"))
        for case in CASES
        if (path := out / f"finetune-{case}.json").is_file()
    ]
    if not found:
        return ""
    parts = [HEADING, "", INTRODUCTION]
    if any(one["busy"] for one in found):
        parts.append(
            "**Measured with --busy-anyway: other work ran on this machine. The times are no results**; what a search "
            "finds does not depend on them.\n"
        )
    head = ("Model", "Measured on", "Queries", "Before", "After", "Gain, points", "95 %", "p", "BM25", "FLOPS")
    parts += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for one in found:
        parts += [_row(one, judged) for judged in one["evaluation"]["sets"]]
    parts += ["", *(_goal(one) for one in found), _times(found), *(_recipe(one) for one in found)]
    return "\n".join(parts)


def line_of(found: dict[str, Any]) -> str:
    """Return one case on a line."""
    words = [
        f"{judged['name']} {judged['before']['ndcg_10']:.4f} -> {judged['after']['ndcg_10']:.4f} "
        f"({100 * _gain(judged):+.2f}, p = {judged['p']:.4f})"
        for judged in found["evaluation"]["sets"]
    ]
    return f"{found['kind']}: {'; '.join(words)}; {found['numbers']['wall_s']:.0f} s"


def _gain(judged: dict[str, Any]) -> float:
    gain: float = judged["after"]["ndcg_10"] - judged["before"]["ndcg_10"]
    return gain


def _row(found: dict[str, Any], judged: dict[str, Any]) -> str:
    before, after, interval = judged["before"], judged["after"], judged["interval"]
    untrained = " (untrained)" if found["evaluation"]["before"] == "untrained" else ""
    flops = "" if after["flops"] is None else f"{before['flops']:.2f} → {after['flops']:.2f}"
    cells = (
        found["kind"],
        SETS[judged["role"]],
        f"{judged['queries']:,}",
        f"{before['ndcg_10']:.4f}{untrained}",
        f"{after['ndcg_10']:.4f}",
        f"{100 * _gain(judged):+.2f}",
        f"{100 * interval['low']:+.2f} to {100 * interval['high']:+.2f}",
        f"{judged['p']:.4f}",
        f"{judged['bm25']['ndcg_10']:.4f}",
        flops,
    )
    return "| " + " | ".join(cells) + " |"


def _goal(found: dict[str, Any]) -> str:
    reached = [judged for judged in found["evaluation"]["sets"] if 100 * _gain(judged) >= GAIN and judged["p"] < LIKELY]
    wanted = f"{GAIN:+.1f} points with p < {LIKELY:g} on at least one of the two"
    if reached:
        return f"Goal, {found['kind']}: {wanted} ✓ ({', '.join(SETS[judged['role']] for judged in reached)}).\n"
    best = max(found["evaluation"]["sets"], key=_gain)
    return f"Goal, {found['kind']}: {wanted} **missed**; the largest gain is {100 * _gain(best):+.2f}, p = {best['p']:.4f}.\n"


def _times(found: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for one in found for name in one["stages"]))
    head = ("Model", "Together, s", "CPU, s", "Largest process, GB", *(f"{name}, s" for name in names))
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for one in found:
        numbers, stages = one["numbers"], one["stages"]
        cells = (
            one["kind"],
            f"{numbers['wall_s']:,.0f}",
            f"{numbers['cpu_s']:,.0f}",
            f"{numbers['max_rss'] / 1e9:.2f}",
            *(f"{stages[name]['seconds']:,.0f}" if name in stages else "" for name in names),
        )
        lines.append("| " + " | ".join(cells) + " |")
    cpu = found[0]["machine"].get("CPU", "")
    versions = ", ".join(f"{name} {number}" for name, number in found[0]["versions"].items())
    shares = {one["kind"]: foreign.foreign_share(one["numbers"]) for one in found}
    noted = [f"{share:.2f} of a core beside {kind}" for kind, share in shares.items() if share > foreign.NOTED]
    busy = [f"Other work used {', '.join(noted)}: on a quiet machine it takes less."] if noted else []
    return "\n".join([*lines, "", *busy, f"{cpu}; {versions}.", ""])


def _recipe(found: dict[str, Any]) -> str:
    keys = re.sub(r"\n{2,}", "\n", found["keys"]).strip()
    return f"The recipe, {found['kind']}, beyond model and documents:\n\n```toml\n[split]\n{keys}\n```\n"
