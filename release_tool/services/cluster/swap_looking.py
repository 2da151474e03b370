"""Look at everything in a cluster that may name a model; changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from release_tool.core.ml.api import get_model, is_since, root
from release_tool.core.ml.naming import mentions, unswitched
from release_tool.core.ml.pipelines import (
    Side,
    count,
    count_all,
    elsewhere,
    get_pipelines,
    index_settings,
    mappings,
)
from release_tool.core.ml.swap_fields import DENSE_TYPES, Left, Look, read_fields, read_settings, semantic_fields
from release_tool.errors import Refused, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from release_tool.core.ml.swap_fields import Reached
    from release_tool.services.cluster.sender import Sender

SEARCH_PIPELINES_SINCE = "2.9"


def find_model(cluster: Sender, model_id: str) -> dict[str, Any] | None:
    """Return what the cluster says of a model; null where there is none."""
    try:
        found: dict[str, Any] = cluster.send(get_model(model_id))
    except Refused as error:
        if error.status == 404:
            return None
        raise
    return found


def need_model(cluster: Sender, model_id: str, what: str) -> dict[str, Any]:
    """Return what the cluster says of a model.

    Raises:
        UsageError: there is none; ``what`` names it in the message.
    """
    found = find_model(cluster, model_id)
    if found is None:
        raise UsageError(
            f"The cluster has no model {model_id!r}, {what}.", hint="See the ids with release-tool ml search."
        )
    return found


def cluster_id(cluster: Sender) -> str:
    """Return the cluster's own unique id; where it tells none (serverless), its address."""
    if cluster.cluster.is_serverless:
        return cluster.cluster.url
    reply = cluster.send(root())
    return str(reply.get("cluster_uuid") or cluster.cluster.url)


def look(cluster: Sender) -> Look:
    """Return all pipelines, and the indices with their fields."""
    return Look(
        pipelines=pipelines(cluster),
        settings=read_settings(cluster.send(index_settings())),
        fields=read_fields(cluster.send(mappings())),
    )


def pipelines(cluster: Sender) -> dict[Side, dict[str, Any]]:
    """Return all pipelines: side → name → body."""
    found: dict[Side, dict[str, Any]] = {side: {} for side in Side}
    for side in Side:
        if side is Side.SEARCH and not is_since(cluster.version, SEARCH_PIPELINES_SINCE):
            continue
        try:
            found[side] = dict(cluster.send(get_pipelines(side)))
        except Refused as error:
            if error.status != 404:  # so some say that there is none
                raise
    return found


def left(cluster: Sender, seen: Look, model_id: str) -> tuple[Left, ...]:
    """Return what names a model and can't be switched by a swap."""
    found = [
        Left(
            where=f"{side} pipeline {name}, {pointer}",
            why="it names the model where only its author knows what that means",
            todo="change it by hand",
        )
        for side, bodies in seen.pipelines.items()
        for name, body in sorted(bodies.items())
        for pointer in unswitched(body, model_id)
    ]
    found += semantic_fields(seen, model_id)
    for what, request in elsewhere().items():
        try:
            reply = cluster.send(request)
        except Refused:  # older servers have no such thing, and one may not be allowed to see it
            continue
        found += [
            Left(where=f"{what}, at {pointer}", why=f"a {what} names the model", todo="change it by hand")
            for pointer in mentions(reply, model_id)
        ]
    return tuple(found)


def documents(cluster: Sender, fields: Iterable[Reached]) -> dict[tuple[str, str], int]:
    """Return how many documents have each field; a field of token weights can't be asked for, so all are counted."""
    found = {}
    for one in fields:
        request = count(one.index, one.field) if one.type in DENSE_TYPES else count_all(one.index)
        try:
            found[one.index, one.field] = int(cluster.send(request)["count"])
        except Refused as error:
            if error.status != 404:
                raise
    return found
