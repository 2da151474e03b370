"""report.html of a run: everything that a person wants to see of it, as ready values for a template.

Texts of queries are hostile; the template's environment escapes every value. Times stand here and in stage.json only:
no stage's digest depends on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.core.escape import one_line
from release_tool.core.finetune.evaluation import Before, Role
from release_tool.core.finetune.gate import failures, name_of, points
from release_tool.core.finetune.report_plots import curve_plot, gain_plot, histogram_plot
from release_tool.core.page import SIGN, Fact, Level, Picture
from release_tool.core.page_quality import place
from release_tool.core.quantity import clip, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from release_tool.core.finetune.evaluation import Evaluated, Evaluation
    from release_tool.core.finetune.report_plots import Curve, Histogram
    from release_tool.core.finetune.stages import FinetunePlan, StageState
    from release_tool.core.quality import Measures

MAX_QUERY = 200
CURVES = {
    "loss": "Loss",
    "eval_ndcg_at_10": "nDCG@10 on the queries of dev",
    "eval_flops": "FLOPS on dev",
    "document_weight": "Weight of FLOPS in the loss",
    "learning_rate": "Learning rate",
}
"""Key of the training's log → heading of its picture, in order."""

ROLES = {
    Role.HELD_OUT: "queries of documents that nothing was trained on",
    Role.SET: "judged set of the own domain",
    Role.GUARD: "guard: another domain",
}
BEFORE = {
    Before.BASE: "Before is the base model as it would be served.",
    Before.UNTRAINED: "The base encodes nothing sparse: before is what training started from, untrained.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One stage."""

    name: str
    counts: str
    seconds: str
    dollars: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRow:
    """One set of queries."""

    name: str
    role: str
    size: str
    before: str
    after: str
    bm25: str
    gain: str
    interval: str
    p: str
    recall: str
    mrr: str
    more: str
    """Queries that gain and lose; FLOPS and tokens of a sparse model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoserRow:
    """One query that loses."""

    query: str
    text: str
    change: str
    ranks: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Losers:
    """The worst queries of a set."""

    name: str
    rows: tuple[LoserRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole report."""

    title: str
    headline: str
    level: Level
    sign: str
    reasons: tuple[str, ...]
    facts: tuple[Fact, ...]
    stages: tuple[StageRow, ...]
    total: str
    before: str
    sets: tuple[SetRow, ...]
    pictures: tuple[Picture, ...]
    losers: tuple[Losers, ...]
    footer: str


def make_report(
    plan: FinetunePlan,
    states: Sequence[StageState],
    evaluation: Evaluation,
    *,
    curves: Mapping[str, Curve],
    scores: Mapping[str, Sequence[Histogram]],
    texts: Mapping[tuple[str, str], str],
) -> Report:
    """Return the report.

    Args:
        plan: of the run.
        states: of the stages that are done, in order.
        evaluation: what was measured.
        curves: key of the training's log → its numbers.
        scores: teacher → distributions of its scores.
        texts: (set, query) → text of the queries that lose.
    """
    reasons = failures(evaluation)
    level = Level.STOP if reasons else Level.OK
    return Report(
        title=clip(plan.recipe.model.name, 80),
        headline="Not better: hand-over refuses it without --accept-worse." if reasons else "Better, by the gate.",
        level=level,
        sign=SIGN[level],
        reasons=reasons,
        facts=_facts(plan, evaluation),
        stages=tuple(_stage(state) for state in states),
        total=_total(states),
        before=BEFORE[evaluation.before],
        sets=tuple(_set(one) for one in evaluation.sets),
        pictures=_pictures(evaluation, curves, scores),
        losers=tuple(
            Losers(name=name_of(one), rows=tuple(_loser(one, number, texts) for number in range(len(one.losers))))
            for one in evaluation.sets
            if one.losers
        ),
        footer=f"Made by release-tool {one_line(plan.tool_version)}.",
    )


def _facts(plan: FinetunePlan, evaluation: Evaluation) -> tuple[Fact, ...]:
    model = plan.recipe.model
    named = [
        Fact(label=one_line(name), value=clip(one_line(value), 200), mono=True) for name, value in plan.pins.items()
    ]
    return (
        Fact(label="Kind", value=model.kind),
        Fact(label="Queries by", value=plan.recipe.queries.provider),
        Fact(label="Ranked by", value=evaluation.similarity),
        *named,
        Fact(label="Libraries", value=", ".join(f"{name} {one_line(v)}" for name, v in evaluation.versions.items())),
    )


def _stage(state: StageState) -> StageRow:
    counts = ", ".join(f"{name.replace('_', ' ')} {value:,g}" for name, value in state.counts.items())
    return StageRow(
        name=state.stage.value,
        counts=clip(one_line(counts), 800),
        seconds=f"{state.seconds:,.1f}",
        dollars=f"{state.dollars:,.2f}" if state.dollars else "",
    )


def _total(states: Sequence[StageState]) -> str:
    seconds, dollars = sum(one.seconds for one in states), sum(one.dollars for one in states)
    return f"{seconds:,.0f} s" + (f", {dollars:,.2f} dollars" if dollars else ", nothing was paid for")


def _set(one: Evaluated) -> SetRow:
    more = f"{one.better:,} better, {one.worse:,} worse, {one.queries - one.better - one.worse:,} equal"
    if one.after.flops is not None:
        more += f"; before {_activity(one.before)}; after {_activity(one.after)}"
    return SetRow(
        name=name_of(one),
        role=ROLES[one.role],
        size=f"{plural(one.queries, 'query', 'queries')}, {plural(one.documents, 'document')}",
        before=f"{one.before.ndcg_10:.4f}",
        after=f"{one.after.ndcg_10:.4f}",
        bm25=f"{one.bm25.ndcg_10:.4f}",
        gain=points(one.gain),
        interval=f"{points(one.interval.low)} to {points(one.interval.high)}",
        p=f"{one.p:.4f}" + ("" if one.resamples else " (exact)"),
        recall=f"{one.before.recall_100:.4f} → {one.after.recall_100:.4f}",
        mrr=f"{one.before.mrr_10:.4f} → {one.after.mrr_10:.4f}",
        more=more,
    )


def _activity(measures: Measures) -> str:
    return (
        f"FLOPS {measures.flops or 0:.2f}, {measures.document_tokens or 0:.1f} tokens a document, "
        f"{measures.query_tokens or 0:.1f} a query"
    )


def _pictures(
    evaluation: Evaluation, curves: Mapping[str, Curve], scores: Mapping[str, Sequence[Histogram]]
) -> tuple[Picture, ...]:
    found = []
    if evaluation.sets:
        heading = "nDCG@10 before and after"
        caption = (
            "The line is where after lies in 95 % of the resamples of the queries; at the right the gain in points."
        )
        found.append(Picture(heading=heading, caption=caption, svg=gain_plot("gain", heading, evaluation.sets)))
    for key, heading in CURVES.items():
        drawn = curve_plot(f"curve-{key}", heading, [curves[key]]) if key in curves else None
        if drawn is not None:
            found.append(Picture(heading=heading, caption="By step of the training.", svg=drawn))
    for number, (teacher, histograms) in enumerate(scores.items()):
        heading = f"Scores of {clip(one_line(teacher), 120)}"
        drawn = histogram_plot(f"scores-{number}", heading, histograms)
        if drawn is not None:
            caption = "Raw scores of positives and of mined candidates, each as shares of their number."
            found.append(Picture(heading=heading, caption=caption, svg=drawn))
    return tuple(found)


def _loser(one: Evaluated, number: int, texts: Mapping[tuple[str, str], str]) -> LoserRow:
    lost = one.losers[number]
    return LoserRow(
        query=clip(one_line(lost.query), 80),
        text=clip(one_line(texts.get((one.name, lost.query), "")), MAX_QUERY),
        change=f"{lost.before:.2f} → {lost.after:.2f}",
        ranks=f"{place(lost.before_rank)} → {place(lost.after_rank)}",
    )
