"""Talk to a model hub over HTTP: one request with its retries, and a named error for each way to be refused.

The session is huggingface_hub's own, so that its settings, proxies and a client factory of the user hold;
retries, redirects and the reading of answers are done here, because downloads need ranges and errors need names.
"""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from release_tool.core.escape import one_line
from release_tool.errors import BadToken, MissingExtra, SourceError, Unreachable, UsageError
from release_tool.services.hub_errors import Refusal, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import httpx2

ATTEMPTS = 5
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
"""Between two pieces of an answer; HF_HUB_DOWNLOAD_TIMEOUT sets another."""
MAX_WAIT_SECONDS = 120.0
"""A hub that wants a longer pause gets none: the step ends and says how long."""
MAX_REDIRECTS = 5
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Of one JSON answer: a page of a file list has about 1,000 entries."""
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
NOT_MODIFIED = 304
SHOWN_CHARACTERS = 80


class HubClient:
    """One hub (``HF_ENDPOINT``, or huggingface_hub's default) with one token (``HF_TOKEN``, or the login's)."""

    def __init__(
        self,
        *,
        env: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        attempts: int = ATTEMPTS,
    ) -> None:
        self.env = os.environ if env is None else env
        self.sleep = sleep
        self.attempts = attempts

    @property
    def offline(self) -> bool:
        """Whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) forbids to ask."""
        names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
        return any(self.env.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in names)

    @property
    def endpoint(self) -> str:
        """The hub's address without a final slash.

        Raises:
            UsageError: HF_ENDPOINT holds no address.
        """
        named = self.env.get("HF_ENDPOINT", "").strip()
        if named:
            check_endpoint(named)
            return named.rstrip("/")
        known = _library().constants
        # The library takes a variable that is set and empty for an address.
        return str(known.ENDPOINT or known._HF_DEFAULT_ENDPOINT).rstrip("/")  # noqa: SLF001 - it has no other name

    @property
    def token(self) -> str | None:
        """The token, from HF_TOKEN or from huggingface_hub's login."""
        named = self.env.get("HF_TOKEN") or self.env.get("HUGGING_FACE_HUB_TOKEN") or ""
        if not named and self.env is os.environ:
            named = _library().get_token() or ""
        token = named.strip()
        if not re.fullmatch(r"[!-~]*", token):
            raise BadToken("HF_TOKEN holds characters that no token has.")
        return token or None

    def get_json(self, path: str, *, about: str) -> tuple[Any, Mapping[str, str]]:
        """Return an answer of the API and its headers.

        Args:
            path: below the endpoint, with its query, quoted.
            about: what is asked for, for the words of an error.

        Raises:
            SourceError: refused, or no answer of a hub.
            Unreachable: no answer after retries.
        """

        def read(response: httpx2.Response) -> tuple[Any, Mapping[str, str]]:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise SourceError(f"The answer about {about} is larger than {MAX_ANSWER_BYTES:,} bytes.")
            try:
                return json.loads(bytes(body)), response.headers
            except (ValueError, RecursionError) as error:
                raise SourceError(
                    f"{self.endpoint} does not answer as a model hub does (asked for {about}).",
                    hint="Check HF_ENDPOINT.",
                ) from error

        answer: tuple[Any, Mapping[str, str]] = self.retry(lambda: self._once(path, about, read), about=about)
        return answer

    def retry(self, once: Callable[[], Any], *, about: str, moved: Callable[[], int] = int) -> Any:
        """Call until it succeeds; a pause doubles from 1 s, or is what the hub asks for.

        Args:
            once: one try; raises ``Again`` where another may help.
            about: for the words of the last error.
            moved: a number that grows when a try got further; the count starts anew then.

        Raises:
            Unreachable: nothing helped.
        """
        tried, reached = 0, moved()
        while True:
            try:
                return once()
            except Again as again:
                tried, reached = (1, moved()) if moved() > reached else (tried + 1, reached)
                pause = again.pause if again.pause is not None else float(2 ** (tried - 1))
                if tried >= self.attempts or pause > MAX_WAIT_SECONDS:
                    raise again.final(about, tried) from again
                self.sleep(pause)

    def _once(self, path: str, about: str, read: Callable[[httpx2.Response], Any]) -> Any:
        with self.open(path, {}, about=about) as response:
            return read(response)

    @contextmanager
    def open(self, path: str, headers: Mapping[str, str], *, about: str) -> Iterator[httpx2.Response]:
        """Ask once, follow redirects, and hand out an answer that is no error; its body is still on the wire.

        Raises:
            Again: another try may help.
            SourceError: refused.
        """
        _library()  # it brings httpx2 along: without the extra, that is what is missing
        import httpx2

        url = f"{self.endpoint}/{path}"
        try:
            for _ in range(MAX_REDIRECTS):
                with self._stream(url, headers) as response:
                    if response.is_redirect and response.status_code != NOT_MODIFIED:
                        url = self._next(url, response)
                        continue
                    self._check(response, about)
                    yield response
                    return
        except (httpx2.TransportError, httpx2.StreamError, httpx2.DecodingError) as error:
            raise Again(f"{type(error).__name__}: {error}") from error
        except httpx2.InvalidURL as error:
            raise SourceError(f"{url!r} is no address.", hint="Check HF_ENDPOINT.") from error
        raise SourceError(f"The hub redirects without end (asked for {about}).", hint="Check HF_ENDPOINT.")

    def _stream(self, url: str, headers: Mapping[str, str]) -> Any:
        import httpx2

        hub = _library()
        # The token goes to the hub itself and to no other host that it redirects to.
        token = self.token if _origin(url) == _origin(self.endpoint) else None
        sent = hub.utils.build_hf_headers(token=token or False, library_name="release-tool")
        seconds = float(self.env.get("HF_HUB_DOWNLOAD_TIMEOUT") or READ_SECONDS)
        timeout = httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
        session = hub.utils.get_session()
        return session.stream("GET", url, headers={**sent, **headers}, timeout=timeout, follow_redirects=False)

    def _next(self, url: str, response: httpx2.Response) -> str:
        target = urljoin(url, response.headers.get("Location", ""))
        if urlsplit(target).scheme not in {"http", "https"} or (
            urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http"
        ):
            raise SourceError(f"The hub redirects to {target!r}, which is not followed.", hint="Check HF_ENDPOINT.")
        return target

    def _check(self, response: httpx2.Response, about: str) -> None:
        status = response.status_code
        if status < 400:
            return
        headers = response.headers
        said = headers.get("X-Error-Message") or ""
        elsewhere = _origin(str(response.url)) != _origin(self.endpoint)
        if status in TRANSIENT or (elsewhere and status == 403):
            # A signed address of the store expires; asking the hub again gives a fresh one.
            raise Again(f"HTTP {status} {said}".strip(), status=status, pause=pause_of(headers))
        raise refusal(
            Refusal(
                status=status,
                code=headers.get("X-Error-Code"),
                said=said,
                about=about,
                with_token=self.token is not None,
            )
        )


