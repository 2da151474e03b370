"""The placeholders of a connector: ``${parameters.x}``, ``${parameters.x:-default}`` and ``${credential.x}``.

The server fills them as Apache's StringSubstitutor does: a value may hold placeholders itself, a circle is an error,
what has no value stays as it stands. Source: ML Commons ``HttpConnector.createPayload`` and
``AbstractConnector.getActionEndpoint`` and ``createDecryptedHeaders``, tag 3.6.0.0.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETERS = "parameters"
CREDENTIAL = "credential"

_PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
_DEFAULT = ":-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placeholder:
    """One placeholder of a text."""

    text: str
    """As it is written."""
    kind: str
    """What stands before the first dot: ``parameters``, ``credential``, or what a person wrote instead."""
    name: str
    default: str | None
    """What stands after ``:-``; null where nothing does."""


def placeholders(text: str) -> tuple[Placeholder, ...]:
    """Return the placeholders of a text in their order."""
    return tuple(_placeholder(found) for found in _PLACEHOLDER.finditer(text))


def _placeholder(found: re.Match[str]) -> Placeholder:
    name, cut, default = found[1].partition(_DEFAULT)
    kind, _, rest = name.partition(".")
    return Placeholder(text=found[0], kind=kind, name=rest, default=default if cut else None)


def as_text(value: Any) -> str:
    """Return a parameter as the server keeps it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def filled(text: str, values: Mapping[str, Any], kind: str = PARAMETERS) -> str:
    """Return a text whose placeholders of one kind have their values; those without one stay as they are.

    Raises:
        ValueError: values lead to each other in a circle; the text names it.
    """
    return _filled(text, values, kind, ())


def _filled(text: str, values: Mapping[str, Any], kind: str, inside: tuple[str, ...]) -> str:
    def one(found: re.Match[str]) -> str:
        this = _placeholder(found)
        if this.kind != kind:
            return found[0]
        if this.name in inside:
            raise ValueError(" -> ".join((*inside[inside.index(this.name) :], this.name)))
        if this.name in values:
            return _filled(as_text(values[this.name]), values, kind, (*inside, this.name))
        return found[0] if this.default is None else this.default

    return _PLACEHOLDER.sub(one, text)


def inputs(text: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the parameters that a text still wants when the values have been filled in, each once."""
    left = (one for one in placeholders(filled(text, values)) if one.kind == PARAMETERS)
    return tuple(dict.fromkeys(one.name for one in left))
