"""Send requests to a cluster by opensearch-py, and translate what comes back.

Promises: a request is sent once unless sending it twice does no harm; redirects are not followed; no proxy of the
environment is asked; a refusal is a ``Refused`` with the server's reason in plain words; what a server can't do now is
asked again with pauses and ends as ``ServiceUnable``; nothing that shows a credential is logged; the names of variables
in a connector's credential get their values here and nowhere before.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self
from urllib.parse import urlsplit

from release_tool.core.escape import one_line
from release_tool.core.ml.api import OLDEST, generation_of, is_since, root
from release_tool.core.ml.clusters import Auth
from release_tool.core.ml.credentials import with_secrets
from release_tool.core.ml.words import explain
from release_tool.errors import MissingExtra, Refused, RemoteFailed, Unreachable, UsageError
from release_tool.services.cluster.credentials import EXTRA, read_shown
from release_tool.services.patience import PAUSES, patiently
from release_tool.services.server_words import UNABLE_STATUSES, is_unable, unable, words_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from release_tool.core.ml.api import Generation
    from release_tool.core.ml.clusters import ClusterAddress
    from release_tool.core.ml.request import Request

REQUEST_SECONDS = 120.0
NEWEST = "3.9"
"""What a serverless collection is taken for: it tells no version."""
GATEWAY_STATUSES = frozenset({502, 504})
EVERY_STATUS = range(300, 600)
LISTED = ("/_cat/", "/_plugins/_ml/tools")
"""Paths that answer with an array; all others answer with an object."""


class Cluster:
    """One cluster; may be used by several threads at once."""

    def __init__(
        self,
        cluster: ClusterAddress,
        environment: Mapping[str, str],
        *,
        timeout: float = REQUEST_SECONDS,
        connections: int = 1,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        """Prepare the connection; nothing is sent yet.

        Args:
            cluster: where it is; paths in it are absolute or hold here.
            environment: of the process: credentials.
            timeout: seconds for one answer.
            connections: how many threads ask at once.
            pauses: seconds before each further try of a server that can't now.

        Raises:
            MissingExtra: opensearch-py, or boto3 where it is needed, is not installed.
            UsageError: credentials or certificates are missing or can't be read.
        """
        self.cluster = cluster
        self.timeout = timeout
        self.pauses = tuple(pauses)
        self._environment = environment
        self._connection = _connect(cluster, environment, timeout, connections)
        self._version: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        self._connection.close()

    def send(self, request: Request, *, timeout: float | None = None) -> Any:
        """Send a request and return the JSON answer; a cluster that can't answer now is asked again.

        Raises:
            Refused: the server said no; its words are in the message, the status in ``status``.
            ServiceUnable: it went on to say that it can't do its work now.
            Unreachable: no connection, no answer in time, or an answer that is no JSON.
        """
        return patiently(lambda: self.once(request, timeout=timeout), self.pauses, repeatable=request.repeatable)

    def once(self, request: Request, *, timeout: float | None = None) -> Any:
        """Send a request exactly once; errors as in ``send``."""
        status, raw = self._exchange(request, timeout)
        return self._read(request, status, raw)

    def _exchange(self, request: Request, timeout: float | None) -> tuple[int, str]:
        from opensearchpy.exceptions import ConnectionError as Lost
        from opensearchpy.exceptions import ConnectionTimeout, SSLError

        request = with_secrets(request, self._environment)
        headers = {"accept": "application/json"}
        if request.content_type is not None:
            headers["content-type"] = request.content_type
        try:
            status, _, raw = self._connection.perform_request(
                request.method, request.target, body=request.payload(), timeout=timeout or self.timeout,
                ignore=EVERY_STATUS, headers=headers,
            )  # fmt: skip
        except SSLError as error:
            raise self._mistrusted(one_line(str(error.info or error.error))) from error
        except ConnectionTimeout as error:
            raise self._silent(request, f"no answer within {timeout or self.timeout:.0f} s") from error
        except Lost as error:
            cause = _cause(error)
            raise self._silent(request, one_line(str(cause)) or type(cause).__name__) from cause
        return int(status), str(raw)

    def _mistrusted(self, why: str) -> Unreachable:
        if "WRONG_VERSION_NUMBER" in why:  # OpenSSL's way to say that this is no TLS
            return Unreachable(
                f"{self.cluster.shown} speaks no TLS: {why}", hint="Name it by http://, or check its port."
            )
        if "alert" in why.lower():  # what the other side sends
            return Unreachable(
                f"{self.cluster.shown} does not take who one is: {why}",
                hint="Name a certificate that it trusts: auth, certificate and key under [clusters.NAME].",
            )
        return Unreachable(
            f"{self.cluster.shown} can't prove who it is: {why}",
            hint="Name the authority that signed its certificate: ca under [clusters.NAME].",
        )

    def _silent(self, request: Request, why: str) -> Unreachable:
        return Unreachable(
            f"{self.cluster.shown} did not answer {request.method} {request.path}: {why}",
            hint="Check the address (--cluster) and that the cluster runs; --timeout gives it longer.",
        )

    def _read(self, request: Request, status: int, raw: str) -> Any:
        try:
            # Not strict: a message may hold a raw control character; it is escaped where it is shown.
            data = json.loads(raw, strict=False, parse_constant=_no_number) if raw else {}
        except (ValueError, RecursionError) as error:
            if status < 300:
                raise self._silent(request, "the answer is no JSON; is this an OpenSearch?") from error
            data = raw
        if status < 300:
            if isinstance(data, dict) or (isinstance(data, list) and request.path.startswith(LISTED)):
                return data
            raise self._silent(request, "the answer is no JSON object; is this an OpenSearch?")
        raise self._refused(request, status, words_of(data))

    def _refused(self, request: Request, status: int, said: str) -> RemoteFailed | Unreachable:
        what = f"{request.method} {request.path}"
        if status < 400:
            return Refused(
                f"{self.cluster.shown} sends {what} elsewhere ({status}); that is not followed.",
                hint="Name the cluster's own address with --cluster.", status=status, said=said,
            )  # fmt: skip
        if status in UNABLE_STATUSES or is_unable(said):
            return unable(f"{self.cluster.shown} can't answer {what} now ({status}): {said}")
        if status in GATEWAY_STATUSES:
            return Unreachable(f"A gateway before {self.cluster.shown} got no answer to {what} ({status}): {said}")
        plain = explain(said)
        told = f"{plain.what} " if plain else ""
        hint = plain.fix if plain else _HINTS.get(status)
        message = f"{told}{what} was refused ({status}): {said}"
        return Refused(message, hint=hint, status=status, said=said)

    @property
    def version(self) -> str:
        """The server's version, asked once.

        Raises:
            RemoteFailed: it is no OpenSearch, or one older than 2.4.
            as ``send``
        """
        if self._version is None:
            self._version = NEWEST if self.cluster.is_serverless else self._ask_version()
        return self._version

    def _ask_version(self) -> str:
        reply = self.send(root())
        found = reply.get("version") if isinstance(reply, dict) else None
        version = str(found.get("number", "")) if isinstance(found, dict) else ""
        # Elasticsearch names no distribution; a domain of AWS in compatibility mode says 7.10.2 with ours.
        if not version[:1].isdigit() or (isinstance(found, dict) and found.get("distribution") != "opensearch"):
            raise RemoteFailed(f"{self.cluster.shown} is no OpenSearch.", hint="Name another one with --cluster.")
        if version.startswith("7.10"):
            raise RemoteFailed(
                f"{self.cluster.shown} says that it is 7.10: it hides its own version.",
                hint="Set compatibility.override_main_response_version to false on it.",
            )
        if not is_since(version, OLDEST):
            raise RemoteFailed(
                f"{self.cluster.shown} is OpenSearch {one_line(version)}; models are served from {OLDEST} on.",
                hint="Upgrade the cluster.",
            )
        return version

    @property
    def generation(self) -> Generation:
        """How the server calls what is done with a model; errors as ``version``."""
        return generation_of(self.version)


_HINTS = {
    401: "Set RELEASE_TOOL_CLUSTER_USER and RELEASE_TOOL_CLUSTER_PASSWORD, or auth under [clusters.NAME].",
    403: "The user has no right to do this; ask for a role such as ml_full_access.",
    404: "Nothing of that id is there: release-tool ml search, ml group search and ml connector search list what is.",
}


def _no_number(text: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python reads and JSON does not have."""
    raise ValueError(text)


