"""A small client of ML Commons over loopback HTTP: register by address, deploy, predict, undeploy, delete.

Promises: every wait has a limit; a task that failed is a ``RemoteFailed`` with the node's own words, those of every
node where there are several; what the node can't do for its own state (a breaker, a full queue, a lost connection) is
asked again with pauses and ends as ``ServiceUnable`` or ``Unreachable``, never as ``RemoteFailed``; nothing is sent
through a proxy.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Self

from release_tool.core.escape import one_line
from release_tool.errors import RemoteFailed, Unreachable
from release_tool.services.patience import PAUSES, patiently
from release_tool.services.server_words import UNABLE_STATUSES, is_unable, unable, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from release_tool.core.bundle import Config
    from release_tool.services.patience import Result

ML = "/_plugins/_ml"
REQUEST_SECONDS = 120.0
TASK_SECONDS = 600.0
FIRST_POLL_SECONDS = 0.05
LAST_POLL_SECONDS = 0.5

_DONE = frozenset({"COMPLETED"})
_FAILED = frozenset({"FAILED", "CANCELLED", "COMPLETED_WITH_ERROR", "EXPIRED", "UNREACHABLE"})


class Client:
    """One node or cluster; may be used by several threads, each keeps a connection of its own."""

    pauses: ClassVar[tuple[float, ...]] = PAUSES

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._local = threading.local()
        self._opened: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of all threads; a later request opens a new one."""
        while self._opened:
            self._opened.pop().close()

    def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, timeout: float = REQUEST_SECONDS
    ) -> Any:
        """Send JSON and return the JSON answer; a node that can't answer now is asked again.

        Raises:
            RemoteFailed: the server answered with an error; its words are in the message.
            ServiceUnable: it went on to say that it can't do its work now.
            Unreachable: no connection, no answer in time, or an answer that is no JSON.
        """
        # Asking twice must not do a thing twice: only what changes nothing is sent again after a lost connection.
        repeatable = method == "GET" or path.endswith(("/_predict", "/_search", "/_refresh"))
        return self.patiently(lambda: self._once(method, path, body, timeout=timeout), repeatable=repeatable)

    def bulk(self, path: str, lines: Sequence[Mapping[str, Any]]) -> Any:
        """Send lines of JSON, as ``_bulk`` wants them; errors as in ``request``."""
        payload = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        return self.patiently(lambda: self._send("POST", path, payload, "application/x-ndjson", REQUEST_SECONDS))

    def patiently(self, action: Callable[[], Result], *, repeatable: bool = False) -> Result:
        """Do something again, with pauses, while the node says that it can't now; see ``patience.patiently``."""
        return patiently(action, self.pauses, repeatable=repeatable)

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, timeout: float) -> Any:
        payload = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        return self._send(method, path, payload, "application/json", timeout)

    def _send(self, method: str, path: str, payload: bytes | None, content_type: str, timeout: float) -> Any:
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if payload is not None else {})
        reused = self._connection(timeout).sock is not None
        try:
            status, raw = self._exchange(method, path, payload, headers, timeout)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self._connection(timeout).close()
            # An idle connection that the server has closed says nothing about this request: once more, freshly.
            if not reused:
                raise self._unreachable(method, path, error) from error
            status, raw = self._retry(method, path, payload, headers, timeout)
        except (OSError, http.client.HTTPException) as error:
            self._connection(timeout).close()
            raise self._unreachable(method, path, error) from error
        return self._read(method, path, status, raw)

    def _retry(
        self, method: str, path: str, payload: bytes | None, headers: dict[str, str], timeout: float
    ) -> tuple[int, bytes]:
        try:
            return self._exchange(method, path, payload, headers, timeout)
        except (OSError, http.client.HTTPException) as error:
            self._connection(timeout).close()
            raise self._unreachable(method, path, error) from error

    def _exchange(
        self, method: str, path: str, payload: bytes | None, headers: dict[str, str], timeout: float
    ) -> tuple[int, bytes]:
        connection = self._connection(timeout)
        connection.request(method, path, body=payload, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
            self._local.connection = connection
        if connection not in self._opened:
            self._opened.append(connection)
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        connection.timeout = timeout
        return connection

    def _unreachable(self, method: str, path: str, error: Exception) -> Unreachable:
        words = one_line(str(error)) or type(error).__name__
        return Unreachable(
            f"{self.host}:{self.port} did not answer {method} {path}: {words}", hint="See release-tool node status."
        )

    def _read(self, method: str, path: str, status: int, raw: bytes) -> Any:
        try:
            # Not strict: a message may hold a raw control character; it is escaped where it is shown.
            data = json.loads(raw, strict=False) if raw else {}
        except ValueError as error:
            if status < 400:
                raise self._unreachable(method, path, error) from error
            data = raw.decode("utf-8", errors="replace")
        if status >= 400:
            words = words_of(data)
            if status in UNABLE_STATUSES or is_unable(words):
                raise unable(f"The node can't answer {method} {path} now ({status}): {words}")
            raise RemoteFailed(f"{method} {path} was refused ({status}): {words}")
        return data

    def is_healthy(self) -> bool:
        """Tell whether the node answers, its shards are there and ML Commons is loaded."""
        try:
            health = self._once("GET", "/_cluster/health?timeout=1s", timeout=5)
            if health.get("status") not in ("green", "yellow"):
                return False
            plugins = self._once("GET", "/_cat/plugins?format=json", timeout=5)
        except (RemoteFailed, Unreachable):
            return False
        return any(item.get("component") == "opensearch-ml" for item in plugins)

    def versions(self) -> dict[str, str]:
        """Return the versions of the server and its plugins, as they say themselves."""
        found = {"opensearch": str(self.request("GET", "/")["version"]["number"])}
        for item in self.request("GET", "/_cat/plugins?format=json"):
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
        task = self._once("POST", f"{ML}/models/_register", config, timeout=REQUEST_SECONDS)
        return str(self.wait(str(task["task_id"]), "register", timeout=timeout)["model_id"])

    def deploy(self, model_id: str, *, timeout: float = TASK_SECONDS) -> None:
        """Deploy a model and wait for it, again while the node can't; errors as in ``register``."""

        def once() -> None:
            task = self._once("POST", f"{ML}/models/{model_id}/_deploy", timeout=REQUEST_SECONDS)
            self.wait(str(task["task_id"]), "deploy", timeout=timeout)

        self.patiently(once)

    def wait(self, task_id: str, what: str, *, timeout: float) -> dict[str, Any]:
        """Poll a task until it is done and return it.

        Raises:
            RemoteFailed: it ended in another state than COMPLETED; the message has each node's error.
            ServiceUnable: it failed, and the words are about the node's own state.
            Unreachable: it has not ended in time.
        """
        deadline = time.monotonic() + timeout
        pause = FIRST_POLL_SECONDS
        state = "unknown"
        while time.monotonic() < deadline:
            task: dict[str, Any] = self.request("GET", f"{ML}/tasks/{task_id}")
            state = str(task.get("state"))
            if state in _DONE:
                return task
            if state in _FAILED:
                words = words_of(task.get("error") or state)
                if is_unable(words):
                    raise unable(f"The node can't {what} a model now: {words}")
                raise RemoteFailed(f"The node could not {what} the model: {words}")
            time.sleep(pause)
            pause = min(LAST_POLL_SECONDS, pause * 1.5)
        raise Unreachable(
            f"The node did not {what} the model within {timeout:.0f} s; the task {task_id} is {one_line(state)}.",
            hint="The machine may be too busy or the model too large for it; run again.",
        )

    def predict(self, model_id: str, body: Mapping[str, Any]) -> Any:
        """Ask a deployed model; return the reply's ``inference_results``.

        Raises:
            RemoteFailed: the model refused the input.
            Unreachable: no answer.
        """
        return self._results("predict", f"{ML}/models/{model_id}/_predict", body)

    def execute(self, function: str, body: Mapping[str, Any]) -> Any:
        """Ask an algorithm that is called by its name, with the model it has; as ``predict``."""
        return self._results("execute", f"{ML}/_execute/{function}", body)

    def _results(self, what: str, path: str, body: Mapping[str, Any]) -> Any:
        reply = self.request("POST", path, body)
        if not isinstance(reply.get("inference_results"), list):
            raise RemoteFailed(f"The reply to {what} holds no results: {words_of(reply)}")
        return reply["inference_results"]

    def remove(self, model_id: str, *, timeout: float = 60.0) -> None:
        """Undeploy a model, delete it, and delete the group that register made for it.

        Raises:
            RemoteFailed, Unreachable: it is still there.
        """
        group = None
        with suppress(RemoteFailed):
            group = self.request("GET", f"{ML}/models/{model_id}").get("model_group_id")
        with suppress(RemoteFailed):
            self.request("POST", f"{ML}/models/{model_id}/_undeploy")
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.request("DELETE", f"{ML}/models/{model_id}")
                break
            except RemoteFailed as error:
                # The state follows the undeploy a moment later; until then delete is refused.
                if "deployed state" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(LAST_POLL_SECONDS)
        if group:
            with suppress(RemoteFailed):
                self.request("DELETE", f"{ML}/model_groups/{group}")

    def remove_named(self, name: str) -> None:
        """Delete what a register request that did not end well left under its (unique) name."""
        # What was written a moment ago is found only after a refresh.
        with suppress(RemoteFailed):
            self.request("POST", "/.plugins-ml-model*/_refresh")
        named = {"filter": [{"term": {"name.keyword": name}}]}
        # The chunks of an archive lie in the same index and carry the name too; deleting the model deletes them.
        whole = {**named, "must_not": [{"exists": {"field": "chunk_number"}}]}
        for hit in self._hits(f"{ML}/models/_search", whole):
            self.remove(hit)
        for hit in self._hits(f"{ML}/model_groups/_search", named):
            self.request("DELETE", f"{ML}/model_groups/{hit}")

    def _hits(self, path: str, conditions: Mapping[str, Any]) -> list[str]:
        query = {"query": {"bool": conditions}, "_source": False}
        return [str(hit["_id"]) for hit in self.request("POST", path, query)["hits"]["hits"]]

    def state(self, model_id: str) -> str:
        """Return the model's state, such as DEPLOYED."""
        return str(self.request("GET", f"{ML}/models/{model_id}").get("model_state"))
