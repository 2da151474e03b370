"""Render bench/RESULTS.md from the files of numbers alone: no clock, no path, no measurement here."""

from __future__ import annotations

import json
from statistics import median
from typing import TYPE_CHECKING, Any

import finetune_report
import foreign
import laptop
import mining_report
import teach
import variants_report
from cases import RSS_TARGET, WRITTEN_TARGET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from cases import Case

MODELS = {
    "minilm": "all-MiniLM-L6-v2 (91 MB)",
    "bert-base": "BERT base, random (438 MB)",
    "bert-large": "BERT large, random (1.34 GB)",
    "xlmr-large": "XLM-R large, random (2.24 GB)",
}
CONDITION_WORDS = {
    "compiled": "**compiled**: the bytecode of all packages lies there, as pip leaves it and as every run after the first finds it",
    "fresh": "**fresh**: nothing is compiled, as uv leaves it and as a job in a new environment (or one with "
    "PYTHONDONTWRITEBYTECODE set) finds it",
}
HEAD = """# Speed and memory beside opensearch-py-ml

Written by `bench/run.py`; [README.md](README.md) says how to repeat it and what each number is. Ours and the peer's
runs alternate in one session; a ratio is the median of the ratios of the pairs, a time the median of its runs with the
least and the largest in brackets. The peer exports only: it proves nothing, in any of these figures.
"""


def render(out: Path, cases: Sequence[Case], conditions: Sequence[str]) -> str:
    """Return the report over everything that was measured."""
    pairs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("pair-*.json"))]
    found = [
        (case, condition, chosen)
        for case in cases
        for condition in conditions
        if (chosen := [pair for pair in pairs if (pair["case"], pair["condition"]) == (case.model, condition)])
    ]
    parts = [HEAD, _about(out), _warnings(pairs)]
    if found:
        parts += [_conditions(found), _times(found), _memory(found), _cpu(found)]
    parts += [_written(out, cases), _certificates(found), _peer_archives(found), _predict(out)]
    parts += [variants_report.render(out), teach.render(out), mining_report.render(out), laptop.render(out)]
    parts.append(finetune_report.render(out))
    return "\n".join(part for part in parts if part)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _about(out: Path) -> str:
    path = out / "about.json"
    if not path.is_file():
        return ""
    about = json.loads(path.read_text(encoding="utf-8"))
    rows = [*about["machine"].items(), ("File system", about["file_system"])]
    rows += [(side, ", ".join(f"{name} {number}" for name, number in about[key].items()))
             for side, key in (("Ours", "ours"), ("Peer", "peer"))]  # fmt: skip
    return "## Machine and versions\n\n" + _table(("", ""), rows)


def _warnings(pairs: list[dict[str, Any]]) -> str:
    lines = []
    if any(pair["busy"] for pair in pairs):
        lines.append("**Measured with --busy-anyway: other work ran on this machine. These are no results.**")
    busy = [pair for pair in pairs if max(map(foreign.foreign_share, _all_runs(pair))) > foreign.NOTED]
    if busy:
        lines.append(
            f"In {len(busy)} of {len(pairs)} pairs something else took more than {foreign.NOTED:.0%} of one core during a run."
        )
    return "\n\n".join(lines) + "\n" if lines else ""


def _all_runs(pair: dict[str, Any]) -> list[dict[str, Any]]:
    return [pair["ours"], *pair["peer"].values()]


Found = list[tuple["Case", str, list[dict[str, Any]]]]


def _conditions(found: Found) -> str:
    seen = dict.fromkeys(condition for _, condition, _ in found)
    return (
        "Two conditions, the same for both sides:\n\n"
        + "\n".join(f"- {CONDITION_WORDS[name]}." for name in seen)
        + "\n"
    )


def _spread(values: list[float], digits: int = 1) -> str:
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _peer_sum(pair: dict[str, Any], name: str) -> float:
    return sum(run[name] for run in pair["peer"].values())


def _peer_most(pair: dict[str, Any], name: str) -> float:
    return max(run[name] for run in pair["peer"].values())


def _ratio(pairs: list[dict[str, Any]], name: str, peer: Callable[[dict[str, Any], str], float]) -> float:
    return median(pair["ours"][name] / peer(pair, name) for pair in pairs)


def _held(ratio: float, target: float) -> str:
    return f"≤ {target} {'✓' if ratio <= target else '**missed**'}"


def _times(found: Found) -> str:
    rows = []
    for case, condition, pairs in found:
        ratio = _ratio(pairs, "wall_s", _peer_sum)
        rows.append((
            MODELS[case.model], condition, case.what, str(len(pairs)),
            _spread([pair["ours"]["wall_s"] for pair in pairs]),
            " + ".join(_spread([pair["peer"][form]["wall_s"] for pair in pairs]) for form in case.formats),
            f"{ratio:.2f}", _held(ratio, case.wall_target),
        ))  # fmt: skip
    head = ("Model", "Condition", "Ours covers", "Pairs", "Ours, s", "Peer, s", "Ratio", "Target")
    return "## Time\n\n" + _table(head, rows)


