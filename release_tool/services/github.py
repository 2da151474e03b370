"""A client of GitHub's REST API: JSON in, JSON out, over one session of requests.

Promises: the token comes from the environment and goes to the API's address only, in a header, and never into an
address, a message or a document; no redirect is followed; every wait has an end; reads, and writes that do no harm
twice, are tried again when the server can't answer; a rate limit is waited for where it ends soon. Every refusal is
``Refused`` with its status, everything that passes by waiting ``Unreachable``.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from release_tool import __version__
from release_tool.errors import Fault, MissingExtra, RequestError, UsageError
from release_tool.services.clock import Clock
from release_tool.services.github_words import (
    LATER_STATUS,
    Access,
    Answer,
    read_json,
    refusal,
    seconds_of_limit,
    unanswered,
)
from release_tool.services.secrets import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_VARIABLES = ("GITHUB_TOKEN", "GH_TOKEN")
API_VARIABLE = "GITHUB_API_URL"
REPOSITORY_VARIABLE = "GITHUB_REPOSITORY"
DEFAULT_API = "https://api.github.com"
API_VERSION = "2022-11-28"
JSON_TYPE = "application/vnd.github+json"
RAW_TYPE = "application/vnd.github.raw+json"

CONNECT_SECONDS, READ_SECONDS = 10, 30
WHOLE_SECONDS = 300.0
"""Of one answer, however slowly it drips."""
MAX_ANSWER_BYTES = 110_000_000
"""GitHub gives out files of up to 100 MB."""
CHUNK_BYTES = 1 << 16
PAUSES = (1.0, 3.0, 9.0)
"""Seconds before each further try of a request."""
MAX_LIMIT_SECONDS = 90.0
"""A rate limit that ends later is not waited for; the secondary ones end after a minute."""
PAGE = 100
MAX_PAGES = 50

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,100}")
_TOKEN = re.compile(r"[\x21-\x7e]+")


def read_access(environment: Mapping[str, str]) -> Access:
    """Return the access that the environment gives.

    Raises:
        UsageError: there is no token, it can't be one, or the API's address is none to which a token may be sent.
    """
    name = next((name for name in TOKEN_VARIABLES if environment.get(name, "").strip()), None)
    if name is None:
        raise UsageError(
            "There is no token for GitHub.",
            hint=f"Set {TOKEN_VARIABLES[0]}; in a workflow: env: {TOKEN_VARIABLES[0]}: ${{{{ github.token }}}}.",
        )
    token = environment[name].strip()
    if not _TOKEN.fullmatch(token):
        raise UsageError(f"{name} holds characters that can't be sent.", hint="Set it again, without them.")
    api = _api_of(environment.get(API_VARIABLE, "").strip() or DEFAULT_API)
    return Access(api=api, credentials=Credentials(token=token, origin=name))


def check_repository(text: str | None) -> str:
    """Return the name of a repository, ``owner/name``.

    Raises:
        UsageError: nobody named one.
        RequestError: it is none.
    """
    if not text:
        raise UsageError(
            "No repository of GitHub is named.", hint=f"Name it with --repository OWNER/NAME, or {REPOSITORY_VARIABLE}."
        )
    if not _REPOSITORY.fullmatch(text):
        raise RequestError((Fault("--repository", f"{text[:80]!r} is no repository", "such as octo-org/models"),))
    return text


def quoted(part: str) -> str:
    """Return one part of a path, everything in it that could mean something escaped; a branch keeps its slashes."""
    return quote(part, safe="/")


def _api_of(address: str) -> str:
    """Return the API's address; it is not repeated in a message, it may hold a credential."""
    hint = f"Set {API_VARIABLE} to an address such as {DEFAULT_API}, or unset it."
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - raises for what is no port
    except ValueError:
        raise UsageError(f"{API_VARIABLE} is no address.", hint=hint) from None
    if (
        "@" in address
        or parts.query
        or parts.fragment
        or any(not char.isprintable() or char == " " for char in address)
    ):
        raise UsageError(f"{API_VARIABLE} holds more than a place.", hint=hint)
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise UsageError(f"{API_VARIABLE} is no address of a server.", hint=hint)
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise UsageError(f"{API_VARIABLE} would send the token in the clear.", hint=hint)
    return address.rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class GitHub:
    """One API and one token."""

    def __init__(self, access: Access, clock: Clock | None = None) -> None:
        try:
            import requests
        except ModuleNotFoundError as error:
            raise MissingExtra("publish", "requests") from error
        self.access = access
        self.clock = clock or Clock()
        self._session = requests.Session()

    def get(self, path: str, **parameters: str | int) -> Any:
        """Return what lies at a path; null where there is nothing, or the token may not see it (404).

        An answer without content (204, which says yes) is an empty object.

        Args:
            path: below the API's address, without a first slash: ``repos/octo-org/models/environments``.
            parameters: of the query.

        Raises:
            Refused: GitHub refuses; ``status`` says how.
            RemoteFailed: it is not GitHub's API that answers.
            Unreachable: no answer, an error of the server, or a rate limit that does not end soon.
        """
        answer = self._ask("GET", path, parameters=parameters, again=True)
        return None if answer.status == 404 else self._json("GET", path, answer)

    def pages(self, path: str, key: str | None = None, **parameters: str | int) -> tuple[dict[str, Any], ...] | None:
        """Return every object of a list that comes in pages; null for 404; see ``get``.

        Args:
            path: see ``get``.
            key: under which the list lies where the answer is an object (``environments``).
            parameters: of the query.
        """
        found: list[dict[str, Any]] = []
        for page in range(1, MAX_PAGES + 1):
            data = self.get(path, **parameters, per_page=PAGE, page=page)
            if data is None:
                return tuple(found) if found else None
            listed = data.get(key) if key is not None and isinstance(data, dict) else data
            if not isinstance(listed, list):
                raise unanswered(self.access, f"GET {path}")
            found += [item for item in listed if isinstance(item, dict)]
            if len(listed) < PAGE:
                break
        return tuple(found)

    def get_bytes(self, path: str) -> bytes | None:
        """Return a file as it is, where the API can give it raw; null for 404; see ``get``."""
        answer = self._ask("GET", path, accept=RAW_TYPE, again=True)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise refusal(self.access, f"GET {path}", answer)
        return answer.content

    def post(self, path: str, data: Mapping[str, Any], *, again: bool = False) -> Any:
        """Make something, and return GitHub's words for it; an empty object where it has none (204).

        Args:
            path: see ``get``.
            data: sent as JSON.
            again: doing it twice does no harm, so it is tried again when no answer came.

        Raises:
            Refused: GitHub refuses, 404 and 422 included.
            RemoteFailed: it is not GitHub's API that answers.
            Unreachable: no answer: it may have been done all the same.
        """
        return self._json("POST", path, self._ask("POST", path, data=data, again=again))

    def patch(self, path: str, data: Mapping[str, Any]) -> Any:
        """Change something to what ``data`` says; see ``post``: twice is once."""
        return self._json("PATCH", path, self._ask("PATCH", path, data=data, again=True))

    def _ask(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str | int] | None = None,
        data: Mapping[str, Any] | None = None,
        accept: str = JSON_TYPE,
        again: bool,
    ) -> Answer:
        for pause in PAUSES:
            try:
                answer = self._once(method, path, parameters, data, accept)
            except ConnectionError as error:
                if not again:
                    raise unanswered(self.access, f"{method} {path}", error) from None
                self.clock.sleep(pause)
                continue
            limited = seconds_of_limit(answer, self.clock.now())
            if limited is not None and limited <= MAX_LIMIT_SECONDS:
                self.clock.sleep(max(limited, pause))
            elif limited is None and again and answer.status in LATER_STATUS:
                self.clock.sleep(pause)
            else:
                return answer
        try:
            return self._once(method, path, parameters, data, accept)
        except ConnectionError as error:
            raise unanswered(self.access, f"{method} {path}", error) from None

    def _once(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str | int] | None,
        data: Mapping[str, Any] | None,
        accept: str,
    ) -> Answer:
        """Send one request.

        Raises:
            ConnectionError: no answer, or not the whole of it.
        """
        from requests import exceptions

        headers = {
            "Accept": accept,
            "User-Agent": f"release-tool/{__version__}",
            "X-GitHub-Api-Version": API_VERSION,
        }
        try:
            with self._session.request(
                method,
                f"{self.access.api}/{path}",
                params=dict(parameters or {}),
                json=None if data is None else dict(data),
                headers=headers,
                # A hook of our own: another value for this host in a netrc file would replace a plain header.
                auth=self._authorise,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as answer:
                return Answer(
                    status=answer.status_code,
                    headers={key.lower(): value for key, value in answer.headers.items()},
                    content=self._content(answer),
                )
        except (exceptions.RequestException, OSError) as error:
            words = self.access.credentials.words_of(str(error)) or type(error).__name__
            raise ConnectionError(words) from error

    def _content(self, answer: Any) -> bytes:
        """Read an answer whole, in bounded time and memory."""
        found, began = bytearray(), self.clock.elapsed()
        for chunk in answer.iter_content(CHUNK_BYTES):
            found += chunk
            if len(found) > MAX_ANSWER_BYTES:
                raise ConnectionError(f"the answer is larger than {MAX_ANSWER_BYTES:,} bytes")
            if self.clock.elapsed() - began > WHOLE_SECONDS:
                raise ConnectionError(f"the answer was not complete within {WHOLE_SECONDS:.0f} s")
        return bytes(found)

    def _authorise(self, request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {self.access.credentials.token}"
        return request

    def _json(self, method: str, path: str, answer: Answer) -> Any:
        what = f"{method} {path}"
        if not 200 <= answer.status < 300:
            raise refusal(self.access, what, answer)
        return {} if answer.status == 204 else read_json(self.access, what, answer)
