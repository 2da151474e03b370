"""One request to an OpenAI-compatible service, and what its answer means. Waiting and trying again are others' matter.

Services differ in what they take: newer models of OpenAI refuse ``max_tokens`` and any temperature, older servers
refuse a JSON schema. Such a refusal names the parameter; it is sent otherwise, or no more, from then on.

The key is in a header and nowhere else: not in an address, a log, a message or a file.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.core.finetune.answers import answer_schema
from release_tool.core.finetune.money import tokens_of
from release_tool.core.quantity import clip
from release_tool.errors import RemoteFailed, UsageError
from release_tool.services.finetune.paid import PaidAnswer
from release_tool.services.finetune.replies import Declined, Passing, body_of, count_of, error_of, pause_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.finetune.sections import QueriesSection
    from release_tool.core.finetune.writing import Question

CHAT = "chat/completions"
CONNECT_SECONDS = 20.0
READ_SECONDS = 180.0
"""Of silence: a long answer comes at once, after all of it was written."""
CHUNK = 1 << 16
MAX_WORDS = 120
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses that pass: too many requests, and a server that can't just now."""
NO_CREDIT = ("insufficient_quota", "billing_hard_limit_reached")
SPELLINGS = {"max_tokens": "max_completion_tokens"}
"""Parameter → its other name."""
GIVEN_UP = ("temperature", "response_format")
"""Parameters that a service may do without."""


