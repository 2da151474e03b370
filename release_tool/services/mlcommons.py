"""What proofs ask of ML Commons on the node of this machine: register by address, deploy, predict, take away.

Promises: every wait has a limit; a task that failed is a ``RemoteFailed`` with the node's own words, those of every
node where there are several. How a request looks and how a task ends is written down once, for this node and for any
cluster: ``core.ml`` and ``services.cluster``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.api import delete_group, deploy, get_model, predict, register
from release_tool.core.ml.request import Request
from release_tool.core.ml.searches import groups, hits, models_of_name
from release_tool.core.ml.tasks import model_state
from release_tool.errors import RemoteFailed, Unreachable
from release_tool.services.cluster.replies import ident_of
from release_tool.services.cluster.undoing import remove_model
from release_tool.services.cluster.waiting import wait
from release_tool.services.loopback import Loopback
from release_tool.services.server_words import words_of

if TYPE_CHECKING:
    from release_tool.core.bundle import Config

TASK_SECONDS = 600.0
LONGEST_PAUSE = 0.5
HEALTH_SECONDS = 5.0


class Client(Loopback):
    """One node and its models."""

    def is_healthy(self) -> bool:
        """Tell whether the node answers, its shards are there and ML Commons is loaded."""
        health = Request(method="GET", path="/_cluster/health", query={"timeout": "1s"})
        plugins = Request(method="GET", path="/_cat/plugins", query={"format": "json"})
        try:
            if self.once(health, timeout=HEALTH_SECONDS).get("status") not in ("green", "yellow"):
                return False
            found = self.once(plugins, timeout=HEALTH_SECONDS)
        except (RemoteFailed, Unreachable):
            return False
        return any(item.get("component") == "opensearch-ml" for item in found)

    def versions(self) -> dict[str, str]:
        """Return the versions of the server and its plugins, as they say themselves."""
        found = {"opensearch": self.version}
        for item in self.send(Request(method="GET", path="/_cat/plugins", query={"format": "json"})):
            found[str(item["component"])] = str(item["version"])
        return found

    def register(self, config: Config, *, timeout: float = TASK_SECONDS) -> str:
        """Register a model from the address in ``config``; return its id. Tried once: a task may leave a part.

        Args:
            config: the register request, key order kept (function_name before model_config matters since 3.1).
            timeout: seconds until the task must be done.

        Raises:
            RemoteFailed: refused at once or by the task.
            ServiceUnable: the node can't take a model now.
            Unreachable: not done in time.
        """
        reply = self.once(register(config, generation=self.generation))
        task = wait(self, ident_of(reply, "task_id"), "register", limit=timeout, longest_pause=LONGEST_PAUSE)
        if task.model_id is None:
            raise RemoteFailed("The task ended well and names no model.")
        return task.model_id

    def deploy(self, model_id: str, *, timeout: float = TASK_SECONDS) -> None:
        """Deploy a model and wait for it, again while the node can't; errors as in ``register``."""

        def once() -> None:
            reply = self.once(deploy(model_id, generation=self.generation))
            wait(
                self, ident_of(reply, "task_id"), "deploy", limit=timeout, model_id=model_id,
                longest_pause=LONGEST_PAUSE,
            )  # fmt: skip

        self.patiently(once)

    def predict(self, model_id: str, body: dict[str, Any]) -> Any:
        """Ask a deployed model; return the reply's ``inference_results``.

        Raises:
            RemoteFailed: the model refused the input.
            Unreachable: no answer.
        """
        return self._results("predict", predict(model_id, body))

    def execute(self, function: str, body: dict[str, Any]) -> Any:
        """Ask an algorithm that is called by its name, with the model it has; as ``predict``."""
        return self._results("execute", Request(method="POST", path=f"/_plugins/_ml/_execute/{function}", body=body))

    def _results(self, what: str, request: Request) -> Any:
        reply = self.send(request)
        if not isinstance(reply.get("inference_results"), list):
            raise RemoteFailed(f"The reply to {what} holds no results: {words_of(reply)}")
        return reply["inference_results"]

    def remove(self, model_id: str) -> None:
        """Undeploy a model, delete it, and delete the group that register made for it.

        Raises:
            RemoteFailed, Unreachable: it is still there.
        """
        group = None
        with suppress(RemoteFailed):
            group = self.send(get_model(model_id)).get("model_group_id")
        remove_model(self, model_id)
        if group:
            with suppress(RemoteFailed):
                self.send(delete_group(str(group)))

    def remove_named(self, name: str) -> None:
        """Delete what a register request that did not end well left under its (unique) name."""
        # What was written a moment ago is found only after a refresh.
        with suppress(RemoteFailed):
            self.request("POST", "/.plugins-ml-model*/_refresh")
        for model_id, _ in hits(self.send(models_of_name(name))):
            self.remove(model_id)
        for group_id, _ in hits(self.send(groups(name))):
            self.send(delete_group(group_id))

    def state(self, model_id: str) -> str:
        """Return the model's state, such as DEPLOYED."""
        return model_state(self.send(get_model(model_id)))
