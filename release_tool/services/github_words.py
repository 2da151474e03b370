"""What GitHub's API says, in this tool's own errors: refusals, rate limits, silence.

Sources: GitHub's REST documentation ("Troubleshooting the REST API", "Rate limits for the REST API"): a rate limit is a
403 or a 429, with ``retry-after``, or ``x-ratelimit-remaining: 0`` and the second in which it is filled again, or only
its own words; a resource that the token may not see is a 404; a repository that was renamed answers 301.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from release_tool.errors import Refused, RemoteFailed, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.services.secrets import Credentials

LATER_STATUS = frozenset({408, 500, 502, 503, 504})
LIMIT_STATUS = frozenset({403, 429})
LIMIT_SECONDS = 60.0
"""What the documentation asks to wait where a limit does not say when it ends."""
MAX_NUMBER = 12
"""Digits of a header's number."""
_LIMIT_WORDS = re.compile(r"rate limit|abuse detection", re.IGNORECASE)
_NO_PULL_REQUESTS = re.compile(r"not permitted to create", re.IGNORECASE)
_PERMISSIONS = re.compile(r"[a-z_]+=[a-z]+(?:[,;] ?[a-z_]+=[a-z]+){0,20}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the API is, and who asks."""

    api: str
    """Without a final slash."""
    credentials: Credentials = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer, read whole."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    content: bytes = field(repr=False)


def seconds_of_limit(answer: Answer, now: datetime) -> float | None:
    """Return how long a rate limit lasts; null where the answer is no rate limit."""
    if answer.status not in LIMIT_STATUS:
        return None
    after = answer.headers.get("retry-after", "")
    if after.isascii() and after.isdigit() and len(after) <= MAX_NUMBER:
        return float(after)
    if answer.headers.get("x-ratelimit-remaining") == "0":
        reset = answer.headers.get("x-ratelimit-reset", "")
        if reset.isascii() and reset.isdigit() and len(reset) <= MAX_NUMBER:
            # Nobody knows where in that second it happens.
            return max(0.0, float(reset) - now.timestamp()) + 1
        return LIMIT_SECONDS
    limited = answer.status == 429 or _LIMIT_WORDS.search(answer.content[:2000].decode(errors="replace"))
    return LIMIT_SECONDS if limited else None


def read_json(access: Access, what: str, answer: Answer) -> Any:
    """Return an answer's JSON.

    Raises:
        RemoteFailed: it is none.
    """
    try:
        data = json.loads(answer.content)
    except (ValueError, RecursionError):
        raise unanswered(access, what) from None
    if data is None:
        raise unanswered(access, what)
    return data


def unanswered(access: Access, what: str, error: Exception | None = None) -> Exception:
    """Return what it means that no answer came, or with no error: one that is not GitHub's."""
    if error is not None:
        return Unreachable(f"{access.api} did not answer {what}: {error}")
    return RemoteFailed(
        f"{access.api} does not answer {what} as GitHub's API would.",
        hint="Check GITHUB_API_URL: it is the address of the API itself, such as https://api.github.com.",
    )


def refusal(access: Access, what: str, answer: Answer) -> Exception:
    """Return what a status means."""
    status, said = answer.status, said_by(access, answer)
    words = f"({status})" + (f": {said}" if said else "")
    limited = seconds_of_limit(answer, datetime.now(UTC))
    if limited is not None:
        until = f"{limited / 60:.0f} min" if limited > 120 else f"{limited:.0f} s"
        return Unreachable(f"GitHub's rate limit is used up for {what} {words}", hint=f"Run again in {until}.")
    if status in LATER_STATUS or status >= 500:
        return Unreachable(f"GitHub can't answer {what} now {words}")
    return Refused(f"GitHub refuses {what} {words}", status=status, said=said, hint=_hint(access, answer, said))


def _hint(access: Access, answer: Answer, said: str) -> str | None:
    token = access.credentials.origin
    match answer.status:
        case 401:
            return f"{token} holds a token that GitHub does not know, or that has expired."
        case 403 if _NO_PULL_REQUESTS.search(said):
            return "Settings, Actions, General: let GitHub Actions create pull requests."
        case 403:
            needed = answer.headers.get("x-accepted-github-permissions", "")
            rights = f": {needed}" if _PERMISSIONS.fullmatch(needed) else ""
            return f"The token in {token} lacks a right{rights}. Check the job's permissions."
        case 404:
            return f"Check the name; the token in {token} may also not be allowed to see it."
        case status if 300 <= status < 400:
            return "It was renamed or moved: name it as it is called now, with --repository."
    return None


def said_by(access: Access, answer: Answer) -> str:
    """Return GitHub's words for a refusal as one line: its message, and every single error behind it."""
    try:
        data = json.loads(answer.content)
    except (ValueError, RecursionError):
        return access.credentials.words_of(answer.content[:5000].decode(errors="replace"))
    if not isinstance(data, dict):
        return ""
    found = [str(data.get("message") or "")]
    errors = data.get("errors")
    for error in errors[:10] if isinstance(errors, list) else [errors] if errors else []:
        if isinstance(error, dict):
            parts = (error.get("resource"), error.get("field"), error.get("code"))
            found.append(str(error.get("message") or " ".join(str(part) for part in parts if part)))
        else:
            found.append(str(error))
    return access.credentials.words_of("; ".join(part for part in found if part))
