"""A cluster that is not there: it notes what would be sent, and answers with placeholders.

So a command shows its requests by doing what it always does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from release_tool.core.ml.api import generation_of
from release_tool.core.ml.credentials import by_name
from release_tool.core.ml.export import TOLD

if TYPE_CHECKING:
    from release_tool.core.ml.api import Generation
    from release_tool.core.ml.clusters import ClusterAddress
    from release_tool.core.ml.request import Request

MODEL, TASK, GROUP, CONNECTOR = map(by_name, TOLD)
_NOTHING = {"hits": {"total": {"value": 0}, "hits": []}}


class Recorder:
    """Takes the place of ``transport.Cluster``."""

    def __init__(self, cluster: ClusterAddress, version: str) -> None:
        self.cluster = cluster
        self.version = version
        self.sent: list[Request] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is open."""

    @property
    def generation(self) -> Generation:
        """How the server of that version calls what is done with a model."""
        return generation_of(self.version)

    @property
    def changes(self) -> tuple[Request, ...]:
        """What would change something or ask a model; everything, where the command only looks."""
        found = tuple(one for one in self.sent if not _only_looks(one))
        return found or tuple(self.sent)

    def send(self, request: Request, *, timeout: float | None = None) -> Any:  # noqa: ARG002 - the transport's
        """Note a request and answer as a cluster would where all goes well."""
        # Of a chunk its place is enough: an archive may be larger than the memory.
        self.sent.append(request if request.content is None else replace(request, content=b""))
        if request.method == "GET":
            return self._told(request)
        return self._done(request)

    def once(self, request: Request, *, timeout: float | None = None) -> Any:
        """As ``send``."""
        return self.send(request, timeout=timeout)

    def _told(self, request: Request) -> Any:
        if "/tasks/" in request.path:
            return {"state": "COMPLETED", "model_id": MODEL, "task_type": "REGISTER_MODEL", "worker_node": []}
        if "/models/" in request.path:
            return {"model_state": "REGISTERED", "name": "model"}
        return {}

    def _done(self, request: Request) -> Any:
        if request.path.endswith("/_search"):
            return _NOTHING
        if request.path.endswith("/model_groups/_register"):
            return {"model_group_id": GROUP, "status": "CREATED"}
        if request.path.endswith("/connectors/_create"):
            return {"connector_id": CONNECTOR}
        if request.path.endswith(("/_register_meta", "/models/meta")):
            return {"model_id": MODEL, "status": "CREATED"}
        if request.path.endswith("/_predict") or "/_predict/" in request.path:
            return {"inference_results": [{"output": []}]}
        return {"task_id": TASK, "status": "CREATED"}


def _only_looks(request: Request) -> bool:
    return request.method == "GET" or request.path.endswith("/_search")
