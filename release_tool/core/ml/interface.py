"""The interface of a model: JSON schemas of what it is asked and what it answers, which the server holds it to.

The server stores any text and reads it at the first prediction, so a schema that is none, or that no answer can meet,
refuses every prediction from then on. Source: ML Commons ``MLModel`` (the two keys), ``StringUtils.validateSchema``
(draft 2020-12) and ``TransportPredictionTaskAction``, tag 3.6.0.0.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.core.ml.api import is_since
from release_tool.core.ml.java_regex import Soundness, soundness
from release_tool.core.request import closest
from release_tool.errors import Fault, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SINCE = "2.14"
"""The first OpenSearch that has them; older ones skip the field in silence."""
SIDES = ("input", "output")
TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")

_ONE_SCHEMA = ("items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames")
_MANY_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_WORDS = (
    *_ONE_SCHEMA, *_MANY_SCHEMAS, *_LISTS, *_COUNTS, *_NUMBERS, "type", "required", "enum", "const", "pattern",
    "format", "title", "description", "default", "examples", "uniqueItems", "$schema", "$id", "$ref", "$comment",
    "$anchor", "deprecated", "readOnly", "writeOnly", "dependentRequired", "unevaluatedItems", "minContains",
    "unevaluatedProperties", "maxContains", "contentMediaType", "contentEncoding", "contentSchema",
)  # fmt: skip
"""The words of draft 2020-12 that people write."""


def read_interface(data: Any, *, version: str | None = None) -> dict[str, Any]:
    """Check an interface and return it with each side as an object, the input first.

    Args:
        data: JSON: ``input`` and ``output``, either one or both, each a schema or the text of one.
        version: of the server, where known.

    Raises:
        RequestError: all of its faults.
    """
    faults = []
    if version is not None and not is_since(version, SINCE):
        faults.append(Fault("interface", f"is known to servers from {SINCE} on; this one is {version}"))
    if not isinstance(data, dict):
        raise RequestError((*faults, Fault("interface", "is no JSON object")))
    faults += [
        Fault(f"interface.{name}", "is no side of an interface; the server would drop it", closest(name, SIDES))
        for name in data
        if name not in SIDES
    ]
    if not any(side in data for side in SIDES):
        faults.append(Fault("interface", "has neither input nor output"))
    made: dict[str, Any] = {}
    for side in SIDES:
        if side in data:
            made[side], wrong = _side(f"interface.{side}", data[side])
            faults += wrong
    if faults:
        raise RequestError(tuple(faults))
    return made


def _side(field: str, value: Any) -> tuple[Any, list[Fault]]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            return None, [Fault(field, f"is a text that is no JSON: {one_line(str(error))}")]
    if not isinstance(value, dict):
        return None, [Fault(field, "is no JSON schema: it is no object")]
    return value, list(_schema_faults(field, value))


def _schema_faults(field: str, schema: Any) -> Iterator[Fault]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield Fault(field, "is no schema: neither an object nor true or false")
        return
    for name in schema:
        # Unknown words are legal and mean nothing; one that is nearly a known word is a slip of the pen.
        if name not in _WORDS and closest(name, _WORDS).startswith("did you mean"):
            yield Fault(f"{field}.{name}", "is no word of JSON schema", closest(name, _WORDS))
    yield from _type_faults(field, schema)
    yield from _plain_faults(field, schema)
    for path, inner in _inner(schema):
        yield from _schema_faults(f"{field}.{path}", inner)


def _inner(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the schemas inside of one, each with its path; what should be one and is none, as it is."""
    for name in _ONE_SCHEMA:
        if name in schema:
            yield name, schema[name]
    for name in _MANY_SCHEMAS:
        inner = schema.get(name, {})
        named = inner.items() if isinstance(inner, dict) else [("", inner)]
        yield from ((f"{name}.{key}", value) for key, value in named)
    for name in _LISTS:
        if name in schema:
            inner = schema[name]
            listed = inner if isinstance(inner, list) and inner else [None]
            yield from ((f"{name}[{place}]", value) for place, value in enumerate(listed))


def _type_faults(field: str, schema: Mapping[str, Any]) -> Iterator[Fault]:
    if "type" not in schema:
        return
    types = schema["type"]
    for one in types if isinstance(types, list) else [types]:
        if one not in TYPES:
            yield Fault(f"{field}.type", f"is {one_line(str(one))!r}", closest(str(one), TYPES))


def _plain_faults(field: str, schema: Mapping[str, Any]) -> Iterator[Fault]:
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(one, str) for one in required):
        yield Fault(f"{field}.required", "is no list of names")
    elif isinstance(schema.get("properties"), dict) and schema.get("additionalProperties") is False:
        for one in required:
            if one not in schema["properties"]:
                yield Fault(f"{field}.required", f"asks for {one}, which the schema forbids: nothing can meet it")
    if "enum" in schema and (not isinstance(schema["enum"], list) or not schema["enum"]):
        yield Fault(f"{field}.enum", "is no list, or an empty one: nothing can meet it")
    for name in (*_COUNTS, *_NUMBERS):
        value = schema.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or (name in _COUNTS and value < 0):
            yield Fault(f"{field}.{name}", "is no number, or one below zero")
    pattern = schema.get("pattern", "")
    if not isinstance(pattern, str) or soundness(pattern)[0] is Soundness.BROKEN:
        yield Fault(f"{field}.pattern", "is no regular expression")


def wanted_parameters(interface: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the parameters that the input side requires of every prediction by parameters."""
    inner = interface.get("input", {}).get("properties", {}).get("parameters", {})
    found = inner.get("required", ()) if isinstance(inner, dict) else ()
    return tuple(found)
