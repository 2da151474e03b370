"""A request of a cluster's HTTP interface as a value: builders make it, the transport sends it, people may read it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

JSON_TYPE = "application/json"
LINES_TYPE = "application/x-ndjson"
BYTES_TYPE = "application/json"
"""The server refuses octet-stream with 406; it looks at no byte of a chunk (seen on 3.6)."""

_HARMLESS_ENDS = ("/_predict", "/_search", "/_msearch", "/_refresh", "/_count", "/_analyze")
"""Ends of paths that are asked by POST and change nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. At most one of ``body``, ``lines`` and ``content`` is given."""

    method: str
    path: str
    """Begins with a slash; ids in it are escaped (see ``segment``)."""
    body: dict[str, Any] | None = None
    """A JSON object. The order of its keys is sent as it stands: ML Commons reads model_config by what came before."""
    lines: tuple[dict[str, Any], ...] | None = None
    """JSON objects, one a line, as ``_bulk`` wants them."""
    query: dict[str, str] = field(default_factory=dict)
    content: bytes | None = field(default=None, repr=False)
    """Raw bytes: a chunk of an archive."""

    @property
    def target(self) -> str:
        """The path with its query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        # A chunk is a document of its own: the second one replaces the first.
        return self.method in {"GET", "HEAD"} or self.content is not None or self.path.endswith(_HARMLESS_ENDS)

    @property
    def content_type(self) -> str | None:
        """The type of the payload; null where there is none."""
        if self.body is not None:
            return JSON_TYPE
        if self.lines is not None:
            return LINES_TYPE
        return None if self.content is None else BYTES_TYPE

    def payload(self) -> bytes | None:
        """Return the bytes that are sent."""
        if self.body is not None:
            return json_bytes(self.body)
        if self.lines is not None:
            return b"".join(json_bytes(line) + b"\n" for line in self.lines)
        return self.content


def json_bytes(value: Any) -> bytes:
    """Return JSON in UTF-8; what UTF-8 can't hold (lone surrogates) is sent by JSON's own escapes."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def segment(text: str) -> str:
    """Return an id or a name as one segment of a path: nothing in it can lead to another path."""
    quoted = quote(text, safe="")
    # A path's own two words can't be escaped by quote.
    return quoted.replace(".", "%2E") if quoted in {".", ".."} else quoted
