"""A swap as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from release_tool.steps.ml.tables import rows, value_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NEXT = {
    "switched": "The old model stays deployed. When all is well: ml swap --finish. To put it back: ml swap --rollback.",
    "rolled back": "Everything is as it was.",
    "finished": "The old model is deleted.",
    "dry run": "Nothing was changed. Requests that name the model by themselves are not seen here.",
}


def swap_text(done: Mapping[str, Any]) -> str:
    """Return what stands, what was or would be switched, and what is not changed."""
    return "\n".join(_lines(done))


def _lines(done: Mapping[str, Any]) -> Iterator[str]:
    yield f"{done['stage']}  {value_text(done['old'])} -> {value_text(done['new'] or 'a model to register')}"
    proven = done["proven"]
    if proven:
        worst = "" if proven["worst"] is None else f", largest difference {proven['worst']:.2g}"
        yield f"proven on this cluster: {proven['probes']} probes{worst}"
    yield ""
    lines = [(one["side"], one["name"], ", ".join(one["places"])) for one in done["pipelines"]]
    yield rows(("side", "pipeline", "names the model at"), lines, empty="no pipeline names the model")
    if done["fields"]:
        yield ""
        shown = [(one["index"], one["field"], one["type"], one["dimension"] or "") for one in done["fields"]]
        yield rows(("index", "field", "type", "dimension"), shown)
    if done["not_changed"]:
        yield ""
        rest = [(one["where"], one["why"], one["todo"]) for one in done["not_changed"]]
        yield rows(("not changed", "why", "what to do"), rest)
    if done["stale"]:
        yield ""
        yield "left stale on purpose: " + ", ".join(value_text(name) for name in done["stale"])
    if done["stage"] in NEXT:
        yield ""
        yield NEXT[done["stage"]]
