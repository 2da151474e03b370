"""Write report.html of a run, beside its stages: its times are no part of what any of them made."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from release_tool.core.finetune.evaluation import Role
from release_tool.core.finetune.report_plots import Curve, Histogram
from release_tool.core.finetune.stages import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.finetune.evaluation import Evaluation
    from release_tool.core.finetune.stages import FinetunePlan
    from release_tool.run_folder import RunFolder

REPORT = "report.html"
TEMPLATE = "finetune.html.j2"
LOG = "log.jsonl"
BINS = 40


def write_report(run: RunFolder, plan: FinetunePlan, evaluation: Evaluation) -> Path:
    """Write the report over the stages that are done, and return its path.

    Raises:
        MachineError: the disk is full.
    """
    from release_tool.core.finetune.report import CURVES, make_report
    from release_tool.core.render import render_html
    from release_tool.documents import write_atomic
    from release_tool.packaged import read_packaged

    states = [state for stage in Stage if (state := run.current(stage, plan)) is not None]
    report = make_report(
        plan,
        states,
        evaluation,
        curves=_curves(run.folder(Stage.TRAIN) / LOG, tuple(CURVES)),
        scores=_scores(run.folder(Stage.TEACH), plan),
        texts=_texts(run, plan, evaluation),
    )
    path = run.path / REPORT
    template = read_packaged(f"templates/{TEMPLATE}").decode()
    write_atomic(path, render_html(template, report, name=TEMPLATE))
    return path


def _curves(path: Path, keys: tuple[str, ...]) -> dict[str, Curve]:
    """Return key → curve of the training's log; a line that is none counts as not written."""
    found: dict[str, list[tuple[float, float]]] = {}
    if path.is_file():
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                row = json.loads(line)
                for key in keys:
                    if isinstance(value := row.get(key), (int, float)):
                        found.setdefault(key, []).append((float(row["step"]), float(value)))
    return {key: Curve(label=key.replace("_", " "), points=tuple(points)) for key, points in found.items()}


def _scores(folder: Path, plan: FinetunePlan) -> dict[str, list[Histogram]]:
    """Return teacher → distributions of the positives' and the candidates' scores."""
    return {
        f"{path.name}, {plan.pins.get(path.name.replace('-', ':'), '')}".rstrip(", "): found
        for path in sorted(folder.glob("*/"))
        if (found := _histograms(path))
    }


def _histograms(folder: Path) -> list[Histogram]:
    from release_tool.core.finetune.records import Taught
    from release_tool.part_files import read_rows

    low, high = math.inf, -math.inf
    for row in read_rows(folder, Taught):
        low, high = min(low, *row.logits), max(high, *row.logits)
    if not math.isfinite(low) or not math.isfinite(high):
        return []
    width = (high - low) / BINS or 1.0
    counts = {"positives": [0] * BINS, "candidates": [0] * BINS}
    for row in read_rows(folder, Taught):
        for place, logit in enumerate(row.logits):
            counts["candidates" if place else "positives"][min(BINS - 1, int((logit - low) / width))] += 1
    high = low + width * BINS
    return [Histogram(label=label, low=low, high=high, counts=tuple(of)) for label, of in counts.items()]


def _texts(run: RunFolder, plan: FinetunePlan, evaluation: Evaluation) -> dict[tuple[str, str], str]:
    """Return (set, query) → text of the queries that lose; those of a set that is gone are left out."""
    from pathlib import Path

    from release_tool.core.finetune.records import Query
    from release_tool.errors import UsageError
    from release_tool.part_files import read_rows
    from release_tool.sets import read_queries
    from release_tool.steps.finetune.places import place_of

    found: dict[tuple[str, str], str] = {}
    paths = iter((*plan.recipe.evaluate.sets, *plan.recipe.evaluate.guards))
    for one in evaluation.sets:
        wanted = {lost.query for lost in one.losers}
        if one.role is Role.HELD_OUT:
            texts = {row.id: row.text for row in read_rows(run.folder(Stage.QUERIES), Query) if row.id in wanted}
        else:
            try:
                texts = read_queries(place_of(Path(plan.folder), next(paths)), one.name)
            except UsageError:
                texts = {}
        found |= {(one.name, query): texts[query] for query in wanted if query in texts}
    return found