def _cause(error: Any) -> BaseException:
    """Return what urllib3 met: whether a connection was lost or refused decides whether one may try again."""
    found: Any = error.info if isinstance(getattr(error, "info", None), BaseException) else error
    for _ in range(4):
        args = [arg for arg in getattr(found, "args", ()) if isinstance(arg, BaseException)]
        inner = args[0] if args else found.__cause__
        if inner is None or isinstance(found, ConnectionError):
            break
        found = inner
    result: BaseException = found
    return result


def _connect(cluster: ClusterAddress, environment: Mapping[str, str], timeout: float, connections: int) -> Any:
    try:
        from opensearchpy import Urllib3HttpConnection
    except ModuleNotFoundError as error:
        raise MissingExtra(EXTRA, "opensearch-py") from error
    # The library tells of each refusal by itself, and of bodies when asked to say more.
    logging.getLogger("opensearch").setLevel(logging.CRITICAL)
    shown = read_shown(cluster, environment)
    parts = urlsplit(cluster.url)
    secure = parts.scheme == "https"
    tls: dict[str, Any] = {}
    if secure:
        tls = {"ca_certs": cluster.ca, "verify_certs": True}
        if cluster.auth is Auth.CERTIFICATE:
            tls |= {"client_cert": cluster.certificate, "client_key": cluster.key}
    for path in (cluster.ca, cluster.certificate, cluster.key) if secure else ():
        if path is not None and not Path(path).is_file():
            raise UsageError(
                f"{path} for {cluster.shown} is no file.", hint="Check ca, certificate and key under [clusters.NAME]."
            )
    # The library would raise the server's notes on deprecations as warnings of Python's.
    quiet: Any = type("Quiet", (Urllib3HttpConnection,), {"_raise_warnings": staticmethod(lambda *_: None)})
    try:
        return quiet(
            host=parts.hostname or "", port=parts.port or (443 if secure else 80), url_prefix=parts.path,
            use_ssl=secure, timeout=timeout, headers=shown.headers, http_auth=shown.sign,
            pool_maxsize=connections, http_compress=False, **tls,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The certificates for {cluster.shown} can't be read: {one_line(str(error))}",
            hint="Check ca, certificate and key under [clusters.NAME].",
        ) from error
