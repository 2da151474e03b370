"""The shapes that replies must have before anything is looked for in them: a server may write what it likes."""

from __future__ import annotations

from typing import Any


def table(value: Any) -> dict[str, Any]:
    """Return a JSON object; an empty one where it is something else."""
    return value if isinstance(value, dict) else {}


def inner(value: Any, *path: str) -> dict[str, Any]:
    """Return the JSON object at a path of keys; an empty one where there is none."""
    for key in path:
        value = table(value).get(key)
    return table(value)


def rows(value: Any) -> list[Any]:
    """Return a JSON array; an empty one where it is something else."""
    return value if isinstance(value, list) else []


def whole(value: Any) -> int:
    """Return a whole number; 0 where it is something else."""
    return value if isinstance(value, int) else 0