class Again(Exception):
    """One try failed in a way that another may not."""

    def __init__(self, said: str, *, status: int | None = None, pause: float | None = None) -> None:
        super().__init__(said)
        self.status = status
        self.pause = pause

    def final(self, about: str, tried: int) -> Unreachable:
        """Return the error for a person."""
        times = "once" if tried == 1 else f"{tried} times"
        if self.status == 429:
            wait = f" It wants a pause of {self.pause:.0f} s." if self.pause else ""
            return Unreachable(
                f"The hub limits the rate of requests (HTTP 429, asked {times} for {about}).{wait}",
                hint="Wait and run again: what is complete is kept. With HF_TOKEN set the limit is higher.",
            )
        return Unreachable(
            f"The hub could not be reached (asked {times} for {about}): {self}",
            hint="Check the network and HF_ENDPOINT, then run again: what is complete is kept.",
        )


def pause_of(headers: Mapping[str, str], *, now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds of a Retry-After header, in either of its forms; ``None`` without a sound one."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now())
    except (TypeError, ValueError, OverflowError):
        return None


def check_endpoint(address: str) -> None:
    """Refuse what can't be a hub's address: no answer would come, whatever the number of tries.

    Raises:
        UsageError: no http or https, no host, a port that is none, a query, or signs that no address has.
    """
    try:
        parts = urlsplit(address)
        sound = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0
            and not (parts.query or parts.fragment)
            and re.fullmatch(r"[!-~]+", address) is not None
        )
    except ValueError:  # a port that is no number, brackets that don't close
        sound = False
    if not sound:
        shown = one_line(address.rpartition("@")[2])[:SHOWN_CHARACTERS]  # a password may stand before the @
        raise UsageError(
            f"HF_ENDPOINT is {shown!r}, which is no address of a hub.",
            hint="Set it to http:// or https://, the host and perhaps a path, or unset it to ask the public hub.",
        )


def quoted(text: str) -> str:
    """Quote one segment of a path, slashes too: a revision may hold them."""
    return quote(text, safe="")


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.constants  # the package loads its parts on demand, this one not by name
        import huggingface_hub.utils
    except ImportError as error:
        raise MissingExtra("trace", "huggingface_hub") from error
    return huggingface_hub
