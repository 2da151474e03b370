"""``release-tool finetune evaluate``: measure before and after, and judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from release_tool.core.finetune.evaluation import Before, Evaluation, Limits, QueryScore
    from release_tool.core.finetune.recipe import Recipe
    from release_tool.steps.finetune.evaluating import Wanted
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Measure before and after, and judge."
HELP = """Measure before and after, and judge.

Base and trained model search with the same held-out queries, judged sets and guards. A model that is not better is
said to be none, in evaluation.json and in report.html beside the stages; hand-over refuses it.
"""
DOCUMENT = "evaluation.json"

command = stage_command(Stage.EVALUATE, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage.

    Raises:
        UnsupportedModel: a model can't be loaded.
        IntegrityError: a judged set is not the one that was planned.
        MachineError: out of memory or disk.
    """
    from release_tool.core.codec import encode_text
    from release_tool.documents import write_atomic
    from release_tool.part_files import PartWriter
    from release_tool.steps.finetune.evaluating import encode, start_of, wanted_of
    from release_tool.steps.finetune.reporting import write_report
    from release_tool.steps.finetune.running import Made

    wanted = wanted_of(work)
    start = start_of(work)
    encode(work, wanted, start)
    evaluation, scores = _compared(work, wanted, start.before)
    with PartWriter(work.folder, "scores") as writer:
        for row in scores:
            writer.add(row)
    write_atomic(work.folder / DOCUMENT, encode_text(evaluation))
    for reason in evaluation.reasons:
        work.context.console.warning(f"Not better: {reason}.")
    write_report(work.run, work.plan, evaluation)
    return Made(counts=_counts(evaluation), versions=evaluation.versions)


def _compared(work: Work, wanted: list[Wanted], before: Before) -> tuple[Evaluation, list[QueryScore]]:
    from dataclasses import replace

    from release_tool.core.finetune.evaluation import Evaluation
    from release_tool.core.finetune.gate import failures
    from release_tool.models.finetune.comparing import compare
    from release_tool.steps.finetune.evaluating import AFTER, BEFORE, similarity_of, versions

    similarity = similarity_of(work)
    folders = work.scratch / BEFORE, work.scratch / AFTER
    found, scores = [], []
    for one in wanted:
        evaluated, rows = compare(one.judged, one.role, folders, work.recipe.model.kind, cosine=similarity == "cosine")
        found.append(evaluated)
        scores += rows
    evaluation = Evaluation(
        kind=work.recipe.model.kind,
        before=before,
        similarity=similarity,
        sets=tuple(found),
        limits=limits_of(work.recipe),
        reasons=(),
        versions=versions(),
    )
    return replace(evaluation, reasons=failures(evaluation)), scores


def limits_of(recipe: Recipe) -> Limits:
    """Return what the gate holds the numbers against."""
    from release_tool.core.finetune.evaluation import Limits

    keys = recipe.evaluate
    return Limits(
        min_gain=keys.min_gain,
        max_p=keys.max_p,
        max_guard_drop=keys.max_guard_drop,
        max_flops_ratio=keys.max_flops_ratio,
        target_flops=recipe.train.target_flops,
    )


def _counts(evaluation: Evaluation) -> dict[str, float]:
    from release_tool.core.finetune.evaluation import Role
    from release_tool.core.quality import POINTS

    found: dict[str, float] = {"red": float(bool(evaluation.reasons))}
    for one in evaluation.sets:
        if one.role is Role.HELD_OUT:
            found |= {
                "held_out_queries": one.queries,
                "documents": one.documents,
                "ndcg_before": round(one.before.ndcg_10, 6),
                "ndcg_after": round(one.after.ndcg_10, 6),
                "gain_in_points": round(one.gain * POINTS, 4),
                "p": round(one.p, 6),
            }
    return found | {"sets": sum(one.role is not Role.HELD_OUT for one in evaluation.sets)}
