"""The lines of a user's own queries: JSON with a text, and perhaps an id and the document that answers it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from release_tool.core.escape import one_line
from release_tool.core.finetune.answers import MAX_QUERY
from release_tool.core.finetune.document_rows import MAX_ID as MAX_DOCUMENT_ID
from release_tool.errors import UsageError

WORDS = ("text", "query", "anchor")
ID_WORDS = ("id", "_id")
MAX_ID = 200
HINT = 'A line is {"text": "..."} (or "query", or "anchor"), with "id" and "document" where they are known.'


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnQuery:
    """One line."""

    text: str
    """On one line."""
    id: str | None = None
    document: str | None = None
    """Id of the document that answers it."""


def query_row(line: bytes, where: str) -> OwnQuery:
    """Read one line.

    Raises:
        UsageError: it is no object with a text of bounded length.
    """
    try:
        data: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: it is no JSON object.", hint=HINT) from error
    if not isinstance(data, dict):
        raise UsageError(f"{where}: it is no JSON object.", hint=HINT)
    text = next((data[word] for word in WORDS if isinstance(data.get(word), str)), None)
    text = one_line(text) if text is not None else ""
    if not text or len(text) > MAX_QUERY:
        raise UsageError(f"{where}: it has no text of 1 to {MAX_QUERY} characters.", hint=HINT)
    name = next((data[word] for word in ID_WORDS if data.get(word) is not None), None)
    ident, document = _text(name), _text(data.get("document"))
    if ident is not None and (not isinstance(ident, str) or not 0 < len(ident) <= MAX_ID or not ident.isprintable()):
        raise UsageError(f"{where}: its id is no text of 1 to {MAX_ID} printable characters.", hint=HINT)
    # Whatever the corpus takes for an id of a document, a query may name.
    if document is not None and (not isinstance(document, str) or not 0 < len(document) <= MAX_DOCUMENT_ID):
        raise UsageError(f"{where}: its document is no id of 1 to {MAX_DOCUMENT_ID} characters.", hint=HINT)
    return OwnQuery(text=text, id=ident, document=document)


def _text(value: Any) -> Any:
    """Return an id as text: whole numbers are written."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
