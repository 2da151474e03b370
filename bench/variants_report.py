"""Render the section of variants from their files of numbers alone: no clock, no path, no measurement here."""

from __future__ import annotations

import json
import re
from statistics import geometric_mean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

HEADING = "## Variants on a real node"
MODELS = {
    "minilm": "all-MiniLM-L6-v2",
    "bert-base": "BERT base, random weights",
    "cross-encoder": "Cross-encoder of six layers, random weights",
    "sparse": "Sparse encoder of six layers, random weights",
}
FUSED, INT8 = "ours, ONNX fused", "ours, ONNX int8"
FASTER_FUSED, FASTER_INT8, PARITY, KEPT = 1.8, 3.0, 1e-5, 0.99
"""Goals: times as fast as the peer, the default at this parity, int8 with this share of the source's nDCG@10."""

INTRODUCTION = """Written by `bench/variants.py`. All archives of a model are deployed on one OpenSearch in one run and asked
in turn, one request at a time; p50 / p95 in milliseconds, as the client sees them, by tokens. Behind x: how many times as
fast as {against}, the median over the rounds with its interval of 99 %; at the end the geometric mean over the lengths.
Largest difference and least cosine are over the probes, beside the source.
"""


def render(out: Path) -> str:
    """Return the section over everything that was measured; empty without."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("variants-*.json"))]
    order = list(MODELS)
    found.sort(key=lambda one: order.index(one["case"]))
    if not found:
        return ""
    parts = [HEADING, "", INTRODUCTION.format(against="the archive named in the last line of a table")]
    if any(one["busy"] for one in found):
        parts.append("**Measured with --busy-anyway: other work ran on this machine. These are no results.**\n")
    parts += [model_table(one) for one in found]
    return "\n".join(parts)


def insert(text: str, section: str) -> str:
    """Return a report with a section of a program's own replaced, or put at its end; it is known by its heading."""
    if not section:
        return text
    pattern = re.compile(rf"^{re.escape(section.partition(chr(10))[0])}$.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    if pattern.search(text):
        return pattern.sub(lambda _: section.rstrip("\n") + "\n\n", text, count=1).rstrip("\n") + "\n"
    return (text.rstrip("\n") + "\n\n" + section).lstrip("\n").rstrip("\n") + "\n"


def model_table(found: dict[str, Any]) -> str:
    """Return the table of one model and what it says about the goals."""
    rows = found["archives"]
    tokens = [times["tokens"] for times in next(iter(rows.values()))["bench"]["measured"]["times"]]
    head = ["Archive", "MB", "Deploy, s", *(f"{length} tokens" for length in tokens), "x", "Difference", "nDCG@10"]
    lines = [f"### {MODELS[found['case']]}", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(_cells(name, row)) + " |" for name, row in rows.items()]
    return "\n".join([*lines, "", *_remarks(found), ""])


def faster(row: dict[str, Any]) -> list[tuple[float, float, float]]:
    """Return (times as fast, low, high) by length, as the other way round of bench's ratio."""
    beside = row["bench"]["measured"]["beside"]
    ratios = beside["ratios"] if beside else []
    return [(1 / one["ratio"], 1 / one["high"], 1 / one["low"]) for one in ratios]


def _cells(name: str, row: dict[str, Any]) -> list[str]:
    measured, times_as_fast = row["bench"]["measured"], faster(row)
    cells = [name, f"{row['bench']['size'] / 1e6:.1f}", f"{measured['load_seconds']:.1f}"]
    for place, times in enumerate(measured["times"]):
        cell = f"{times['p50_ms']:.1f} / {times['p95_ms']:.1f}"
        if times_as_fast:
            ratio, low, high = times_as_fast[place]
            cell += f", x{ratio:.2f} ({low:.2f} to {high:.2f})"
        cells.append(cell)
    mean = f"{geometric_mean(ratio for ratio, _, _ in times_as_fast):.2f}" if times_as_fast else "1"
    return [*cells, mean, _difference(row), _ndcg(row)]


def _difference(row: dict[str, Any]) -> str:
    cosine = row.get("cosine")
    words = [] if row.get("max_abs") is None else [f"{row['max_abs']:.1e}"]
    words += [f"cosine {cosine:.4f}"] if cosine is not None and cosine < 1 - PARITY else []
    words += [f"{row['cut_otherwise']} probes cut otherwise"] if row.get("cut_otherwise") else []
    return ", ".join(words)


def _ndcg(row: dict[str, Any]) -> str:
    if row.get("ndcg") is None:
        return ""
    return f"{row['ndcg']:.4f} ({row['ndcg'] / row['source_ndcg']:.2%} of the source's)"


def _remarks(found: dict[str, Any]) -> list[str]:
    rows = found["archives"]
    first = next(iter(rows.values()))["bench"]["measured"]
    about = f"{first['machine']}, OpenSearch {first['versions']['opensearch']}, {found['rounds']} rounds; "
    about += f"beside: {found['against']}. "
    about += f"`trace --variant int8` took {found['int8_seconds']:.0f} s."
    lines = [about]
    lines += [f"No int8 archive: {found['int8_refused']}"] if found["int8_refused"] else []
    kept = _kept_in_fp32(rows.get(INT8, {}))
    lines += [f"Int8 keeps in fp32: {kept}."] if kept else []
    if found["against"].startswith("peer"):
        lines += _goals(rows)
    return [line for text in lines for line in (text, "")][:-1]


def _kept_in_fp32(row: dict[str, Any]) -> str:
    weights = ((row.get("export") or {}).get("quantised") or {}).get("weights", [])
    kept = [weight["name"] for weight in weights if weight["kept"]]
    return f"{len(kept)} of {len(weights)} weights ({', '.join(kept)})" if kept else ""


def _goals(rows: dict[str, Any]) -> list[str]:
    fused, int8 = (geometric_mean(ratio for ratio, _, _ in faster(rows[name])) for name in (FUSED, INT8))
    apart = rows[FUSED]["max_abs"]
    default = (
        f"Goal, the default (fused): {fused:.2f} times as fast, wanted {FASTER_FUSED} {_sign(fused >= FASTER_FUSED)}"
    )
    default += f"; difference {apart:.1e}, wanted {PARITY:.0e} {_sign(apart <= PARITY)}."
    small = f"Goal, int8: {int8:.2f} times as fast, wanted {FASTER_INT8:.0f} {_sign(int8 >= FASTER_INT8)}"
    if rows[INT8].get("ndcg") is not None:
        share = rows[INT8]["ndcg"] / rows[INT8]["source_ndcg"]
        small += f"; {share:.2%} of the source's nDCG@10, wanted {KEPT:.0%} {_sign(share >= KEPT)}"
    return [default, small + "."]


def _sign(held: bool) -> str:  # noqa: FBT001 - a table's cell
    return "✓" if held else "**missed**"
