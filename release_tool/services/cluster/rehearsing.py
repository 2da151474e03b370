"""Run what a swap will switch with the new model, storing and switching nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from release_tool.core.ml.naming import processors, value_at, with_values
from release_tool.core.ml.pipelines import Side, search, simulate
from release_tool.core.ml.swap_fields import DENSE_TYPES, SPARSE_TYPES, enriched
from release_tool.errors import RemoteFailed
from release_tool.services.server_words import words_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.ml.swap import Change, Swap
    from release_tool.core.ml.swap_fields import Look
    from release_tool.services.cluster.sender import Sender

TEXT = "a text that is written nowhere"
UNDO = ("if", "ignore_failure", "on_failure", "tag", "description")
"""Settings of a processor that would hide what it does."""
MAPPED = frozenset({"text_embedding", "sparse_encoding"})
ENRICHER = "neural_query_enricher"
HINT = "Nothing was switched. Put right what the server says, and run ml swap again, or ml swap --rollback."


def rehearse(cluster: Sender, swap: Swap, seen: Look) -> int:
    """Return how many processors and queries were tried with the new model.

    Raises:
        RemoteFailed: one of them fails; nothing was switched.
        ServiceUnable, Unreachable: as the transport says.
    """
    tried = 0
    for change in swap.changes:
        body = seen.pipelines[change.side].get(change.name)
        if body is None:
            continue
        known = tuple(place for place in change.places if value_at(body, place) is not None)
        after = with_values(body, known, swap.new)
        tries = _ingest(change, after, swap) if change.side is Side.INGEST else _search(change, after, swap, seen)
        for what, request in tries:
            _try(cluster, what, request)
            tried += 1
    return tried


def _try(cluster: Sender, what: str, request: Any) -> None:
    try:
        reply = cluster.send(request)
    except RemoteFailed as error:
        raise RemoteFailed(f"With the new model, {what} fails: {error}", hint=HINT) from error
    for one in reply.get("docs") or ():
        if "error" in one:
            raise RemoteFailed(f"With the new model, {what} fails: {words_of(one)}", hint=HINT)


def _ingest(change: Change, after: Any, swap: Swap) -> Iterator[tuple[str, Any]]:
    """Yield a run of each processor alone: others of the pipeline may want what no made-up document has."""
    for _, kind, settings in processors(after):
        if kind not in MAPPED or not isinstance(settings, dict) or settings.get("model_id") != swap.new:
            continue
        document = sample(settings.get("field_map"))
        if document:
            bare = {key: value for key, value in settings.items() if key not in UNDO}
            yield f"{kind} of the ingest pipeline {change.name}", simulate([{kind: bare}], document)


def sample(field_map: Any) -> dict[str, Any]:
    """Return a document that has a text wherever a processor reads one; empty where that can't be told."""
    document: dict[str, Any] = {}
    for key, value in field_map.items() if isinstance(field_map, dict) else ():
        if str(key).startswith("_"):  # within a foreach: the item has no name
            return {}
        holder = document
        *above, last = str(key).split(".")
        for part in above:
            holder = holder.setdefault(part, {})
        holder[last] = TEXT if isinstance(value, str) else sample(value)
    return document


def _search(change: Change, after: Any, swap: Swap, seen: Look) -> Iterator[tuple[str, Any]]:
    """Yield a query through each enricher alone, on the fields of the indices that use the pipeline."""
    named = str(swap.new)
    for _, kind, settings in processors(after):
        if kind != ENRICHER:
            continue
        alone = {"request_processors": [{kind: settings}]}
        for index, used in seen.settings.items():
            if used.get("index.search.default_pipeline") != change.name:
                continue
            fields = seen.fields.get(index, {})
            vectors = {path for path, said in fields.items() if said.get("type") in DENSE_TYPES | SPARSE_TYPES}
            # A field inside of another may be a nested one, which is asked by another query.
            for path in (one for one in enriched(settings, named, vectors) if "." not in one):
                dense = fields[path].get("type") in DENSE_TYPES
                query = {"neural": {path: {"query_text": TEXT, "k": 1}}}
                if not dense:
                    query = {"neural_sparse": {path: {"query_text": TEXT}}}
                body = {"size": 1, "_source": False, "query": query, "search_pipeline": alone}
                yield f"a query on {path} of {index} through the search pipeline {change.name}", search(index, body)
