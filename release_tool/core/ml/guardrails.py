"""Guardrails: what may not reach a remote model, and what may not come back from it.

The server stores nearly everything and fails late or, worse, lets everything pass: an index of stop words that is not
there, lacks the percolator field or the source field only writes a line into its log. So all of it is looked up before
anything is sent. Source: ML Commons ``Guardrails``, ``LocalRegexGuardrail``, ``ModelGuardrail`` and ``MLGuard``, tag
3.6.0.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.core.ml.api import is_since
from release_tool.core.ml.java_regex import Soundness, crosses_lines, soundness, takes_any_surroundings, widened
from release_tool.core.request import closest
from release_tool.errors import Fault, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SINCE = "2.13"
"""The first OpenSearch that has them; older ones skip the field in silence."""
MODEL_SINCE = "2.15"
"""The first one that knows the type ``model``."""
LOCAL_REGEX = "local_regex"
MODEL = "model"
TYPES = (LOCAL_REGEX, MODEL)
SIDES = ("input_guardrail", "output_guardrail")
QUESTION = "question"
"""The one parameter that a guardrail model is asked about."""

_SIDE_FIELDS = {
    LOCAL_REGEX: ("stop_words", "regex"),
    MODEL: ("model_id", "response_filter", "response_validation_regex"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWords:
    """An index of stop words and the fields that hold them."""

    field: str
    """Where the guardrails name it."""
    index: str
    source_fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailModel:
    """A model that judges."""

    field: str
    model_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Guardrails that may be sent once the server has what they name."""

    body: dict[str, Any]
    stop_words: tuple[StopWords, ...]
    models: tuple[GuardrailModel, ...]
    notes: tuple[str, ...]


def read_guardrails(
    data: Any, *, function_name: str = "remote", version: str | None = None, inputs: tuple[str, ...] | None = None
) -> Checked:
    """Check guardrails as far as nobody need be asked.

    Args:
        data: JSON, as a person wrote it.
        function_name: of the model.
        version: of the server, where known.
        inputs: the parameters that the model's connector asks for, where known.

    Raises:
        RequestError: all of its faults.
    """
    faults = tuple(_faults(data, function_name, version))
    if faults:
        raise RequestError(tuple(Fault(f"guardrails{'.' if one.field else ''}{one.field}", one.problem, one.hint)
                                 for one in faults))  # fmt: skip
    kind = data.get("type", LOCAL_REGEX)
    body: dict[str, Any] = {"type": kind}
    for side in SIDES:
        if side in data:
            body[side] = _ordered(kind, data[side])
    return Checked(
        body=body,
        stop_words=tuple(_stop_words(body)),
        models=tuple(_models(body)),
        notes=tuple(_notes(body, inputs)),
    )


def _ordered(kind: str, side: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: side[name] for name in _SIDE_FIELDS[kind] if name in side}
    if kind == MODEL:
        # A node that hands the model on to another one writes it without asking whether it is there.
        return {
            "model_id": found["model_id"],
            "response_filter": found.get("response_filter", ""),
            "response_validation_regex": found["response_validation_regex"],
        }
    return found


def _faults(data: Any, function_name: str, version: str | None) -> Iterator[Fault]:
    if not isinstance(data, dict):
        yield Fault("", "are no JSON object")
        return
    if function_name.lower() != "remote":
        yield Fault("", f"are for remote models only; this one is {one_line(function_name)}")
    kind = data.get("type", LOCAL_REGEX)
    if kind not in TYPES:
        yield Fault("type", f"is {one_line(str(kind))!r}", closest(str(kind), TYPES))
        return
    since = MODEL_SINCE if kind == MODEL else SINCE
    if version is not None and not is_since(version, since):
        yield Fault("type", f"{kind} is known to servers from {since} on; this one is {version}")
    for name in data:
        if name not in ("type", *SIDES):
            yield Fault(name, "is no field of guardrails; the server would skip it", closest(name, ("type", *SIDES)))
    sides = [side for side in SIDES if side in data]
    if not sides:
        yield Fault("", "guard neither the input nor the output", " or ".join(SIDES))
    for side in sides:
        yield from _side_faults(kind, side, data[side])


def _side_faults(kind: str, side: str, value: Any) -> Iterator[Fault]:
    if not isinstance(value, dict) or not value:
        yield Fault(side, "is empty or no object; the server would guard nothing")
        return
    for name in value:
        if name not in _SIDE_FIELDS[kind]:
            yield Fault(f"{side}.{name}", f"is no field of type {kind}", closest(name, _SIDE_FIELDS[kind]))
    yield from _regex_side(side, value) if kind == LOCAL_REGEX else _model_side(side, value)


