"""Answers of HTTP services as they arrive: bounded bodies, the error in them, how long they ask us to wait."""

from __future__ import annotations

import json
import math
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WHOLE_SECONDS = 600.0
MAX_BODY = 8 << 20
MAX_PAUSE = 600.0
"""Seconds that a server may make us wait with Retry-After."""


class Passing(Exception):
    """No answer this time; another try may have one."""

    def __init__(self, reason: str, *, pause: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.pause = pause
        """Seconds that the server asks us to wait."""


class Declined(Exception):
    """This question is refused; another try would be, too."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def body_of(chunks: Iterable[bytes]) -> Any:
    """Return the JSON of a body; null where it is none.

    Raises:
        Passing: it is too long, or it takes too long.
    """
    until, found = time.monotonic() + WHOLE_SECONDS, bytearray()
    for chunk in chunks:
        found += chunk
        if len(found) > MAX_BODY:
            raise Passing(f"the answer has more than {MAX_BODY:,} bytes")
        if time.monotonic() > until:
            raise Passing("no answer in time")
    try:
        return json.loads(found)
    except (ValueError, RecursionError):
        return None


def error_of(data: Any) -> dict[str, Any]:
    """Return the error in a body, as OpenAI words it; empty where there is none."""
    found = data.get("error", data) if isinstance(data, dict) else {}
    return found if isinstance(found, dict) else {"message": str(found)}


def count_of(found: Any, otherwise: int) -> int:
    """Return a number of tokens; another one where this is none."""
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else otherwise


def pause_of(value: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date, bounded; null where there is none."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_PAUSE) if math.isfinite(seconds) else None
