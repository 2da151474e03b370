"""Deploy models and wait; what deploy and register share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.ml.api import deploy
from release_tool.services.cluster.replies import ident_of
from release_tool.services.cluster.waiting import WAIT_SECONDS, wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from release_tool.console import Console
    from release_tool.services.cluster.sender import Sender


def deploy_model(
    cluster: Sender, model_id: str, console: Console, *, nodes: Sequence[str] = (), limit: float = WAIT_SECONDS
) -> tuple[str, ...]:
    """Deploy one model and return the ids of the nodes that it runs on.

    Raises:
        RemoteFailed: refused, failed, or failed on some nodes; each node's words are in the message.
        ServiceUnable: the nodes can't now.
        Unreachable: no answer, or not in time.
    """
    reply = cluster.send(deploy(model_id, nodes, generation=cluster.generation))
    task = wait(cluster, ident_of(reply, "task_id"), "deploy", limit=limit, model_id=model_id, tell=console.debug)
    return task.nodes