def _memory(found: Found) -> str:
    rows = []
    for case, condition, pairs in found:
        ratio = _ratio(pairs, "max_rss", _peer_most)
        rows.append((
            MODELS[case.model], condition,
            _spread([pair["ours"]["max_rss"] / 1e9 for pair in pairs], 2),
            _spread([_peer_most(pair, "max_rss") / 1e9 for pair in pairs], 2),
            f"{ratio:.2f}", _held(ratio, RSS_TARGET),
            f"{median(pair['ours']['sum_rss'] for pair in pairs) / 1e9:.2f} / {median(pair['ours']['sum_pss'] for pair in pairs) / 1e9:.2f}",
            f"{median(_peer_most(pair, 'sum_rss') for pair in pairs) / 1e9:.2f} / {median(_peer_most(pair, 'sum_pss') for pair in pairs) / 1e9:.2f}",
        ))  # fmt: skip
    head = (
        "Model",
        "Condition",
        "Ours, GB",
        "Peer, GB",
        "Ratio",
        "Target",
        "Ours together: RSS / PSS",
        "Peer together: RSS / PSS",
    )
    return (
        "## Memory\n\nLargest `ru_maxrss` of any one process; beside it the largest sum over all processes alive at one "
        "sample (RSS counts shared pages once a process; PSS divides them, and is sampled more rarely).\n\n"
        + _table(head, rows)
    )


def _cpu(found: Found) -> str:
    rows = []
    for case, condition, pairs in found:
        rows.append((
            MODELS[case.model], condition, _spread([pair["ours"]["cpu_s"] for pair in pairs]),
            _spread([_peer_sum(pair, "cpu_s") for pair in pairs]), f"{_ratio(pairs, 'cpu_s', _peer_sum):.2f}",
        ))  # fmt: skip
    head = ("Model", "Condition", "Ours, CPU s", "Peer, CPU s", "Ratio")
    return (
        "## CPU time\n\nUser and system time of all processes; no target. Divided by the number of cores it is the least "
        "wall time that the same work can take in any order.\n\n" + _table(head, rows)
    )


def _written(out: Path, cases: Sequence[Case]) -> str:
    rows = []
    for case in cases:
        path = out / f"bytes-{case.model}.json"
        if not path.is_file():
            continue
        numbers = json.loads(path.read_text(encoding="utf-8"))
        ratio = numbers["written"] / numbers["formats"] / numbers["model_bytes"]
        peer = _peer_written(out, case)
        rows.append((
            MODELS[case.model], f"{numbers['written'] / 1e6:,.0f} MB in {numbers['formats']}", f"{ratio:.2f}",
            _held(ratio, WRITTEN_TARGET), peer,
        ))  # fmt: skip
    if not rows:
        return ""
    head = ("Model", "`trace` wrote, formats", "A format, through the weights", "Target", "Peer, a format")
    return (
        "## Bytes written\n\nPages dirtied in files by all processes, temporary files and those deleted later included; "
        "`trace MODEL`, so planning and fetching from the folder are in it.\n\n" + _table(head, rows)
    )


def _peer_written(out: Path, case: Case) -> str:
    for path in sorted(out.glob(f"pair-{case.model}-*.json")):
        pair = json.loads(path.read_text(encoding="utf-8"))
        return ", ".join(f"{form} {run['written'] / 1e6:,.0f} MB" for form, run in pair["peer"].items())
    return ""


def _certificates(found: Found) -> str:
    rows = [
        (MODELS[case.model], condition, _spread([pair["certificate"]["wall_s"] for pair in pairs]),
         _spread([pair["certificate"]["max_rss"] / 1e9 for pair in pairs], 2))
        for case, condition, pairs in found
        if pairs[0].get("certificate")
    ]  # fmt: skip
    if not rows:
        return ""
    head = ("Model", "Condition", "`validate`, s", "Largest process, GB")
    return "## Certificates of the models whose export alone was timed\n\n" + _table(head, rows)


def _peer_archives(found: Found) -> str:
    rows = {}
    for case, _, pairs in found:
        for form, run in pairs[0]["peer"].items():
            facts = run["archive"]
            outside = sum(facts["left_outside"].values())
            words = (
                "the weights are in it"
                if facts["has_weights"]
                else f"**lacks the weights** ({outside / 1e6:,.0f} MB left outside)"
            )
            rows[case.model, form] = (MODELS[case.model], form, f"{facts['archive_bytes'] / 1e6:,.1f} MB", words)
    if not rows:
        return ""
    return "## What the peer's archives hold\n\n" + _table(("Model", "Format", "Archive", ""), rows.values())


def _predict(out: Path) -> str:
    path = out / "predict.json"
    if not path.is_file():
        return ""
    data = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for name, texts in data["median_ms"].items():
        ratios = [f"{texts[text]:.1f} ({data['ratio_to_peer'][name][text]:.2f})" for text in data["texts"]]
        rows.append((name, *ratios))
    head = ("Archive", *(f"{text}, ms (through the peer's)" for text in data["texts"]))
    busy = "**Other work ran on this machine: no results.** " if data["busy"] else ""
    return (
        f"## Median predict time on a real node\n\n{busy}OpenSearch {data['opensearch']}, {data['rounds']} rounds, one request "
        "at a time, the archives in turn within each round; the whole HTTP request as the client sees it.\n\n"
        + _table(head, rows)
    )
