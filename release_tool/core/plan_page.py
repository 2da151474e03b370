"""Show a plan to a person: as text on a terminal, as Markdown in a step summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.card import LicenceVerdict, verdict
from release_tool.core.escape import code, markdown, one_line

if TYPE_CHECKING:
    from release_tool.core.plan import ReleasePlan


def megabytes(size: int) -> str:
    """Return bytes for people: decimal megabytes, as file managers and clouds count."""
    return f"{size / 1e6:,.1f} MB"


def facts(plan: ReleasePlan) -> tuple[tuple[str, str], ...]:
    """Return (what, value) of the decisions that are not an artifact; values are raw text."""
    source, model = plan.source, plan.source.model
    rows = [
        ("model", source.model_id),
        ("revision", source.revision),
        ("version", plan.request.version),
        ("kind", f"{' + '.join(plan.kinds)} ({_kind_origin(plan)})"),
        ("licence", _licence(plan)),
    ]
    targets = f"OpenSearch {', '.join(plan.target_versions)}"
    if model.script_path is not None:
        rows += [("targets", targets), ("program", f"{model.script_path}, TorchScript")]
    else:
        rows += [("targets", f"{targets} ({plan.attention} attention)"), ("length", f"{plan.max_length} tokens")]
    if plan.pooling_mode is not None or model.pooling_words:
        words = plan.pooling_mode or " + ".join(model.pooling_words or ())
        rows.append(("pooling", f"{words}, {'normalised' if plan.normalize_result else 'not normalised'}"))
    if model.query_prefix or model.passage_prefix:
        rows.append(("prefixes", f"query {model.query_prefix or ''!r}, passage {model.passage_prefix or ''!r}"))
    if model.parameters is not None:
        rows.append(("weights", f"{model.parameters:,} parameters, {model.weights_dtype}"))
    rows.append(("description", plan.description))
    if plan.to is not None:
        what = "replaces what lies in" if plan.request.overwrite else "goes to"
        rows.append((what, f"{plan.request.upload_target}, {plan.to}"))
    return tuple(rows)


def _kind_origin(plan: ReleasePlan) -> str:
    return "as asked" if plan.request.kinds else plan.source.kind_reason


def _licence(plan: ReleasePlan) -> str:
    facts_ = plan.source.licence
    who = f" by @{facts_.accepted_by}" if facts_.accepted_by else ""
    accepted = f", accepted{who} as {facts_.accepted}" if facts_.accepted else ""
    match verdict(facts_):
        case LicenceVerdict.MISSING:
            return f"none declared that can be read{accepted}"
        case LicenceVerdict.UNLISTED:
            return f"{facts_.declared} (not listed{accepted})"
        case LicenceVerdict.LISTED:
            return f"{facts_.declared}"


def plan_text(plan: ReleasePlan) -> str:
    """Return the plan as aligned lines; every value is one line without control characters."""
    lines = [f"{what:<12} {one_line(value)}" for what, value in facts(plan)]
    lines.append("")
    width = max(len(id_) for id_ in (*(a.id for a in plan.artifacts), *(left.id for left in plan.left_out)))
    widest = max(len(artifact.variant) for artifact in plan.artifacts)
    lines += [
        f"make  {one.id:<{width}}  {one.variant:<{widest}}  {megabytes(one.expected_bytes):>10}  {one.key}"
        for one in plan.artifacts
    ]
    lines += [f"skip  {left.id:<{width}}  {one_line(left.reason)}" for left in plan.left_out]
    return "\n".join(lines)


def plan_markdown(plan: ReleasePlan) -> str:
    """Return the plan for a step summary; everything is escaped."""
    lines = [f"### Plan of {markdown(plan.artifacts[0].registered_name)} {markdown(plan.request.version)}", ""]
    lines += ["| | |", "|---|---|", *(f"| {what} | {markdown(value)} |" for what, value in facts(plan)), ""]
    lines += ["| Artifact | Variant | Expected size | Key |", "|---|---|---|---|"]
    lines += [f"| {a.id} | {a.variant} | {megabytes(a.expected_bytes)} | {code(a.key)} |" for a in plan.artifacts]
    if plan.left_out:
        lines += ["", "| Left out | Why |", "|---|---|"]
        lines += [f"| {left.id} | {markdown(left.reason)} |" for left in plan.left_out]
    lines += ["", *(f"- :warning: {markdown(warning)}" for warning in plan.warnings)]
    return "\n".join(lines)
