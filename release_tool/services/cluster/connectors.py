"""Make, change and delete connectors on a cluster, and let it trust their addresses without losing whom it trusts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from release_tool.core.ml import connector as connectors
from release_tool.core.ml.api import get_settings
from release_tool.core.ml.searches import hits
from release_tool.core.ml.trusted import PRIVATE_IP, SETTING, merged, trusted_of, untrusted, write
from release_tool.errors import Refused, RemoteFailed, UsageError
from release_tool.services.cluster.replies import ident_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from release_tool.services.cluster.sender import Sender

NOT_FOUND = 404
MAX_SAME = 100
TRIES = 3
"""Whoever else writes the setting at the same time is met again at the next look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A connector that was made."""

    connector_id: str
    endpoints: tuple[str, ...]
    trusted: tuple[str, ...]
    """Expressions that were added to the cluster's setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a cluster's settings say about the addresses of a connector."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    """The whole list that would be written; equal to ``before`` where nothing lacks."""
    notes: tuple[str, ...] = ()

    @property
    def added(self) -> tuple[str, ...]:
        """What would be added."""
        return self.after[len(self.before) :]


def create(cluster: Sender, checked: connectors.Checked, *, trust: bool = False) -> Created:
    """Make a connector; sent once.

    Args:
        cluster: where.
        checked: the connector.
        trust: add its addresses to those that the cluster trusts, if they lack.

    Raises:
        UsageError: the cluster does not trust an address, and may not be told to.
        RemoteFailed: the cluster refused.
        Unreachable: no answer.
    """
    endpoints = connectors.endpoints(checked.body)
    added = ensure_trust(cluster, endpoints, trust=trust)
    reply = cluster.once(connectors.create(checked))
    return Created(connector_id=ident_of(reply, "connector_id"), endpoints=endpoints, trusted=added)


def look(cluster: Sender, endpoints: tuple[str, ...]) -> Trust | None:
    """Return what the cluster says of these addresses; null where it does not show its settings to this user."""
    try:
        settings = cluster.send(get_settings())
        found = trusted_of(settings)
    except (Refused, KeyError):
        return None
    notes = []
    if found.source == "transient":
        notes.append(f"{SETTING} is set as transient; what is written as persistent has no effect until that is gone.")
    if _value(settings, PRIVATE_IP) == "false":
        notes += [
            f"{url} is in a private network: every prediction will be refused until {PRIVATE_IP} is true."
            for url in endpoints
            if _is_private(url)
        ]
    return Trust(before=found.expressions, after=merged(found.expressions, endpoints), notes=tuple(notes))


def ensure_trust(cluster: Sender, endpoints: tuple[str, ...], *, trust: bool) -> tuple[str, ...]:
    """Return what was added to the list of trusted addresses so that these are; nothing of it is ever removed.

    Raises:
        UsageError: addresses lack, and ``trust`` is not given.
        RemoteFailed: the cluster refused, or the list changes faster than it can be written.
    """
    added: tuple[str, ...] = ()
    for _ in range(TRIES):
        found = look(cluster, endpoints)
        if found is None or not found.added:
            return added
        if not trust:
            lacking = ", ".join(untrusted(endpoints, found.before))
            if not lacking:
                return added  # The server knows better what its own expressions mean.
            raise UsageError(
                f"The cluster does not trust {lacking}.",
                hint=f"--trust adds {', '.join(found.added)} to {SETTING}; nothing there is lost.",
            )
        added = found.added
        cluster.once(write(found.after))
    raise RemoteFailed(
        f"{SETTING} does not keep what is written.", hint="Look who else writes it, or sets it transient."
    )


def update(cluster: Sender, connector_id: str, checked: connectors.Checked, *, trust: bool = False) -> None:
    """Change a connector; errors as in ``create``, and RemoteFailed while a model that uses it is deployed."""
    if "actions" in checked.body and "parameters" in checked.body:
        ensure_trust(cluster, connectors.endpoints(checked.body), trust=trust)
    cluster.once(connectors.update(connector_id, checked))


def search(cluster: Sender, text: str | None, limit: int) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Return connectors, id and fields; none where none was ever made.

    Raises:
        RemoteFailed: the cluster refused.
        Unreachable: no answer.
    """
    try:
        return hits(cluster.send(connectors.find(text, size=limit)))
    except Refused as error:
        if error.status != NOT_FOUND:
            raise
        return ()  # Their index comes with the first one.


def remove(cluster: Sender, connector_id: str) -> None:
    """Delete a connector.

    Raises:
        RemoteFailed: models use it, which are named; or there is none.
        Unreachable: no answer.
    """
    reply = cluster.send(connectors.delete(connector_id))
    if isinstance(reply, dict) and reply.get("result") == "not_found":
        raise RemoteFailed(f"There is no connector {connector_id!r}.", hint="See release-tool ml connector search.")


def same_name(cluster: Sender, name: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Return the connectors that have exactly this name: id and fields."""
    found = search(cluster, name, MAX_SAME)
    return tuple(one for one in found if one[1].get("name") == name)


def alike(cluster: Sender, checked: connectors.Checked) -> str | None:
    """Return the id of the connector that an earlier run made of the same file; null where there is none."""
    found = same_name(cluster, str(checked.body["name"]))
    return next((ident for ident, source in found if connectors.is_alike(checked.body, source)), None)


def _value(settings: Mapping[str, Any], name: str) -> str:
    for source in ("transient", "persistent", "defaults"):
        if name in settings.get(source, {}):
            return str(settings[source][name]).lower()
    return ""


def _is_private(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False
