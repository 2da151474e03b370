"""Wait for a task of a cluster: with a limit, with every node's own error, each kind of end told apart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NoReturn

from release_tool.core.escape import one_line
from release_tool.core.ml.api import get_model, get_task
from release_tool.core.ml.tasks import DONE, PARTLY, Task, model_state, read_task
from release_tool.core.ml.words import explain
from release_tool.errors import Refused, RemoteFailed, Unreachable
from release_tool.services.server_words import is_unable, unable

if TYPE_CHECKING:
    from collections.abc import Callable

    from release_tool.services.cluster.sender import Sender

FIRST_POLL_SECONDS = 0.1
LAST_POLL_SECONDS = 2.0
WAIT_SECONDS = 600.0

_ENDS = {
    "CANCELLED": "Somebody cancelled the task.",
    "EXPIRED": "The task ran longer than the cluster lets it.",
    "UNREACHABLE": "The node that did the work left the cluster.",
}
GOALS = {"register": frozenset({"REGISTERED", "DEPLOYING", "DEPLOYED"}), "deploy": frozenset({"DEPLOYED"})}
"""States of a model in which a task that is gone must have done its work."""


def wait(
    cluster: Sender,
    task_id: str,
    what: str,
    *,
    limit: float = WAIT_SECONDS,
    model_id: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
    longest_pause: float = LAST_POLL_SECONDS,
) -> Task:
    """Poll a task until it is done and return it.

    Args:
        cluster: where it runs.
        task_id: as the server gave it.
        what: ``register`` or ``deploy``, for messages.
        limit: seconds.
        model_id: of the model that it is about, where that is known.
        tell: gets a line at each change of the task's state.
        longest_pause: seconds between two looks at most.

    Raises:
        RemoteFailed: it failed, failed on some nodes, was cancelled, expired, lost its node, or is gone with its work
            undone; the message tells them apart and has each node's words.
        ServiceUnable: it failed, and the words are about the nodes' own state.
        Unreachable: it has not ended in time; it goes on.
    """
    deadline = time.monotonic() + limit
    pause, shown = FIRST_POLL_SECONDS, ""
    while True:
        try:
            task = read_task(task_id, cluster.send(get_task(task_id)))
        except Refused as error:
            if error.status != 404:
                raise
            return _gone(cluster, task_id, what, model_id, error)
        if task.state != shown:
            shown = task.state
            on = f" on {len(task.nodes)} nodes" if len(task.nodes) > 1 else ""
            tell(f"{what} is {one_line(shown).lower()}{on}")
        if task.state == DONE:
            return task
        if not task.is_running and task.state != "unknown":
            _fail(task, what)
        if time.monotonic() > deadline:
            raise Unreachable(
                f"The cluster did not {what} the model within {limit:.0f} s; the task {task_id} is "
                f"{one_line(task.state)}{_so_far(cluster, task)}.",
                hint=f"It goes on: look with release-tool ml task {task_id}, or wait longer with --wait.",
            )
        time.sleep(pause)
        pause = min(longest_pause, pause * 1.5)


def _gone(cluster: Sender, task_id: str, what: str, model_id: str | None, error: Refused) -> Task:
    """A task that nobody knows any more: the model tells whether its work was done."""
    state = "" if model_id is None else model_state(cluster.send(get_model(model_id)))
    if state in GOALS.get(what, ()):
        return Task(task_id=task_id, kind="", state=DONE, model_id=model_id, nodes=(), errors={})
    raise RemoteFailed(
        f"The task {task_id} that should {what} the model vanished"
        + (f"; the model is {one_line(state)}." if state else "."),
        hint="Its index was deleted, or the node lost it. Look at the model with release-tool ml get, and try again.",
    ) from error


def _fail(task: Task, what: str) -> NoReturn:
    words = words_of_nodes(task)
    if is_unable(words):
        raise unable(f"The cluster can't {what} the model now: {words}")
    plain = explain(words)
    if task.state == PARTLY:
        good = [node for node in task.nodes if node not in task.failed_nodes]
        raise RemoteFailed(
            f"The cluster did {what} the model on {len(good)} of {len(task.nodes)} nodes: {words}",
            hint=f"{plain.fix if plain else 'Look at the nodes named.'} It answers meanwhile, from the others.",
        )
    end = _ENDS.get(task.state) or (plain.what if plain else "")
    raise RemoteFailed(
        " ".join(part for part in (end, f"The cluster could not {what} the model: {words}") if part),
        hint=plain.fix if plain else None,
    )


def words_of_nodes(task: Task) -> str:
    """Return each node's words, equal ones once."""
    by_words: dict[str, list[str]] = {}
    for node, said in task.errors.items():
        by_words.setdefault(said, []).append(node)
    lines = [f"{', '.join(nodes)}: {said}" if any(nodes) else said for said, nodes in by_words.items()]
    return "; ".join(lines) or one_line(task.state)


def _so_far(cluster: Sender, task: Task) -> str:
    if task.model_id is None:
        return ""
    try:
        found = cluster.send(get_model(task.model_id))
    except (RemoteFailed, Unreachable):
        return ""
    done, planned = found.get("current_worker_node_count"), found.get("planning_worker_node_count")
    return f", on {done} of {planned} nodes" if planned else ""
