"""Read the queries out of an answer, whoever wrote it.

What is asked for is ``{"queries": [...]}``. Models also send bare lists, fences of Markdown and words around the JSON:
all of these are read. Nothing else is guessed at: lines of prose would become queries.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from release_tool.core.escape import one_line

MAX_QUERY = 512
"""Characters: eight times the longest question that people type; longer ones are no query."""
MAX_ANSWER = 1_000_000
"""Characters of an answer that are looked at."""
MAX_STARTS = 64
"""Brackets in the prose around at which JSON is looked for."""
WORDS = ("queries", "questions")
_START = re.compile(r"[\[{]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What an answer holds."""

    queries: tuple[str, ...] = ()
    problem: str = ""
    """Why there are none; "" where there are some."""


def answer_schema(n: int) -> dict[str, Any]:
    """Return the JSON schema of an answer with n queries."""
    texts = {"type": "array", "items": {"type": "string"}, "minItems": n, "maxItems": n}
    return {
        "type": "object",
        "properties": {"queries": texts},
        "required": ["queries"],
        "additionalProperties": False,
    }


def parse_answer(raw: str, n: int) -> Parsed:
    """Return the queries of an answer: one line each, none twice, at most n. Never raises."""
    text = raw[:MAX_ANSWER]
    found = _json_with_queries(text)
    if found is None:
        return Parsed(problem="no JSON with queries" if text.strip() else "empty answer")
    kept: dict[str, None] = {}
    for one in found:
        query = one_line(one) if isinstance(one, str) else ""
        if query and len(query) <= MAX_QUERY:
            kept.setdefault(query)
    queries = tuple(kept)[:n]
    return Parsed(queries=queries) if queries else Parsed(problem="JSON without a usable query")


def _json_with_queries(text: str) -> list[Any] | None:
    """Return the first list of queries in a text: of an object, or bare."""
    bare: list[Any] | None = None
    decoder, at = json.JSONDecoder(), 0
    for _ in range(MAX_STARTS):
        start = _START.search(text, at)
        if start is None:
            break
        try:
            value, at = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            at = start.end()
            continue
        found = _listed(value)
        if found is not None and isinstance(value, dict):
            return found
        if bare is None and found and all(isinstance(one, str) for one in found):
            bare = found
    return bare


def _listed(value: Any) -> list[Any] | None:
    if isinstance(value, dict):
        value = next((value[word] for word in WORDS if isinstance(value.get(word), list)), None)
    return value if isinstance(value, list) else None