@dataclass
class ChatService:
    """A service, and what was found out about the parameters that it takes."""

    section: QueriesSection
    key: str | None = field(default=None, repr=False)
    read_seconds: float = READ_SECONDS
    _unwanted: set[str] = field(default_factory=set, init=False)
    _threads: threading.local = field(default_factory=threading.local, init=False, repr=False)

    @property
    def address(self) -> str:
        """Without a final slash."""
        return self.section.endpoint.rstrip("/")

    def parameters(self) -> dict[str, Any]:
        """Return what decides an answer beside model and messages, whatever the service leaves out of it."""
        return {"temperature": self.section.temperature, "max_tokens": self.section.max_tokens, "format": "json_schema"}

    def body_of(self, question: Question) -> dict[str, Any]:
        """Return the body of a question, in the words that this service takes."""
        schema = {"name": "queries", "strict": True, "schema": answer_schema(question.n)}
        whole: dict[str, Any] = {
            "model": self.section.model,
            "messages": list(question.messages),
            "temperature": self.section.temperature,
            "max_tokens": self.section.max_tokens,
            "response_format": {"type": "json_schema", "json_schema": schema},
        }
        body = {}
        for name, value in whole.items():
            if name not in self._unwanted:
                body[name] = value
            elif name in SPELLINGS:
                body[SPELLINGS[name]] = value
        return body

    def ask(self, question: Question) -> PaidAnswer:
        """Ask once; a parameter that the service does not take is told apart and costs no try.

        Raises:
            Passing: no answer this time.
            Declined: none for this question.
            UsageError: the service refuses the key, the model or the address.
            RemoteFailed: it has no credit left, or sends us elsewhere.
        """
        while True:
            body = self.body_of(question)
            status, headers, data = self.send("POST", CHAT, body)
            if status in (400, 422) and self._learn(error_of(data), body):
                continue
            if status != 200:
                self.refuse(status, headers, data)
            return self.answer_in(data, tokens_of(question.system) + tokens_of(question.prompt))

    def answer_in(self, data: Any, sent: int) -> PaidAnswer:
        """Return the answer in the body of a response.

        Args:
            data: the body.
            sent: about how many tokens the question has, for services that don't count.

        Raises:
            Passing: it is no body of a chat completion.
        """
        if not isinstance(data, dict) or not isinstance(data.get("choices"), list):
            raise Passing("the answer is no chat completion")
        first = data["choices"][0] if data["choices"] else None
        message = first.get("message") if isinstance(first, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        raw = content if isinstance(content, str) else ""
        usage: Any = data.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        return PaidAnswer(
            raw=raw,
            tokens_in=count_of(usage.get("prompt_tokens"), sent),
            tokens_out=count_of(usage.get("completion_tokens"), tokens_of(raw)),
            model=clip(one_line(data["model"]), MAX_WORDS) if isinstance(data.get("model"), str) else "",
        )

    def _learn(self, error: dict[str, Any], body: dict[str, Any]) -> bool:
        """Take note of a parameter that a refusal names; tell whether the question is worth asking otherwise."""
        said = f"{error.get('param') or ''} {error.get('message') or ''}"
        for name in (*SPELLINGS, *GIVEN_UP):
            if name in body and re.search(
                rf"\b{name}\b|\bjson_schema\b" if name == GIVEN_UP[1] else rf"\b{name}\b", said
            ):
                self._unwanted.add(name)
                return True
        return False

    def refuse(self, status: int, headers: dict[str, str], data: Any) -> None:
        """Raise what a status that is no success means.

        Raises:
            Passing: it passes.
            Declined: it concerns this question.
            UsageError: it concerns all of them, and is for the user to mend.
            RemoteFailed: it concerns all of them.
        """
        error = error_of(data)
        said = self.words(error.get("message") or error.get("code") or "")
        if error.get("code") in NO_CREDIT or error.get("type") in NO_CREDIT or status == 402:
            raise RemoteFailed(f"{self.address} has no credit left: {said}", hint="What was answered is kept.")
        if status in PASSING or status >= 500:
            raise Passing(f"status {status}", pause=pause_of(headers.get("retry-after")))
        if status in (401, 403):
            raise UsageError(
                f"{self.address} refuses the key ({status}): {said}",
                hint=f"Put the key of this service into the environment variable {self.section.key_variable}.",
            )
        if status in (404, 405):
            raise UsageError(
                f"{self.address} does not know the model {clip(one_line(self.section.model), MAX_WORDS)}, or the path "
                f"{CHAT} ({status}): {said}",
                hint="queries.endpoint is the address up to /v1; queries.model is a name that the service knows.",
            )
        if 300 <= status < 400:
            raise RemoteFailed(
                f"{self.address} sends to another address ({status}).", hint="Name that at queries.endpoint."
            )
        kind = error.get("code") or error.get("type")
        raise Declined(
            f"status {status}, {clip(one_line(kind), MAX_WORDS)}" if isinstance(kind, str) else f"status {status}"
        )

    def send(self, method: str, path: str, body: Any = None, **how: Any) -> tuple[int, dict[str, str], Any]:
        """Send one request; return status, headers in lower case, and the JSON of the answer, null where it is none.

        Raises:
            Passing: the connection failed or was cut, or it took too long.
        """
        import requests

        if body is not None:
            how["data"] = json.dumps(body, ensure_ascii=True, allow_nan=False).encode()
            how["headers"] = {"Content-Type": "application/json"}
        try:
            with self._request(method, path, **how) as answer:
                found = body_of(answer.iter_content(CHUNK))
                return answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, found
        except requests.exceptions.ConnectionError as error:
            raise Passing("no connection") from error
        except requests.exceptions.Timeout as error:
            raise Passing("no answer in time") from error
        except (requests.exceptions.RequestException, OSError) as error:
            raise Passing(f"the answer was cut ({type(error).__name__})") from error

    def download(self, path: str, longest: int) -> Iterator[bytes]:
        """Yield the lines of a file of the service, however large it is; longer lines are passed over.

        Raises:
            Passing: the connection failed or was cut, or the service can't just now.
            RemoteFailed: it refuses.
        """
        import requests

        try:
            with self._request("GET", path) as answer:
                if answer.status_code != 200:
                    self.refuse(answer.status_code, {}, None)
                held = b""
                for chunk in answer.iter_content(CHUNK):
                    *lines, held = (held + chunk).split(b"\n")
                    yield from (line for line in lines if len(line) <= longest)
                    held = held[: longest + 1]
                if len(held) <= longest:
                    yield held
        except (requests.exceptions.RequestException, OSError) as error:
            raise Passing(f"the answer was cut ({type(error).__name__})") from error

    def words(self, text: Any) -> str:
        """Return what the service says, on one short line and without the key."""
        line = one_line(str(text))
        return clip(line.replace(self.key, "***") if self.key else line, MAX_WORDS)

    def _request(self, method: str, path: str, **how: Any) -> Any:
        """Send a request with this thread's session, and return the answer as it comes in."""
        import requests

        if not hasattr(self._threads, "session"):
            self._threads.session = requests.Session()
        return self._threads.session.request(
            method,
            f"{self.address}/{path}",
            auth=self._authorise,
            timeout=(CONNECT_SECONDS, self.read_seconds),
            allow_redirects=False,
            stream=True,
            **how,
        )

    def _authorise(self, request: Any) -> Any:
        # Also without a key: requests would take one out of a netrc file.
        if self.key:
            request.headers["Authorization"] = f"Bearer {self.key}"
        return request
