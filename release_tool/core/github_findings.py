"""What a look at a repository's settings on GitHub found: one line a setting, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Seen(StrEnum):
    """What is known of a setting."""

    OK = "ok"
    NOTE = "note"
    """Nothing is open to anybody; something to know."""
    UNSEEN = "unseen"
    """The token may not see it, so nobody knows; never as good as fine."""
    MISSING = "missing"
    """It is not as it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One setting."""

    name: str
    level: Seen
    found: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Unseen:
    """Stands for an answer of GitHub's that the token did not get."""

    why: str


def unseen(name: str, what: Unseen) -> Finding:
    """Return that a setting can't be seen."""
    hint = "Ask with a token of an administrator: fine-grained, which may read"
    hint += " Actions, Administration, Environments, Secrets and Variables."
    return Finding(name=name, level=Seen.UNSEEN, found=f"can't be seen: {what.why}", hint=hint)


def judged(name: str, *, good: bool, found: str, hint: str) -> Finding:
    """Return that a setting is as it must be, or what to do."""
    return Finding(name=name, level=Seen.OK if good else Seen.MISSING, found=found, hint=None if good else hint)


def field(data: Any, *path: str) -> Any:
    """Return what lies at a path in JSON; null where something else lies there."""
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def objects(data: Any) -> tuple[dict[str, Any], ...]:
    """Return the objects of a list; none where it is no list."""
    return tuple(item for item in data if isinstance(item, dict)) if isinstance(data, list) else ()
