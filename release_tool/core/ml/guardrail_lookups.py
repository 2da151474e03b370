"""What guardrails name on a cluster: the requests that look it up, and what an answer says that lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.core.ml.api import get_model
from release_tool.core.ml.request import Request, segment
from release_tool.core.ml.shapes import inner, table
from release_tool.core.request import closest
from release_tool.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from release_tool.core.ml.guardrails import GuardrailModel, StopWords

PERCOLATOR_FIELD = "query"
"""Where a stop word lies as a stored query; the server's name for it can't be chosen."""


def mapping_of(words: StopWords) -> Request:
    """Return the request for the fields of an index of stop words."""
    return Request(method="GET", path=f"/{segment(words.index)}/_mapping")


def count_of(words: StopWords) -> Request:
    """Return the request that counts what an index of stop words holds."""
    return Request(method="GET", path=f"/{segment(words.index)}/_count")


def model_of(guard: GuardrailModel) -> Request:
    """Return the request for a guardrail model."""
    return get_model(guard.model_id)


def mapping_faults(words: StopWords, reply: Mapping[str, Any] | None) -> Iterator[Fault]:
    """Yield what an index lacks; ``reply`` is its mapping, null where there is no such index.

    A stop word is a stored query: the server percolates the text against the field ``query``.
    """
    if reply is None:
        yield Fault(f"{words.field}.index_name", f"names {words.index}, which is not there: every text would pass")
        return
    for index, found in sorted(reply.items()):
        fields = inner(found, "mappings", "properties")
        if table(fields.get(PERCOLATOR_FIELD)).get("type") != "percolator":
            yield Fault(
                f"{words.field}.index_name",
                f"names {index}, which has no field {PERCOLATOR_FIELD} of type percolator: every text would pass",
            )
        for name in words.source_fields:
            if _field(fields, name) is None:
                yield Fault(
                    f"{words.field}.source_fields", f"names {name}, which {index} lacks", closest(name, tuple(fields))
                )


def _field(fields: Mapping[str, Any], name: str) -> Any:
    first, _, rest = name.partition(".")
    found = fields.get(first)
    if found is None or not rest:
        return found
    return _field({**found.get("properties", {}), **found.get("fields", {})}, rest)


def model_faults(guard: GuardrailModel, reply: Mapping[str, Any] | None) -> Iterator[Fault]:
    """Yield why a guardrail model can't judge; ``reply`` is the model, null where there is none."""
    if reply is None:
        yield Fault(guard.field, f"names {guard.model_id}, which is not there")
        return
    state = str(reply.get("model_state", "unknown"))
    # A remote model is deployed by the first who asks it; the five seconds that a guardrail waits are enough for that.
    if state not in ("DEPLOYED", "PARTIALLY_DEPLOYED"):
        yield Fault(
            guard.field,
            f"names {guard.model_id}, which is {one_line(state)}",
            "wait until it is deployed" if state == "DEPLOYING" else "deploy it first",
        )
    if str(reply.get("algorithm", reply.get("function_name", ""))).upper() != "REMOTE":
        yield Fault(guard.field, f"names {guard.model_id}, which is no remote model")
