"""Send requests to a node on this machine by the standard library: what proofs need, and no extra.

Promises, as ``services.cluster.transport`` does for any cluster: a request is sent once unless sending it twice does no
harm; what a node can't do for its own state (a breaker, a full queue, a lost connection) is asked again with pauses and
ends as ``ServiceUnable`` or ``Unreachable``, never as ``RemoteFailed``; nothing is sent through a proxy.
"""

from __future__ import annotations

import http.client
import json
import threading
from typing import TYPE_CHECKING, Any, ClassVar, Self

from release_tool.core.escape import one_line
from release_tool.core.ml.api import Generation, root
from release_tool.core.ml.clusters import ClusterAddress
from release_tool.core.ml.request import Request
from release_tool.errors import Refused, Unreachable
from release_tool.services.patience import PAUSES, patiently
from release_tool.services.server_words import UNABLE_STATUSES, is_unable, unable, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from release_tool.services.patience import Result

REQUEST_SECONDS = 120.0


class Loopback:
    """One node; may be used by several threads, each keeps a connection of its own. A ``cluster.sender.Sender``."""

    pauses: ClassVar[tuple[float, ...]] = PAUSES
    generation = Generation.REGISTER
    """The nodes that are started here are all newer than 2.6."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.cluster = ClusterAddress(url=f"http://{host}:{port}")
        self._version: str | None = None
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

    def send(self, request: Request, *, timeout: float | None = None) -> Any:
        """Send a request and return the JSON answer; a node that can't answer now is asked again.

        Raises:
            Refused: the server answered with an error; its words are in the message.
            ServiceUnable: it went on to say that it can't do its work now.
            Unreachable: no connection, no answer in time, or an answer that is no JSON.
        """
        return self.patiently(lambda: self.once(request, timeout=timeout), repeatable=request.repeatable)

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send JSON, as ``send``."""
        return self.send(Request(method=method, path=path, body=body))

    def bulk(self, index: str, lines: Sequence[dict[str, Any]]) -> Any:
        """Send lines of JSON, as ``_bulk`` wants them, and have them found at once; errors as in ``send``."""
        query = {"refresh": "true"}
        return self.send(Request(method="POST", path=f"/{index}/_bulk", query=query, lines=tuple(lines)))

    def patiently(self, action: Callable[[], Result], *, repeatable: bool = False) -> Result:
        """Do something again, with pauses, while the node says that it can't now; see ``patience.patiently``."""
        return patiently(action, self.pauses, repeatable=repeatable)

    @property
    def version(self) -> str:
        """The server's version, asked once."""
        if self._version is None:
            self._version = str(self.send(root())["version"]["number"])
        return self._version

    def once(self, request: Request, *, timeout: float | None = None) -> Any:
        """Send a request exactly once; errors as in ``send``."""
        timeout = timeout or REQUEST_SECONDS
        reused = self._connection(timeout).sock is not None
        try:
            status, raw = self._exchange(request, timeout)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self._connection(timeout).close()
            # An idle connection that the server has closed says nothing about this request: once more, freshly.
            if not reused:
                raise self._unreachable(request, error) from error
            status, raw = self._retry(request, timeout)
        except (OSError, http.client.HTTPException) as error:
            self._connection(timeout).close()
            raise self._unreachable(request, error) from error
        return self._read(request, status, raw)

    def _retry(self, request: Request, timeout: float) -> tuple[int, bytes]:
        try:
            return self._exchange(request, timeout)
        except (OSError, http.client.HTTPException) as error:
            self._connection(timeout).close()
            raise self._unreachable(request, error) from error

    def _exchange(self, request: Request, timeout: float) -> tuple[int, bytes]:
        connection = self._connection(timeout)
        headers = {"Accept": "application/json"}
        if request.content_type is not None:
            headers["Content-Type"] = request.content_type
        connection.request(request.method, request.target, body=request.payload(), headers=headers)
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

    def _unreachable(self, request: Request, error: Exception) -> Unreachable:
        words = one_line(str(error)) or type(error).__name__
        return Unreachable(
            f"{self.host}:{self.port} did not answer {request.method} {request.path}: {words}",
            hint="See release-tool node status.",
        )

    def _read(self, request: Request, status: int, raw: bytes) -> Any:
        try:
            # Not strict: a message may hold a raw control character; it is escaped where it is shown.
            data = json.loads(raw, strict=False) if raw else {}
        except ValueError as error:
            if status < 400:
                raise self._unreachable(request, error) from error
            data = raw.decode("utf-8", errors="replace")
        if status < 400:
            return data
        what, words = f"{request.method} {request.path}", words_of(data)
        if status in UNABLE_STATUSES or is_unable(words):
            raise unable(f"The node can't answer {what} now ({status}): {words}")
        raise Refused(f"{what} was refused ({status}): {words}", status=status, said=words)
