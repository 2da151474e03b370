"""Make the lineage of a model that is handed over, and its card."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from release_tool.core.digest import sha256_bytes
from release_tool.core.escape import markdown, one_line
from release_tool.core.finetune.gate import failures, name_of, points
from release_tool.core.finetune.stages import Stage, concerned
from release_tool.core.lineage import Lineage, SetLineage, StageLineage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.core.finetune.evaluation import Evaluated, Evaluation
    from release_tool.core.finetune.stages import FinetunePlan, StageState

BETTER, NOT_BETTER = "better", "not better"
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
"""What needs no quotes in YAML; a word of its own such as ``null`` is quoted, too."""
EXPLAINED = (
    "nDCG@10 on queries of held-out documents and on judged sets; the gain in points, hundredths of it; p of a "
    "two-sided paired randomisation test."
)
YAML_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def make_lineage(
    plan: FinetunePlan,
    states: Mapping[Stage, StageState],
    evaluation: Evaluation,
    *,
    model_sha256: str,
    licences: Mapping[str, str],
    accepted: str | None,
) -> Lineage:
    """Return the lineage.

    Args:
        plan: of the run.
        states: of the stages before.
        evaluation: what was measured.
        model_sha256: over the files of the model.
        licences: pin of a model → what its card declares.
        accepted: why a model that is not better is handed over; null where the gate is green.
    """
    recipe = recipe_of(plan)
    reasons = failures(evaluation)
    keys = plan.recipe.queries
    has_model = keys.provider not in ("sentences", "file")
    return Lineage(
        tool_version=plan.tool_version,
        name=plan.recipe.model.name,
        kind=plan.recipe.model.kind,
        model_sha256=model_sha256,
        base=plan.pins["base"],
        teachers=tuple(value for name, value in plan.pins.items() if name.partition(":")[0] == "teacher"),
        queries_by=f"{keys.provider}: {keys.model}" if has_model else keys.provider,
        licences=dict(licences),
        dollars=round(sum(state.dollars for state in states.values()), 6),
        before=evaluation.before.value,
        metrics={one.name: _set(one) for one in evaluation.sets},
        verdict=NOT_BETTER if reasons else BETTER,
        reasons=reasons,
        accepted=accepted if reasons else None,
        recipe=recipe,
        recipe_sha256=sha256_bytes(json.dumps(recipe, sort_keys=True, ensure_ascii=False).encode()),
        pins=dict(sorted(plan.pins.items())),
        stages={
            stage.value: StageLineage(digest=state.digest, fingerprint=state.fingerprint)
            for stage, state in states.items()
        },
    )


def recipe_of(plan: FinetunePlan) -> dict[str, Any]:
    """Return the keys that change what is made and are not at their defaults, by full name."""
    return dict(sorted(concerned(Stage.HAND_OVER, plan.recipe).items()))


def _set(one: Evaluated) -> SetLineage:
    return SetLineage(
        role=one.role.value,
        sha256=one.sha256,
        queries=one.queries,
        documents=one.documents,
        before=one.before.ndcg_10,
        after=one.after.ndcg_10,
        low=one.interval.low,
        high=one.interval.high,
        p=one.p,
        flops_before=one.before.flops,
        flops_after=one.after.flops,
    )


def card_text(
    lineage: Lineage, evaluation: Evaluation, *, licence: tuple[str | None, str | None], description: str
) -> str:
    """Return README.md: front matter that the hub and release-tool read, and the lineage in words.

    Args:
        lineage: of the model.
        evaluation: what was measured.
        licence: its id and, where that is ``other``, its name; null where nobody declares one.
        description: a sentence.
    """
    sparse = lineage.kind == "sparse"
    tags = ["sentence-transformers", *(["sparse-encoder", "sparse", "splade"] if sparse else []), "fine-tuned"]
    front = [
        *(f"{key}: {_yaml(value)}" for key, value in zip(("license", "license_name"), licence, strict=True) if value),
        f"base_model: {_yaml(lineage.base.rpartition('@')[0] or lineage.base)}",
        "library_name: sentence-transformers",
        f"pipeline_tag: {'feature-extraction' if sparse else 'sentence-similarity'}",
        "tags:",
        *(f"- {tag}" for tag in tags),
    ]
    rows = [
        f"| {markdown(name_of(one))} | {one.queries:,} | {one.documents:,} | {one.before.ndcg_10:.4f} | "
        f"{one.after.ndcg_10:.4f} | {points(one.gain)} | {one.p:.4f} | {_flops(one)} |"
        for one in evaluation.sets
    ]
    named = [f"- {markdown(name)}: {markdown(_licence_of(lineage, name))}" for name in _models(lineage)]
    verdict = f"Verdict: {lineage.verdict}."
    if lineage.accepted is not None:
        verdict += f" Handed over for this reason: {markdown(lineage.accepted)}"
    lines = [
        "---", *front, "---", f"# {markdown(lineage.name)}", "", markdown(description), "",
        "## Measured", "",
        EXPLAINED, "",
        "| Set | Queries | Documents | Before | After | Gain | p | FLOPS |",
        "|---|---|---|---|---|---|---|---|", *rows, "",
        verdict, *(["", *(f"- {markdown(reason)}" for reason in lineage.reasons)] if lineage.reasons else []), "",
        "## Made of", "",
        f"- base: {markdown(lineage.base)}",
        *(f"- teacher: {markdown(teacher)}" for teacher in lineage.teachers),
        f"- queries by {markdown(lineage.queries_by)}", "",
        "Licences that the cards of these models declare:", "", *named, "",
        "lineage.json holds the recipe, the digest of every stage and all numbers.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _models(lineage: Lineage) -> list[str]:
    return [name for name in lineage.pins if name.partition(":")[0] in ("base", "teacher", "writer")]


def _licence_of(lineage: Lineage, name: str) -> str:
    declared = lineage.licences.get(name) or "none that can be read"
    return f"{lineage.pins[name]}: {declared}"


def _flops(one: Evaluated) -> str:
    if one.before.flops is None or one.after.flops is None:
        return ""
    return f"{one.before.flops:.2f} → {one.after.flops:.2f}"


def _yaml(text: str) -> str:
    """Return a text as a YAML scalar; JSON's strings are YAML's."""
    line = one_line(text)
    return line if PLAIN.fullmatch(line) and line.lower() not in YAML_WORDS else json.dumps(line, ensure_ascii=False)
