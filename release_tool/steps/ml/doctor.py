"""``release-tool ml doctor``: what a cluster can do with models, and what stands in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options

if TYPE_CHECKING:
    from release_tool.core.ml.changes import Change
    from release_tool.core.ml.cluster_state import Finding, State
    from release_tool.global_options import Context
    from release_tool.services.cluster.sender import Sender
    from release_tool.steps.ml.connection import Asked

HELP = """Say what a cluster can do with models, and what stands in the way.

Looks at version, plugins, nodes (roles, memory, heap, disk) and the settings of ML Commons. With --apply it sets what
is named, shows it before and after, and never sets a transient value. NAME alone means the value that lets things be
done, NAME=default takes a value away. An address given for trusted_url_regex or trusted_connector_endpoints_regex is
added to those that are trusted already.

\b
Examples:
  release-tool ml doctor --cluster https://search.example.org
  release-tool ml doctor --url https://models.example.org/tiny.zip
  release-tool ml doctor --apply allow_registering_model_via_url --apply only_run_on_ml_node=false
"""
MARKS = {"ok": "ok", "note": "note", "blocked": "BLOCKED", "unseen": "UNSEEN"}


@click.command(help=HELP, short_help="Say what a cluster can do with models, and what stands in the way.")
@click.option("--apply", "applied", multiple=True, metavar="NAME[=VALUE]", help="Set this; repeatable.")
@click.option("--dry-run", is_flag=True, help="Show what --apply would change, and change nothing.")
@click.option("--url", metavar="ADDRESS", help="Look whether archives may come from there, or connectors call it.")
@click.option("--all", "every", is_flag=True, help="Show every setting of ML Commons, too.")
@cluster_options
@click.pass_obj
def command(
    context: Context, /, applied: tuple[str, ...], url: str | None, *, dry_run: bool, every: bool, asked: Asked
) -> None:
    """Look, or change."""
    from release_tool.errors import UsageError

    if dry_run and not applied:
        raise UsageError("--dry-run is about --apply.", hint="Name what to set with --apply.")
    with asked.open(context) as cluster:
        if applied:
            _apply(context, cluster, applied, dry_run=dry_run)
        else:
            _look(context, cluster, url, every=every)


def _look(context: Context, cluster: Sender, url: str | None, *, every: bool) -> None:
    from release_tool.core.ml.cluster_state import findings
    from release_tool.services.cluster.looking import look

    state = look(cluster)
    found = findings(state, url)
    data: dict[str, Any] = {
        "version": state.version, "plugins": state.plugins, "nodes": state.nodes, "findings": found,
        "settings": None if state.settings is None else _settings(state),
    }  # fmt: skip
    emit(context, _text(state, found, every=every), data)


def _settings(state: State) -> list[dict[str, Any]]:
    """Return every setting that the cluster tells, the known ones in front."""
    from release_tool.core.ml.cluster_settings import BY_NAME, SETTINGS

    told = {} if state.settings is None else state.settings.all
    order = [setting.name for setting in SETTINGS if setting.name in told]
    return [
        {
            "name": name, "value": told[name].value, "source": told[name].source,
            "what": BY_NAME[name].what if name in BY_NAME else None,
            "heeded": BY_NAME[name].is_heeded(state.version) if name in BY_NAME else None,
        }
        for name in (*order, *sorted(name for name in told if name not in BY_NAME))
    ]  # fmt: skip


def _text(state: State, found: tuple[Finding, ...], *, every: bool) -> str:
    from release_tool.core.ml.memory import gigabytes
    from release_tool.steps.ml.tables import rows

    parts = [f"OpenSearch {state.version}"]
    if state.nodes is not None:
        cells = [
            (
                node.name, ", ".join(node.roles), "" if node.memory is None else gigabytes(node.memory),
                "" if node.heap_percent is None else f"{node.heap_percent} %",
                "" if node.disk_free is None else gigabytes(node.disk_free), node.models,
            )
            for node in state.nodes
        ]  # fmt: skip
        parts.append(rows(("node", "roles", "room for models", "heap used", "disk free", "models"), cells))
    lines = [(one.what, MARKS[one.level], " ".join((one.why, *map(_hint, one.apply)))) for one in found]
    parts.append(rows(("what", "", "why"), lines))
    if every:
        known = [
            (one["name"], one["value"], one["source"], one["what"] if one["heeded"] is not False else "no effect here")
            for one in _settings(state)
        ]
        parts.append(rows(("setting", "value", "from", "what it is for"), known))
    return "\n\n".join(parts)


def _hint(apply: str) -> str:
    return f"--apply {apply}"


def _apply(context: Context, cluster: Sender, applied: tuple[str, ...], *, dry_run: bool) -> None:
    """Set what is named, all of it in one request.

    Raises:
        RequestError: a name or a value is wrong, or a transient value hides it; nothing is changed.
        RemoteFailed: the cluster refuses, or another value is in effect afterwards.
    """
    from dataclasses import replace

    from release_tool.core.ml.changes import plan_changes, write
    from release_tool.errors import RemoteFailed, RequestError
    from release_tool.services.cluster.looking import settings_of

    effective = settings_of(cluster)
    if effective is None:
        raise RemoteFailed(
            f"{cluster.cluster.shown} does not tell its settings.", hint="The user may lack cluster:monitor rights."
        )
    changes, faults = plan_changes(applied, effective, cluster.version)
    if faults:
        raise RequestError(faults)
    for change in changes:
        if change.note:
            context.console.warning(change.note)
    wanted = [change for change in changes if not change.is_none]
    if wanted and not dry_run:
        cluster.send(write(wanted))
        after = settings_of(cluster)
        told = {} if after is None else after.all
        changes = tuple(
            replace(change, after=told[change.name].value) if change.after is None and change.name in told else change
            for change in changes
        )
        different = [one.name for one in wanted if _differs(one, told)]
        if different:
            raise RemoteFailed(
                f"{', '.join(different)}: another value than the one that was written is in effect.",
                hint="Somebody else may have changed it; run release-tool ml doctor --all.",
            )
    emit(context, _changed(changes), {"dry_run": dry_run, "changes": changes})


def _differs(change: Change, told: Any) -> bool:
    from dataclasses import replace

    if change.after is None or change.name not in told:
        return False
    return not replace(change, before=told[change.name].value).is_none


def _after(one: Change) -> Any:
    """Return the new value; of a list what it gains, which the end of a long line would hide."""
    if one.after is None:
        return "default"
    if isinstance(one.after, list) and isinstance(one.before, list) and one.before and not one.is_none:
        return "the same and " + ", ".join(str(value) for value in one.after if value not in one.before)
    return one.after


def _changed(changes: tuple[Change, ...]) -> str:
    from release_tool.steps.ml.tables import rows

    cells = [(one.name, one.before, _after(one), "is so already" if one.is_none else "") for one in changes]
    return rows(("setting", "before", "after", ""), cells)
