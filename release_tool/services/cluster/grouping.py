"""Find a model group by id or name, or make it; say what the server would make by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.core.ml.api import GROUPS_SINCE, delete_group, get_settings, is_since, register_group
from release_tool.core.ml.searches import groups, hits, models_in_group
from release_tool.core.ml.shapes import table, whole
from release_tool.errors import Refused, RemoteFailed

if TYPE_CHECKING:
    from release_tool.services.cluster.sender import Sender

ACCESS_SETTING = "plugins.ml_commons.model_access_control_enabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One model group."""

    group_id: str
    name: str
    access: str
    latest_version: int
    """The server's own counter of the models that were registered in it."""


def find_group(cluster: Sender, name_or_id: str) -> Group | None:
    """Return the group of an id or an exact name; null where there is none that one may see."""
    if not is_since(cluster.version, GROUPS_SINCE):
        return None
    try:
        found = hits(cluster.send(groups(name_or_id)))
    except Refused as error:
        if error.status == 404:  # nobody has made one yet
            return None
        raise
    # An id wins over a name that reads the same.
    chosen = next((hit for hit in found if hit[0] == name_or_id), found[0] if found else None)
    return None if chosen is None else group_of(*chosen)


def id_of(cluster: Sender, name_or_id: str) -> str:
    """Return the id of a group; a text that names none is taken for an id, which a search may not see yet."""
    found = find_group(cluster, name_or_id)
    return name_or_id if found is None else found.group_id


def delete(cluster: Sender, name_or_id: str) -> Any:
    """Delete a group and return the cluster's reply.

    Raises:
        RemoteFailed: there is none, which the cluster calls a success; or it is refused.
    """
    reply = cluster.send(delete_group(id_of(cluster, name_or_id)))
    if table(reply).get("result") == "not_found":
        raise RemoteFailed(
            f"There is no model group {one_line(name_or_id)!r}.", hint="See release-tool ml group search."
        )
    return reply


def group_of(group_id: str, source: dict[str, Any]) -> Group:
    """Return a group from a hit."""
    return Group(
        group_id=group_id,
        name=str(source.get("name") or ""),
        access=str(source.get("access") or ""),
        latest_version=whole(source.get("latest_version")),
    )


def make_group(cluster: Sender, body: dict[str, Any]) -> str:
    """Make a group and return its id.

    Raises:
        RemoteFailed: the name is taken, or the server refuses what is asked; errors as the transport's.
    """
    reply = cluster.once(register_group(body))
    found = reply.get("model_group_id") if isinstance(reply, dict) else None
    if not found:
        raise RemoteFailed("The cluster made a model group and did not say its id.")
    return str(found)


def is_empty(cluster: Sender, group_id: str) -> bool:
    """Tell whether no model is in a group."""
    return not hits(cluster.send(models_in_group(group_id)))


def access_of_new(cluster: Sender, *, asked: str | None) -> str:
    """Return who will see a group that the server makes by itself: the rule of the server, as words."""
    if asked:
        return asked
    try:
        settings = cluster.send(get_settings())
    except RemoteFailed:
        return "private if model access control is on, else public"
    on = next(
        (str(part[ACCESS_SETTING]) for part in settings.values() if isinstance(part, dict) and ACCESS_SETTING in part),
        "false",
    )
    return "private: model access control is on" if on == "true" else "public: model access control is off"
