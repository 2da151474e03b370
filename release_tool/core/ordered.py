"""Put an item where it belongs in a list that others keep, without moving any of theirs.

Laws (tests hold them): what is inserted may come in any order; a list that was in order stays so; and after
``put_back`` a list is what it would be had nothing been taken out of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

T = TypeVar("T")

_PART = re.compile(r"(\d+)")


def version_key(version: str) -> tuple[tuple[int, ...], int, tuple[tuple[int, str], ...], str]:
    """Return what versions are ordered by: 1.0.2 before 1.0.10, and 1.0.0b2 before 1.0.0."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    numbers = found[0] if found else ""
    rest = version[len(numbers) :]
    parts = tuple((int(part), "") if part.isdecimal() else (-1, part) for part in _PART.split(rest) if part)
    return tuple(int(part) for part in numbers.split(".") if part), 0 if rest else 1, parts, version


def text_key(text: str) -> str:
    """Return what names and formats are ordered by: themselves."""
    return text


def insert(items: Sequence[T], item: T, key: Callable[[T], object]) -> list[T]:
    """Return the list with an item before the first one that is greater; unchanged where it holds the item."""
    if item in items:
        return list(items)
    wanted = key(item)
    place = next((index for index, other in enumerate(items) if key(other) > wanted), len(items))  # type: ignore[operator]
    return [*items[:place], item, *items[place:]]


def insert_all(items: Sequence[T], more: Iterable[T], key: Callable[[T], object]) -> list[T]:
    """Return the list with every item of ``more`` in its place."""
    found = list(items)
    for item in more:
        found = insert(found, item, key)
    return found


def put_back(before: Sequence[T], now: Sequence[T], wanted: Collection[T], key: Callable[[T], object]) -> list[T]:
    """Return the wanted items: in their order of ``before``, and those that came since in their place.

    Args:
        before: the list as it was when something was taken out.
        now: the list as it is.
        wanted: what it is to hold.
        key: what items are ordered by.
    """
    return insert_all([item for item in before if item in wanted], [item for item in now if item in wanted], key)
