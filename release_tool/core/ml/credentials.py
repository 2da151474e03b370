"""The credentials of a connector: by name of an environment variable or by ARN, never as they are.

A file that people keep says ``${env.OPENAI_KEY}`` or an ARN; the value takes the name's place right before the request
leaves, and a request that is printed keeps the name.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from release_tool.errors import Fault, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from release_tool.core.ml.request import Request

ACCESS_KEY = "access_key"
SECRET_KEY = "secret_key"  # noqa: S105 - the name of a field
SESSION_TOKEN = "session_token"  # noqa: S105
ROLE_ARN = "roleArn"
SECRET_ARN = "secretArn"  # noqa: S105
PLAIN = frozenset({"region", "service_name"})
"""Names in a credential that are no secret: the server takes them from here too."""

_OF_AWS = {
    ACCESS_KEY: "AWS_ACCESS_KEY_ID",
    SECRET_KEY: "AWS_SECRET_ACCESS_KEY",
    SESSION_TOKEN: "AWS_SESSION_TOKEN",
}

_NAME = re.compile(r"\$\{env\.([A-Za-z_][A-Za-z0-9_]*)\}")
_ARN = re.compile(r"arn:[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]*:\d*:\S+")
_ELLIPSIS = re.compile(r"(?:\.{3}|…|<[^<>]*>)?\s*")
"""What a page of instructions writes where a secret belongs."""


def by_name(variable: str) -> str:
    """Return how a file says that a value comes from an environment variable."""
    return f"${{env.{variable}}}"


def is_reference(value: str) -> bool:
    """Tell whether a value is the name of a variable or an ARN."""
    return _NAME.fullmatch(value) is not None or _ARN.fullmatch(value) is not None


def is_ellipsis(value: str) -> bool:
    """Tell whether a value only stands where a person shall put a secret."""
    return _ELLIPSIS.fullmatch(value) is not None


def variable_for(field: str) -> str:
    """Return the environment variable that a field of a credential is expected in: ``openAI_key`` → OPENAI_KEY."""
    if field in _OF_AWS:
        return _OF_AWS[field]
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", field)
    name = re.sub(r"[^A-Za-z0-9]+", "_", words).upper()
    return name if not name[:1].isdigit() else f"_{name}"


def check_credential(credential: Mapping[str, Any], where: str = "credential") -> Iterator[Fault]:
    """Yield a fault for each value that is, or may be, a secret itself; its text is not repeated."""
    for name, value in credential.items():
        field = f"{where}.{name}"
        if not isinstance(value, str):
            yield Fault(field, "is no text")
        elif name in PLAIN or is_reference(value):
            continue
        elif is_ellipsis(value):
            yield Fault(field, "holds no value", f"write {by_name(variable_for(name))} and set that variable")
        else:
            yield Fault(
                field,
                "holds the secret itself",
                f"write {by_name(variable_for(name))} and set that variable, or give an ARN",
            )


def with_names(credential: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a credential whose ellipses are names of variables, and the names of the fields that changed."""
    changed = tuple(name for name, value in credential.items() if isinstance(value, str) and is_ellipsis(value))
    named = {name: by_name(variable_for(name)) if name in changed else value for name, value in credential.items()}
    return named, changed


def variables(value: Any) -> tuple[str, ...]:
    """Return the environment variables that a JSON value names, each once."""
    return tuple(dict.fromkeys(_variables(value)))


def _variables(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _NAME.findall(value)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _variables(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _variables(inner)


def with_secrets(request: Request, environment: Mapping[str, str]) -> Request:
    """Return a request as it leaves: the credentials of its connector have their values.

    Only a credential is filled, at the top of the body (a connector) or inside of ``connector`` (a model with its
    own): nothing else of a request may carry what the environment holds.

    Raises:
        UsageError: variables are not set; all of them are named.
    """
    body = request.body
    if body is None:
        return request
    missing = [name for name in named_in(body) if not environment.get(name)]
    if missing:
        raise UsageError(
            f"The credential of the connector names what is not set: {', '.join(missing)}.",
            hint="Set the variables in the environment of this command.",
        )
    return replace(request, body=_with_values(body, environment))


def named_in(body: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the environment variables that ``with_secrets`` fills in, each once."""
    return variables(_credentials(body or {}))


def _credentials(body: Mapping[str, Any]) -> list[Any]:
    inner = body.get("connector")
    return [body.get("credential"), inner.get("credential") if isinstance(inner, dict) else None]


def _with_values(body: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    done = dict(body)
    if isinstance(done.get("credential"), dict):
        done["credential"] = {
            name: _NAME.sub(lambda found: environment[found[1]], value) if isinstance(value, str) else value
            for name, value in done["credential"].items()
        }
    if isinstance(done.get("connector"), dict):
        done["connector"] = _with_values(done["connector"], environment)
    return done
