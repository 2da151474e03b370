"""The two models of a swap: bring the new one, deploy, take one away; each may be repeated after a kill."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.api import deploy, undeploy
from release_tool.core.ml.searches import hits, models_in_group, models_of_hash
from release_tool.core.ml.tasks import model_state
from release_tool.errors import Refused, Unreachable
from release_tool.services.cluster.swap_looking import find_model, need_model
from release_tool.services.cluster.undoing import remove_group, remove_model
from release_tool.services.cluster.waiting import WAIT_SECONDS, wait

if TYPE_CHECKING:
    from release_tool.console import Console
    from release_tool.services.cluster.sender import Sender

DEPLOYED = "DEPLOYED"
BEGUN = "DEPLOYING"
POLL_SECONDS = 0.5
BEGUN_SECONDS = 60.0
"""How long a deployment that somebody else began is waited for before it is asked for once more."""


def same_bytes(cluster: Sender, sha256: str) -> dict[str, dict[str, Any]]:
    """Return id → source of the models with these bytes, also of those that are only on their way."""
    try:
        return dict(hits(cluster.send(models_of_hash(sha256))))
    except Refused as error:
        if error.status == 404:
            return {}
        raise


def ensure_deployed(cluster: Sender, model_id: str, console: Console, *, limit: float = WAIT_SECONDS) -> None:
    """Deploy a model on all nodes and wait; one that is deployed is left alone.

    Raises:
        UsageError: there is no such model.
        RemoteFailed, ServiceUnable, Unreachable: see ``waiting.wait``.
    """
    state = _settled(cluster, model_id)
    if state == DEPLOYED:
        return
    with console.step(f"Deploy {model_id}"):
        reply = cluster.send(deploy(model_id, generation=cluster.generation))
        wait(cluster, str(reply["task_id"]), "deploy", limit=limit, model_id=model_id, tell=console.debug)


def _settled(cluster: Sender, model_id: str) -> str:
    """Return the model's state, once a deployment that a killed run began has ended."""
    deadline = time.monotonic() + BEGUN_SECONDS
    while True:
        state = model_state(need_model(cluster, model_id, "which is to be deployed"))
        if state != BEGUN or time.monotonic() > deadline:
            return state
        time.sleep(POLL_SECONDS)


def take_away(cluster: Sender, model_id: str, *, with_group: bool) -> None:
    """Undeploy and delete a model; one that is gone is no error.

    Args:
        cluster: where it is.
        model_id: of the model.
        with_group: delete its group, too, where no other model is in it.

    Raises:
        RemoteFailed, Unreachable: it is still there.
    """
    source = find_model(cluster, model_id)
    group_id = (source or {}).get("model_group_id")
    remove_model(cluster, model_id)
    if with_group and group_id and _others(cluster, str(group_id), model_id) == 0:
        remove_group(cluster, str(group_id))


def _others(cluster: Sender, group_id: str, model_id: str) -> int:
    """Return how many other models are in a group; one deleted a moment ago is found for a second more."""
    return sum(ident != model_id for ident, _ in hits(cluster.send(models_in_group(group_id))))


def ensure_undeployed(cluster: Sender, model_id: str) -> None:
    """Undeploy a model that is there and deployed."""
    source = find_model(cluster, model_id)
    if source is not None and model_state(source) in {DEPLOYED, "PARTIALLY_DEPLOYED"}:
        cluster.send(undeploy([model_id], generation=cluster.generation))


def is_reachable(cluster: Sender, model_id: str) -> bool:
    """Tell whether a model is there and deployed, so that it can be asked."""
    try:
        source = find_model(cluster, model_id)
    except Unreachable:
        return False
    return source is not None and model_state(source) == DEPLOYED
