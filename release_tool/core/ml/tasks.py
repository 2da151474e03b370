"""What a server says of a task, in both generations of replies.

Up to 2.6 ``worker_node`` is one id and the types are UPLOAD_MODEL and LOAD_MODEL; later it is a list, and the types
are REGISTER_MODEL and DEPLOY_MODEL. The error of a task that ran on several nodes is JSON text: node id → message.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from release_tool.core.escape import one_line
from release_tool.core.ml.shapes import rows

DONE = "COMPLETED"
PARTLY = "COMPLETED_WITH_ERROR"
RUNNING = frozenset({"CREATED", "RUNNING", "CANCELLING"})
OLD_TYPES = {"UPLOAD_MODEL": "REGISTER_MODEL", "LOAD_MODEL": "DEPLOY_MODEL"}
OLD_STATES = {
    "UPLOADING": "REGISTERING", "UPLOADED": "REGISTERED", "LOADING": "DEPLOYING", "LOADED": "DEPLOYED",
    "PARTIALLY_LOADED": "PARTIALLY_DEPLOYED", "UNLOADED": "UNDEPLOYED", "LOAD_FAILED": "DEPLOY_FAILED",
}  # fmt: skip
"""States of a model as 2.4 to 2.6 call them → as later servers do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task as it stands."""

    task_id: str
    kind: str
    """As servers from 2.7 on call it; empty where it is not said."""
    state: str
    model_id: str | None
    nodes: tuple[str, ...]
    errors: dict[str, str]
    """Node id → its words; the key is empty where they belong to no node."""

    @property
    def is_running(self) -> bool:
        """Whether it goes on."""
        return self.state in RUNNING

    @property
    def failed_nodes(self) -> tuple[str, ...]:
        """Ids of the nodes that have an error."""
        return tuple(node for node in self.errors if node)


def read_task(task_id: str, data: Any) -> Task:
    """Return a task from a reply; what is missing in it is empty."""
    found = data if isinstance(data, dict) else {}
    nodes = found.get("worker_node")
    kind = str(found.get("task_type") or "")
    return Task(
        task_id=task_id,
        kind=OLD_TYPES.get(kind, kind),
        state=str(found.get("state") or "unknown"),
        model_id=str(found["model_id"]) if found.get("model_id") else None,
        nodes=(nodes,) if isinstance(nodes, str) else tuple(str(node) for node in rows(nodes)),
        errors=_errors(found.get("error")),
    )


def _errors(error: Any) -> dict[str, str]:
    if not error:
        return {}
    if isinstance(error, str):
        try:
            inner = json.loads(error, strict=False)
        except ValueError:
            return {"": one_line(error)}
        error = inner if isinstance(inner, dict) else error
    if isinstance(error, dict):
        return {str(node): one_line(str(words)) for node, words in error.items()}
    return {"": one_line(str(error))}


def model_state(data: Any) -> str:
    """Return a model's state as servers from 2.7 on call it; empty where it is not said."""
    state = str((data.get("model_state") if isinstance(data, dict) else None) or "")
    return OLD_STATES.get(state, state)


def read_undeploy(data: Any) -> dict[str, dict[str, str]]:
    """Return node id → model id → what became of it, such as ``undeployed``, ``deleted`` or ``not_found``."""
    if not isinstance(data, dict):
        return {}
    return {
        str(node): {str(model): str(what) for model, what in (said.get("stats") or {}).items()}
        for node, said in data.items()
        if isinstance(said, dict) and isinstance(said.get("stats"), dict)
    }
