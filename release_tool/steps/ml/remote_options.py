"""The options of register about models that somebody else serves, and about what any model may be asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from release_tool.core.ml.register import Wishes
    from release_tool.global_options import Context
    from release_tool.services.cluster.registering import Desk
    from release_tool.services.cluster.remote import RemoteRegistered
    from release_tool.services.cluster.sender import Sender

F = TypeVar("F", bound="Callable[..., Any]")

_FILE = click.Path(path_type=Path)
_HELD: tuple[Callable[[Any], Any], ...] = (
    click.option("--guardrails", type=_FILE, help="JSON: what a remote model may not be told and may not say."),
    click.option("--interface", metavar="FILE|PRESET", help="JSON schemas, input and output, that it is held to."),
    click.option("--input-schema", type=_FILE, help="One side of --interface: what it is asked."),
    click.option("--output-schema", type=_FILE, help="The other side: what it answers."),
)
_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--remote", metavar="ID|FILE", help="Register a model that this connector asks, and no archive."),
    click.option("--internal", is_flag=True, help="Keep the connector of --remote FILE inside of the model."),
    click.option("--trust", is_flag=True, help="Add its addresses to those that the cluster trusts, if they lack."),
    *_HELD,
)


def held_options(function: F) -> F:
    """Add only what says what a model may be asked and may answer."""
    for option in reversed(_HELD):
        function = option(function)
    return function


def remote_options(function: F) -> F:
    """Add the options; the command gets them as keyword arguments."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def with_interface(wishes: Wishes, given: Mapping[str, Any], version: str) -> Wishes:
    """Return wishes with the interface that a person names, checked; a local model may have one too.

    Raises:
        UsageError: the interface is named twice, or a file can't be read.
        RequestError: it is none.
    """
    from release_tool.core.ml.interface import read_interface

    data = _interface(given)
    return wishes if data is None else replace(wishes, interface=read_interface(data, version=version))


def _interface(given: Mapping[str, Any]) -> Any:
    from release_tool.core.ml.interface_presets import named
    from release_tool.errors import UsageError
    from release_tool.steps.ml.connector_input import read_json

    sides = {side: given[f"{side}_schema"] for side in ("input", "output") if given[f"{side}_schema"] is not None}
    if given["interface"] is None:
        return {side: read_json(path) for side, path in sides.items()} or None
    if sides:
        raise UsageError("--interface has both sides.", hint="Leave --input-schema and --output-schema out.")
    preset = named(given["interface"])
    if preset is not None:
        return preset.interface()
    path = Path(given["interface"])
    if path.exists() or path.suffix or str(path) == "-":
        return read_json(path)
    raise UsageError(
        f"--interface {given['interface'][:80]!r} is neither a file nor a preset.", hint=f"A preset is {_presets()}."
    )


def _presets() -> str:
    from release_tool.core.ml.interface_presets import PRESETS

    return ", ".join(one.name for one in PRESETS)


def with_guardrails(
    context: Context, cluster: Sender, wishes: Wishes, path: Path | None, model: Mapping[str, Any]
) -> Wishes:
    """Return wishes with guardrails for a model that is there; what they name is looked up on the cluster.

    Raises:
        UsageError: the file can't be read.
        RequestError: the model is not remote, or the guardrails would guard nothing.
    """
    from release_tool.core.ml.guardrails import read_guardrails
    from release_tool.services.cluster.guarding import check
    from release_tool.steps.ml.connector_input import read_json

    if path is None:
        return wishes
    # Where nobody says what the model is, as under export-request, the server will.
    function = str(model.get("algorithm") or model.get("function_name") or "remote")
    checked = read_guardrails(read_json(path), function_name=function, version=cluster.version)
    for note in (*checked.notes, *check(cluster, checked)):
        context.console.warning(note)
    return replace(wishes, guardrails=checked.body)


def refuse_remote_only(given: Mapping[str, Any]) -> None:
    """Refuse what is about remote models only where none is registered.

    Raises:
        UsageError: it is given.
    """
    from release_tool.errors import UsageError

    for name in ("internal", "trust", "guardrails"):
        if given[name]:
            raise UsageError(f"--{name} is about remote models.", hint="Name a connector with --remote.")


def run_remote(
    context: Context, cluster: Sender, given: Mapping[str, Any], wishes: Wishes, desk: Desk
) -> RemoteRegistered:
    """Register the remote model that the options name, and say what will surprise somebody.

    Raises:
        UsageError, RequestError: an option or a file is wrong.
        RemoteFailed, Unreachable: see ``services.cluster.remote``.
    """
    from release_tool.core.ml.guardrails import read_guardrails
    from release_tool.errors import UsageError
    from release_tool.services.cluster.remote import Remote, register_remote
    from release_tool.steps.ml.connector_input import read_json

    path = Path(given["remote"])
    is_file = str(path) == "-" or path.exists() or path.suffix == ".json"
    if given["internal"] and not is_file:
        raise UsageError("--internal is about a connector in a file.", hint="Name a file with --remote.")
    if given["guardrails"] is not None:
        data = read_json(given["guardrails"])
        read_guardrails(data)  # what is wrong with the file is told before a cluster is asked anything
        wishes = replace(wishes, guardrails=data)
    remote = Remote(
        connector_id=None if is_file else given["remote"],
        connector=read_json(path) if is_file else None,
        internal=given["internal"],
        trust=given["trust"],
    )
    with context.console.step(f"Register {wishes.name or 'a remote model'}"):
        done = register_remote(cluster, remote, wishes, desk)
    for note in done.notes:
        context.console.warning(note)
    return done
