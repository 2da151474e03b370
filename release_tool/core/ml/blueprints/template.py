"""How a blueprint is written down, and how its variables are filled."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.credentials import ROLE_ARN, SECRET_ARN
from release_tool.core.request import closest
from release_tool.errors import Fault, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VARIABLE = re.compile(r"\{\{([a-z_]+)\}\}")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """What differs between two connectors of one blueprint."""

    name: str
    meaning: str
    default: str | None = None
    """Null where a person must say it."""
    pattern: str = r"\S.*"
    """What the whole value must match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """A connector with named variables, written ``{{name}}`` in its texts."""

    name: str
    summary: str
    """One line: which model, asked how."""
    connector: dict[str, Any]
    variables: tuple[Variable, ...] = ()
    since: str = "2.9"
    """The first OpenSearch that has its functions."""
    ask: dict[str, Any] = field(default_factory=dict)
    """A prediction that such a model answers."""


def param(name: str) -> str:
    """Return the placeholder of a parameter, for inside a text."""
    return f"${{parameters.{name}}}"


def raw(name: str) -> str:
    """Return a mark that ``body`` makes a placeholder of without quotes: the parameter is JSON itself."""
    return f"\0{name}\0"


def body(**fields: Any) -> str:
    """Return the text of a request body."""
    return re.sub(r'"\\u0000(\w+)\\u0000"', r"${parameters.\1}", json.dumps(fields, ensure_ascii=True))


def bearer(key: str) -> dict[str, str]:
    """Return the headers of a service that takes a key."""
    return {"Authorization": f"Bearer ${{credential.{key}}}", "content-type": "application/json"}


def action(url: str, request_body: str, *, headers: dict[str, str], **functions: str) -> list[dict[str, Any]]:
    """Return the actions of a connector that is only asked for predictions."""
    one = {"action_type": "predict", "method": "POST", "url": url, "headers": headers, "request_body": request_body}
    return [{**one, **functions}]


def fill(
    blueprint: Blueprint, values: Mapping[str, str], credential: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the connector of a blueprint.

    Args:
        blueprint: which one.
        values: name of a variable → its value.
        credential: field → ``${env.NAME}`` or ARN, instead of the blueprint's. A role takes the place of the keys of
            AWS, a secret of Secrets Manager that of the service's key.

    Raises:
        RequestError: variables that lack, are unknown or have no such value.
    """
    faults = tuple(_faults(blueprint, values))
    if faults:
        raise RequestError(faults)
    known = {one.name: values.get(one.name, one.default or "") for one in blueprint.variables}
    made: dict[str, Any] = _filled(blueprint.connector, known)
    return _with_credential(made, credential or {})


def _faults(blueprint: Blueprint, values: Mapping[str, str]) -> Iterator[Fault]:
    names = tuple(one.name for one in blueprint.variables)
    for name in values:
        if name not in names:
            yield Fault(name, f"is no variable of {blueprint.name}", closest(name, names))
    for one in blueprint.variables:
        value = values.get(one.name, one.default)
        if value is None:
            yield Fault(one.name, f"is missing: {one.meaning}")
        elif "{{" in value or not re.fullmatch(one.pattern, value):
            yield Fault(one.name, f"is {value!r}", one.meaning)


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        done = _VARIABLE.sub(lambda found: known[found[1]], value)
        # A number of a parameter stays one; who reads the connector again sees what was meant.
        return json.loads(done) if done != value and _VARIABLE.fullmatch(value) and _is_number(done) else done
    if isinstance(value, dict):
        return {name: _filled(inner, known) for name, inner in value.items()}
    return [_filled(inner, known) for inner in value] if isinstance(value, list) else value


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and not re.match(r"-?0\d", text)


def _with_credential(connector: dict[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    if not given:
        return connector
    own = dict(connector["credential"])
    if SECRET_ARN in given:
        text = json.dumps(connector)
        for name in own:
            text = text.replace(f"${{credential.{name}}}", f"${{credential.{SECRET_ARN}.{name}}}")
        return {**json.loads(text), "credential": dict(given)}
    if ROLE_ARN in given:
        return {**connector, "credential": dict(given)}
    return {**connector, "credential": {**own, **given}}
