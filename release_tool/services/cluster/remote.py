"""Register a model that somebody else serves: its connector, its guardrails and its interface looked at first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from release_tool.core.ml import connector as connectors
from release_tool.core.ml.connector_actions import asked_for
from release_tool.core.ml.guardrails import read_guardrails
from release_tool.core.ml.interface import read_interface
from release_tool.core.ml.interface_presets import preset_notes, preset_of, repaired
from release_tool.core.ml.register import too_new
from release_tool.core.ml.remote import by_connector, is_same
from release_tool.core.ml.searches import hits, models_of_name
from release_tool.errors import Refused, ReleaseError, RemoteFailed, RequestError, UsageError
from release_tool.services.cluster import guarding
from release_tool.services.cluster.connectors import NOT_FOUND, alike, create, ensure_trust, look
from release_tool.services.cluster.registering import Registered, register_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.core.ml.register import Wishes
    from release_tool.services.cluster.registering import Desk
    from release_tool.services.cluster.sender import Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Which connector, and how it is used. Exactly one of ``connector_id`` and ``connector`` is given."""

    connector_id: str | None = None
    connector: Any = None
    """JSON, as a person wrote it."""
    internal: bool = False
    """Make it a part of the model, and not one that stands for itself."""
    trust: bool = False
    """Let the cluster trust its addresses, if it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRegistered:
    """How it ended."""

    registered: Registered
    connector_id: str | None
    """Null where the connector is a part of the model."""
    connector_made: bool
    notes: tuple[str, ...]


def register_remote(cluster: Sender, remote: Remote, wishes: Wishes, desk: Desk) -> RemoteRegistered:
    """Register a remote model.

    Args:
        cluster: where.
        remote: the connector.
        wishes: guardrails and interface among them as a person wrote them.
        desk: the rest.

    Raises:
        RequestError: what is wrong with connector, guardrails, interface or name; nothing was sent that changes
            anything.
        UsageError: the cluster does not trust an address.
        RemoteFailed: the cluster refused; nothing is left behind unless ``keep``.
        Unreachable: no answer.
    """
    version = cluster.version
    if remote.connector_id is not None and remote.connector is not None:
        by_connector(wishes, connector_id=remote.connector_id, connector={})
    checked = _connector(cluster, remote, version)
    wishes, notes = _guarded(cluster, checked, wishes, version)
    notes = (*checked.notes, *notes)
    by_connector(wishes, connector={}, version=version)  # a name that lacks is told before a connector is made
    if remote.internal and remote.connector is not None:
        ensure_trust(cluster, connectors.endpoints(checked.body), trust=remote.trust)
        body = by_connector(wishes, connector=checked.body, version=version)
        done = _registered(cluster, _known(body, version), desk)
        return RemoteRegistered(registered=done, connector_id=None, connector_made=False, notes=notes)
    connector_id, made = _standing(cluster, remote, checked, desk)
    body = by_connector(wishes, connector_id=connector_id, version=version)
    try:
        done = _registered(cluster, _known(body, version), desk)
    except RemoteFailed:
        if made and not desk.keep:
            _remove(cluster, connector_id, desk)
        raise
    return RemoteRegistered(registered=done, connector_id=connector_id, connector_made=made, notes=notes)


def _registered(cluster: Sender, body: dict[str, Any], desk: Desk) -> Registered:
    """Register, unless an earlier run of the same command has done it."""
    for ident, source in () if desk.again else _of_name(cluster, str(body["name"])):
        if is_same(body, source):
            desk.console.info(f"The cluster has this model already, as {ident}; it is not registered twice.")
            return Registered(model_id=ident, reused=True, group_id=source.get("model_group_id"))
        desk.console.info(f"A model of this name is there as {ident}, made otherwise.")
    return register_body(cluster, body, desk)


def _of_name(cluster: Sender, name: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    try:
        return hits(cluster.send(models_of_name(name, algorithm="REMOTE")))
    except Refused as error:
        if error.status != NOT_FOUND:
            raise
        return ()


def _connector(cluster: Sender, remote: Remote, version: str) -> connectors.Checked:
    """Return the connector, checked where it is ours; one of the server's has passed its checks."""
    if remote.connector is not None:
        return connectors.read_connector(remote.connector, where="connector.", version=version)
    if not remote.connector_id:
        raise UsageError("A remote model needs a connector.", hint="Name its id or a file of one.")
    try:
        found = cluster.send(connectors.get(remote.connector_id))
    except Refused as error:
        if error.status != NOT_FOUND:
            raise
        raise UsageError(
            f"There is no connector {remote.connector_id[:80]!r}, neither on the cluster nor as a file here.",
            hint="See release-tool ml connector search.",
        ) from error
    return connectors.Checked(body=found if isinstance(found, dict) else {})


def _guarded(
    cluster: Sender, checked: connectors.Checked, wishes: Wishes, version: str
) -> tuple[Wishes, tuple[str, ...]]:
    """Return the wishes with guardrails and interface as they are sent, and what will surprise somebody."""
    notes: list[str] = []
    action = connectors.predict_action(checked.body) or {}
    if wishes.guardrails is not None:
        inputs = asked_for(action, checked.parameters) if action else None
        found = read_guardrails(wishes.guardrails, version=version, inputs=inputs)
        notes += [*found.notes, *guarding.check(cluster, found)]
        wishes = replace(wishes, guardrails=found.body)
    if wishes.interface is not None:
        return replace(wishes, interface=read_interface(wishes.interface, version=version)), tuple(notes)
    preset = preset_of(checked.body)
    if preset is None:
        return wishes, tuple(notes)
    ours = repaired(preset, version)
    if ours is None:
        return wishes, (
            *notes,
            f"The server holds it to the interface {preset.name}.",
            *preset_notes(checked.body, preset),
        )
    notes.append(
        f"interface: OpenSearch {version} would set the interface {preset.name}, which no answer of this connector "
        "meets; one that fits is sent instead."
    )
    return replace(wishes, interface=ours), tuple(notes)


def _standing(cluster: Sender, remote: Remote, checked: connectors.Checked, desk: Desk) -> tuple[str, bool]:
    """Return the id of a connector that stands for itself, and whether it was made now."""
    if remote.connector_id is not None:
        return remote.connector_id, False
    there = None if desk.again else alike(cluster, checked)
    if there is not None:
        ensure_trust(cluster, connectors.endpoints(checked.body), trust=remote.trust)
        desk.console.info(f"The cluster has this connector already, as {there}; its credential stays what it was.")
        return there, False
    made = create(cluster, checked, trust=remote.trust)
    desk.console.info(f"Made the connector {made.connector_id}.")
    for note in _unheard(cluster, made.endpoints):
        desk.console.warning(note)
    return made.connector_id, True


def _unheard(cluster: Sender, endpoints: tuple[str, ...]) -> tuple[str, ...]:
    found = look(cluster, endpoints)
    return () if found is None else found.notes


def _known(body: Mapping[str, Any], version: str) -> dict[str, Any]:
    faults = too_new(body, version)
    if faults:
        raise RequestError(faults)
    return dict(body)


def _remove(cluster: Sender, connector_id: str, desk: Desk) -> None:
    try:
        cluster.send(connectors.delete(connector_id))
    except ReleaseError as error:
        desk.console.warning(f"The connector {connector_id} is left behind: {error}")
