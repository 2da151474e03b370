"""The roles of OpenSearch that a user has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.ml.request import Request
from release_tool.core.ml.shapes import table
from release_tool.errors import Refused

if TYPE_CHECKING:
    from release_tool.services.cluster.sender import Sender


def roles_of(cluster: Sender) -> tuple[str, ...] | None:
    """Return the roles of whoever asks; null where the cluster has no security plugin or does not tell.

    Raises:
        Unreachable: no answer.
    """
    try:
        found = table(cluster.send(Request(method="GET", path="/_plugins/_security/authinfo")))
    except Refused:
        return None
    roles = found.get("roles")
    return tuple(str(one) for one in roles) if isinstance(roles, list) else None
