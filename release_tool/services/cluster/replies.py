"""What a reply must say, or the command can't go on."""

from __future__ import annotations

from typing import Any

from release_tool.core.escape import one_line
from release_tool.core.ml.shapes import table
from release_tool.errors import RemoteFailed


def ident_of(reply: Any, key: str) -> str:
    """Return an id from a reply.

    Raises:
        RemoteFailed: it is not there.
    """
    found = table(reply).get(key)
    if not isinstance(found, str) or not found:
        raise RemoteFailed(
            f"The cluster answered without {key}: {one_line(str(reply))[:300]}",
            hint="Look whether the address is that of an OpenSearch itself, and at its log.",
        )
    return found