def _regex_side(side: str, value: Mapping[str, Any]) -> Iterator[Fault]:
    expressions = value.get("regex", [])
    if not isinstance(expressions, list):
        yield Fault(f"{side}.regex", "is no list")
        expressions = []
    for place, one in enumerate(expressions):
        yield from _expression_fault(f"{side}.regex[{place}]", one)
    words = value.get("stop_words", [])
    if not isinstance(words, list):
        yield Fault(f"{side}.stop_words", "is no list")
        words = []
    for place, one in enumerate(words):
        yield from _stop_word_faults(f"{side}.stop_words[{place}]", one)
    names = [one.get("index_name") for one in words if isinstance(one, dict)]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield Fault(
            f"{side}.stop_words", f"name the index {name} twice; the server keeps the last", "one entry an index"
        )
    if not expressions and not words:
        yield Fault(side, "holds neither stop_words nor regex")


def _expression_fault(field: str, value: Any) -> Iterator[Fault]:
    if not isinstance(value, str) or not value:
        yield Fault(field, "is no text or empty")
        return
    found, words = soundness(value)
    if found is Soundness.BROKEN:
        yield Fault(field, f"is no regular expression: {words}")


def _stop_word_faults(field: str, value: Any) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault(field, "is no object")
        return
    index, fields = value.get("index_name"), value.get("source_fields")
    if not isinstance(index, str) or not index:
        yield Fault(f"{field}.index_name", "is missing; the server would skip the entry")
    if not isinstance(fields, list) or not fields or not all(isinstance(one, str) and one for one in fields):
        yield Fault(f"{field}.source_fields", "is no list of names of fields; the server would skip the entry")
    for name in value:
        if name not in ("index_name", "source_fields"):
            yield Fault(f"{field}.{name}", "is no field of stop words", closest(name, ("index_name", "source_fields")))


def _model_side(side: str, value: Mapping[str, Any]) -> Iterator[Fault]:
    if not isinstance(value.get("model_id"), str) or not value["model_id"]:
        yield Fault(f"{side}.model_id", "is missing")
    if not isinstance(value.get("response_filter", ""), str):
        yield Fault(f"{side}.response_filter", "is no text", "a JSON path such as $.content[0].text")
    yield from _expression_fault(f"{side}.response_validation_regex", value.get("response_validation_regex"))


def _stop_words(body: Mapping[str, Any]) -> Iterator[StopWords]:
    for side in SIDES:
        for place, one in enumerate(body.get(side, {}).get("stop_words", ())):
            field = f"guardrails.{side}.stop_words[{place}]"
            yield StopWords(field=field, index=one["index_name"], source_fields=tuple(one["source_fields"]))


def _models(body: Mapping[str, Any]) -> Iterator[GuardrailModel]:
    if body["type"] == MODEL:
        for side in SIDES:
            if side in body:
                yield GuardrailModel(field=f"guardrails.{side}.model_id", model_id=body[side]["model_id"])


def _notes(body: Mapping[str, Any], inputs: tuple[str, ...] | None) -> Iterator[str]:
    if body["type"] == LOCAL_REGEX:
        for side in SIDES:
            for place, one in enumerate(body.get(side, {}).get("regex", ())):
                yield from _regex_notes(side, place, one)
        return
    if SIDES[0] in body and inputs is not None and QUESTION not in inputs:
        yield (
            f"input_guardrail: only ${{parameters.{QUESTION}}} is judged, and the connector does not ask for it: "
            "every input passes."
        )
    for side in SIDES:
        if side in body:
            yield from _model_notes(side, body[side])


def _regex_notes(side: str, place: int, expression: str) -> Iterator[str]:
    what = "the body that is sent to the model" if side == SIDES[0] else "the model's reply"
    if soundness(expression)[0] is Soundness.UNKNOWN:
        yield f"{side}.regex[{place}] is beyond what can be judged here; the server compiles it at deploy."
    elif not takes_any_surroundings(expression):
        yield (
            f"{side}.regex[{place}] must match all of {what}, which is JSON; to find it anywhere: {widened(expression)}"
        )
    elif not crosses_lines(expression):
        yield f"{side}.regex[{place}]: a dot stops at a line break, so {what} of several lines passes; begin with (?s)."


def _model_notes(side: str, value: Mapping[str, Any]) -> Iterator[str]:
    expression = value["response_validation_regex"]
    if '"' not in expression and not takes_any_surroundings(expression):
        yield (
            f"{side}.response_validation_regex must match all of the answer as JSON, its quotes included: "
            "as it stands nothing would be accepted."
        )
    if not value["response_filter"]:
        yield (
            f"{side}.response_filter is empty: the guardrail model's own connector must bring its answer to "
            "'response', or nothing is accepted."
        )
