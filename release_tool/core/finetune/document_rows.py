"""A line of JSONL as a document, or the reason why it is none.

A row is an object with ``text``, a text that is not blank; an ``id``, a text or a whole number, and a ``title`` where
there are some. Other keys mean nothing here. What a part file could not hold, or a later stage not read, is refused.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from release_tool.core.finetune.records import Document

MAX_LINE_BYTES = 10 << 20
"""Bytes of a line, of which a document is one: longer ones are no texts that a model reads."""
MAX_ID = 512
"""Characters of an id: as long as OpenSearch takes them in bytes."""
ID_DIGITS = 32


class RowFault(ValueError):
    """A row can't be used; the text says why and shows nothing of the row."""

    def __init__(self, reason: str, ident: str | None = None) -> None:
        super().__init__(reason)
        self.ident = ident
        """The id of the row where it has one that can be shown."""


def document_of(line: bytes) -> Document:
    """Read a line.

    Raises:
        RowFault: it is no document.
    """
    try:
        data = json.loads(line.decode())
    except UnicodeDecodeError:
        raise RowFault("is not UTF-8") from None
    except (ValueError, RecursionError):  # also whole numbers of more than 4,300 digits
        raise RowFault("is no JSON") from None
    if not isinstance(data, dict):
        raise RowFault("is no object")
    return make_document(data.get("id"), data.get("title"), data.get("text"))


def make_document(ident: Any, title: Any, text: Any) -> Document:
    """Return a document of what a source gave for its three fields; null where it gave nothing.

    Raises:
        RowFault: one of them is not what it must be.
    """
    name = _id_of(ident)
    if text is None:
        raise RowFault("has no text", name)
    if not isinstance(text, str):
        raise RowFault("has a text that is no text", name)
    if title is not None and not isinstance(title, str):
        raise RowFault("has a title that is no text", name)
    for what, one in (("text", text), ("title", title or "")):
        problem = _problem(one)
        if problem:
            raise RowFault(f"has a {what} that {problem}", name)
    if not text.strip():
        raise RowFault("has a blank text", name)
    title = title if title and title.strip() else None
    return Document(id=name or id_of_text(title, text), text=text, title=title)


def id_of_text(title: str | None, text: str) -> str:
    """Return the id of a document that has none: its title and text decide."""
    return hashlib.sha256(f"{title or ''}\0{text}".encode()).hexdigest()[:ID_DIGITS]


def _id_of(ident: Any) -> str | None:
    if ident is None:
        return None
    if isinstance(ident, bool) or not isinstance(ident, (str, int)):
        raise RowFault("has an id that is neither a text nor a whole number")
    try:
        name = str(ident)
    except ValueError:  # more digits than Python writes
        raise RowFault("has an id that is too long") from None
    problem = "is too long" if len(name) > MAX_ID else _problem(name)
    if problem:
        raise RowFault(f"has an id that {problem}")
    if not name.strip():
        raise RowFault("has a blank id")
    return name


def _problem(text: str) -> str:
    """Say why a text can't be kept: NUL ends texts in C, a lone surrogate has no UTF-8; "" where it can."""
    if "\0" in text:
        return "holds NUL"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half a character (a lone surrogate)"
    return ""
