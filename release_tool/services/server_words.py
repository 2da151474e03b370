"""What a server's words say: one line of them, and whether they speak of its own state and not of what was asked.

A circuit breaker, a full queue or want of memory says nothing about an archive. Sources: ML Commons
``MLCircuitBreakerServiceImpl`` and ``MLModelManager`` for the breakers and the limits of a node, OpenSearch
``HierarchyCircuitBreakerService`` for the heap's, ``EsRejectedExecutionException``'s successor for full queues.
"""

from __future__ import annotations

import json
import re
from typing import Any

from release_tool.core.escape import one_line
from release_tool.errors import ServiceUnable

MAX_WORDS = 600
"""Characters of a server's message that are kept: Java puts whole stacks into some."""

UNABLE_STATUSES = frozenset({429, 503})
"""Too many requests (breakers, limits, full queues) and service unavailable: refused before any model was touched."""

_UNABLE = re.compile(
    r"circuit breaker is open|circuit_?breaking_?exception|data too large, data for|\boutofmemoryerror\b"
    r"|exceed max local model per node|rejected_?execution|node_?not_?connected|node_?disconnected"
    r"|model not ready yet|request is throttled|exceeded max (?:register|deploy|upload|load|ml) .{0,40}task",
    re.IGNORECASE,
)
_MEMORY = re.compile(r"memory|data too large|heap", re.IGNORECASE)
_DISK = re.compile(r"\bdisk\b", re.IGNORECASE)


def is_unable(words: str) -> bool:
    """Tell whether a failed task's words are about the node's own state."""
    return _UNABLE.search(words) is not None


def unable(message: str) -> ServiceUnable:
    """Return the error for a server that can't do its work now; its words in ``message`` choose the hint."""
    hint = None
    if _MEMORY.search(message):
        hint = "It lacks memory: end what else runs here or use a machine with more, then run again."
    elif _DISK.search(message):
        hint = "It lacks disk space: free some, then run again."
    return ServiceUnable(message, hint=hint)


def words_of(data: Any) -> str:
    """Return a server's error as one line: the reason where there is one, else everything, cut.

    A task's error is JSON text, node id → message; all of the messages are kept.
    """
    if isinstance(data, str):
        try:
            inner = json.loads(data)
        except (ValueError, RecursionError):
            return _cut(data)
        return words_of(inner) if isinstance(inner, dict) else _cut(data)
    if isinstance(data, dict):
        error = data.get("error", data)
        if isinstance(error, dict):
            causes = [error.get("reason"), (error.get("caused_by") or {}).get("reason")]
            reasons = [str(cause) for cause in causes if cause]
            if reasons:
                return _cut(": ".join(dict.fromkeys(reasons)))
            return _cut("; ".join(f"{key}: {value}" for key, value in error.items()))
        return _cut(str(error))
    return _cut(json.dumps(data))


def _cut(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= MAX_WORDS else line[:MAX_WORDS] + "…"
