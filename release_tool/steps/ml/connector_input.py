"""What the commands of connectors read: a file of JSON, or a blueprint and its variables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

MAX_BYTES = 4 << 20


def source_options(function: F) -> F:
    """Add what says which connector is meant: FILE, or --blueprint with --set and --credential."""
    for decorate in (
        click.option(
            "--credential", "credentials", multiple=True, metavar="FIELD=ENV|ARN",
            help="Take a field from this environment variable, or give its ARN; repeatable.",
        ),
        click.option(
            "--set", "variables", multiple=True, metavar="NAME=VALUE", help="A variable of the blueprint; repeatable."
        ),
        click.option("--blueprint", metavar="NAME", help="Start from this blueprint instead of a file."),
        click.argument("file", required=False, type=click.Path(path_type=Path)),
    ):  # fmt: skip
        function = decorate(function)
    return function


trust_option = click.option(
    "--trust", is_flag=True, help="Add the connector's addresses to those that the cluster trusts, if they lack."
)


def read_source(file: Path | None, blueprint: str | None, variables: Iterable[str], credentials: Iterable[str]) -> Any:
    """Return the connector that a person means.

    Raises:
        UsageError: both or none, or a file that can't be read.
        RequestError: a variable that lacks or has no such value.
    """
    from release_tool.errors import UsageError

    if (file is None) == (blueprint is None):
        raise UsageError("A connector comes from a file or from a blueprint.", hint="Give FILE, or --blueprint NAME.")
    given = {field: _value(value) for field, value in _pairs(credentials, "--credential").items()}
    if blueprint is not None:
        from release_tool.core.ml.blueprints import blueprint as named
        from release_tool.core.ml.blueprints import fill

        return fill(named(blueprint), _pairs(variables, "--set"), given)
    if variables:
        raise UsageError("--set is about a blueprint.", hint="Name it with --blueprint, or change the file.")
    data = read_json(file) if file is not None else None
    if given and isinstance(data, dict):
        data = {**data, "credential": {**(data.get("credential") or {}), **given}}
    return data


def read_json(path: Path) -> Any:
    """Return the JSON of a file that a person wrote; ``-`` is stdin.

    Raises:
        UsageError: there is none, it is too large, or no JSON, or says a key twice.
    """
    import sys

    from release_tool.core.codec import DocumentFault, parse_text
    from release_tool.errors import UsageError

    try:
        if str(path) == "-":
            if sys.stdin is None:
                raise UsageError("There is no stdin: it is closed.", hint="Name a file.")
            raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with path.open("rb") as stream:
                raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.") from error
    if len(raw) > MAX_BYTES:
        raise UsageError(f"{path} has more than {MAX_BYTES:,} bytes.")
    try:
        return parse_text(raw.decode("utf-8-sig"))
    except (DocumentFault, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no JSON: {error}") from error


def _pairs(given: Iterable[str], option: str) -> dict[str, str]:
    from release_tool.errors import UsageError

    found: dict[str, str] = {}
    for one in given:
        name, cut, value = one.partition("=")
        if not cut or not name:
            # What follows may be a secret that somebody typed: only the name is repeated.
            raise UsageError(f"{option} {name[:40]!r} has no value.", hint=f"Such as {option} name=value.")
        if name in found:
            raise UsageError(f"{option} {name[:40]} is given twice.")
        found[name] = value
    return found


def _value(text: str) -> str:
    """Return how a file says it: a variable by its name, an ARN as it is. A secret is refused later, unseen."""
    from release_tool.core.ml.credentials import by_name, is_reference

    if is_reference(text) or not text.replace("_", "a").isalnum() or text[:1].isdigit() or text != text.upper():
        return text
    return by_name(text)
