"""A JSON list of objects, each with the very text that it was read from.

Ledger and listings are such files, thousands of objects long, of which a release changes one or two. What is not
changed is written back as it was, byte for byte, and costs nothing to write; a file of another layout than
``json.dump`` makes is read one object at a time, which also tells where a broken one is broken.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
SPACE = " \t\r\n"


class Fault(ValueError):
    """A text is no list of objects; it says which object, which line, and what is wrong."""

    def __init__(self, what: str, item: int, line: int) -> None:
        super().__init__(what)
        self.item = item
        self.line = line


@dataclass(frozen=True, slots=True)
class Item:
    """One object of the list."""

    data: Mapping[str, Any]
    source: str | None = None
    """The file that it was read from; null for one that was made or changed here."""
    start: int = 0
    end: int = 0

    @property
    def text(self) -> str | None:
        """As it stands in the file."""
        return None if self.source is None else self.source[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Style:
    """How a file is written."""

    indent: int
    """Spaces a level; 0 where everything stands on one line."""
    ascii_only: bool = True
    """Whether other characters are escaped."""
    end: str = "\n"
    """What stands behind the list."""
    mark: str = ""
    """A byte order mark, where there is one."""
    tight: bool = False
    """On one line: whether no space stands after commas and colons."""


def style_of(text: str, usual: Style) -> Style:
    """Return how a file is written; where it has no object to tell by, as usual."""
    mark = BOM if text.startswith(BOM) else ""
    body = text[len(mark) :].rstrip(SPACE)
    ascii_only = usual.ascii_only and body.isascii()
    end = text[len(mark) + len(body) :]
    if "\n" not in body and "{" in body:
        return Style(0, ascii_only, end, mark, tight='": ' not in body)
    indent = next((spaces for spaces in (2, 4) if body.startswith("[\n" + " " * spaces + "{")), usual.indent)
    return Style(indent, ascii_only, end, mark)


def render(items: Sequence[Item], style: Style) -> str:
    """Return the file."""
    if not style.indent or not items:
        head, between, tail = "[", "," if style.tight else ", ", "]"
    else:
        gap = "\n" + " " * style.indent
        head, between, tail = "[" + gap, "," + gap, "\n]"
    pieces = [style.mark, head, *_pieces(items, between, style), tail, style.end]
    return "".join(pieces)


def _pieces(items: Sequence[Item], between: str, style: Style) -> Iterator[str]:
    """Yield all objects and what stands between them; what stands together in the file is copied together."""
    source: str | None = None
    start = end = 0
    for number, item in enumerate(items):
        if source is not None and item.source is source and source[end : item.start] == between:
            end = item.end
            continue
        if source is not None:
            yield source[start:end]
        if number:
            yield between
        source, start, end = item.source, item.start, item.end
        if source is None:
            yield item_text(item.data, style)
    if source is not None:
        yield source[start:end]


def item_text(data: Mapping[str, Any], style: Style) -> str:
    """Return an object as it stands in the file, one level deep."""
    if not style.indent:
        signs = (",", ":") if style.tight else (", ", ": ")
        return json.dumps(data, separators=signs, ensure_ascii=style.ascii_only, allow_nan=False)
    text = json.dumps(data, indent=style.indent, ensure_ascii=style.ascii_only, allow_nan=False)
    return text.replace("\n", "\n" + " " * style.indent)


T = TypeVar("T", bound=Item)


def parse(text: str, make: type[T], *, deep: bool) -> tuple[T, ...]:
    """Read the file.

    Args:
        text: of the file.
        make: what an object becomes.
        deep: whether objects inside of objects matter: a name given twice in one of them is refused, too.

    Raises:
        Fault: it is no list of objects, or a name is given twice in one.
    """
    for indent in (4, 2):
        found = _as_dumped(text, indent, make, deep=deep)
        if found is not None:
            return found
    return _one_by_one(text, make)


def _as_dumped(text: str, indent: int, make: type[T], *, deep: bool) -> tuple[T, ...] | None:
    """Read a file as ``json.dump`` lays it out; null for another one, or one with anything wrong in it.

    Objects are told apart by their line breaks, which no text of JSON can hold, so all are parsed at once and in C.
    """
    gap = "\n" + " " * indent
    inner = gap + " " * indent + '"'
    if not text.startswith("[" + gap + "{" + inner):
        return None
    decoder = json.JSONDecoder(object_pairs_hook=_no_repeats if deep else None, parse_constant=_no_constant)
    try:
        found, end = decoder.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    if _skip(text, end) != len(text) or not text.endswith(gap + "}\n]", 0, end):
        return None
    items: list[T] = []
    start, between = 1 + len(gap), gap + "}," + gap
    for one in found:
        stop = text.find(between, start, end)
        stop = end - 2 if stop < 0 else stop + len(gap) + 1
        # A name given twice leaves fewer values than there are lines.
        if not isinstance(one, dict) or text.count(inner, start, stop) != len(one):
            return None
        items.append(make(one, text, start, stop))
        start = stop + 1 + len(gap)
    return tuple(items) if items[-1].end == end - 2 else None


def _one_by_one(text: str, make: type[T]) -> tuple[T, ...]:
    decoder = json.JSONDecoder(object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    items: list[T] = []
    at = _skip(text, len(BOM) if text.startswith(BOM) else 0)
    try:
        at = _take(text, at, "[")
        while not text.startswith("]", at):
            if items:
                at = _take(text, at, ",")
            found, end = decoder.raw_decode(text, at)
            if not isinstance(found, dict):
                raise _Wrong("it is no object", at)  # noqa: TRY301 - told with its place below
            items.append(make(found, text, at, end))
            at = _skip(text, end)
        at = _skip(text, at + 1)
        if at != len(text):
            raise _Wrong("something stands after the list", at)  # noqa: TRY301 - the same
    except (_Wrong, ValueError, RecursionError) as error:
        where = error.at if isinstance(error, _Wrong) else getattr(error, "pos", at)
        what = getattr(error, "msg", None) or str(error)
        raise Fault(what, len(items) + 1, text.count("\n", 0, where) + 1) from error
    return tuple(items)


class _Wrong(Exception):
    def __init__(self, what: str, at: int) -> None:
        super().__init__(what)
        self.at = at


def _take(text: str, at: int, sign: str) -> int:
    if not text.startswith(sign, at):
        raise _Wrong(f"{sign!r} is missing here", at)
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice in it")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")
