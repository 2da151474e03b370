"""Look at a cluster: its version, plugins, settings and nodes, as far as it tells; domains of AWS tell less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from release_tool.core.ml.api import get_settings, profile
from release_tool.core.ml.cluster_settings import read_settings
from release_tool.core.ml.cluster_state import State, read_node_facts, read_plugins
from release_tool.core.ml.request import Request
from release_tool.errors import Refused

if TYPE_CHECKING:
    from release_tool.core.ml.cluster_settings import Effective
    from release_tool.services.cluster.sender import Sender

PLUGINS = Request(method="GET", path="/_cat/plugins", query={"format": "json"})
NODES = Request(method="GET", path="/_nodes/stats/os,jvm,fs")
FORBIDDEN = frozenset({400, 401, 403, 404, 405})
"""How a cluster says that it does not tell a thing, or not to this user."""


def look(cluster: Sender) -> State:
    """Return what a cluster tells.

    Raises:
        RemoteFailed: it is no OpenSearch that serves models.
        ServiceUnable, Unreachable: it can't answer.
    """
    version = cluster.version
    stats = _told(cluster, NODES)
    plugins = _told(cluster, PLUGINS)
    return State(
        version=version,
        plugins=None if plugins is None else read_plugins(plugins),
        settings=settings_of(cluster),
        nodes=None if stats is None else read_node_facts(stats, _told(cluster, profile("models"))),
    )


def settings_of(cluster: Sender) -> Effective | None:
    """Return the settings of ML Commons in effect; null where the cluster does not tell. Errors as ``look``."""
    found = _told(cluster, get_settings())
    return None if found is None else read_settings(found)


def _told(cluster: Sender, request: Request) -> Any:
    try:
        return cluster.send(request)
    except Refused as error:
        if error.status in FORBIDDEN:
            return None
        raise
