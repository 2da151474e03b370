"""The searches that look whether something is there already. Pure: bodies out, hits in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from release_tool.core.ml.api import search
from release_tool.core.ml.shapes import inner, rows, table

if TYPE_CHECKING:
    from release_tool.core.ml.request import Request

MAX_CHUNKS = 1000
"""More than an archive of 4 GiB has."""
MAX_HITS = 100
_NO_CHUNK = {"exists": {"field": "chunk_number"}}
_CONTENT = ["model_content", "content"]


def chunks(model_id: str) -> Request:
    """Return the search for the chunks of a model that have arrived."""
    query = {"bool": {"filter": [{"term": {"model_id": model_id}}, _NO_CHUNK]}}
    body = {"size": MAX_CHUNKS, "query": query, "_source": {"includes": ["chunk_number"], "excludes": _CONTENT}}
    return search("models", body)


def models_of_hash(sha256: str) -> Request:
    """Return the search for models with these bytes; chunks carry no hash, but other servers may differ."""
    query = {"bool": {"filter": [{"term": {"model_content_hash_value": sha256}}], "must_not": [_NO_CHUNK]}}
    return search("models", {"size": MAX_HITS, "query": query, "_source": {"excludes": _CONTENT}})


def models_of_name(name: str, **fields: str) -> Request:
    """Return the search for models of a name, with other fields as named."""
    terms = [{"term": {"name.keyword": name}}, *({"term": {key: value}} for key, value in fields.items())]
    query = {"bool": {"filter": terms, "must_not": [_NO_CHUNK]}}
    return search("models", {"size": MAX_HITS, "query": query, "_source": {"excludes": _CONTENT}})


def models_in_group(group_id: str) -> Request:
    """Return the search for the models of a group."""
    query = {"bool": {"filter": [{"term": {"model_group_id": group_id}}], "must_not": [_NO_CHUNK]}}
    return search("models", {"size": MAX_HITS, "query": query, "_source": {"includes": ["name"]}})


def models(text: str | None, state: str | None, function: str | None, size: int) -> Request:
    """Return the search of a person: by words of the name, state and function; chunks are no models."""
    terms: list[dict[str, Any]] = []
    if text:
        terms.append({"match": {"name": {"query": text, "operator": "and"}}})
    if state:
        terms.append({"term": {"model_state": state}})
    if function:
        terms.append({"term": {"algorithm": function}})
    query = {"bool": {"filter": terms, "must_not": [_NO_CHUNK]}}
    return search("models", {"size": size, "query": query, "_source": {"excludes": _CONTENT}})


def groups(name_or_id: str) -> Request:
    """Return the search for a model group by its id or its exact name."""
    wanted = [{"ids": {"values": [name_or_id]}}, {"term": {"name.keyword": name_or_id}}]
    return search("model_groups", {"size": 2, "query": {"bool": {"should": wanted, "minimum_should_match": 1}}})


def all_groups(text: str | None, size: int) -> Request:
    """Return the search of a person for groups, by words of the name."""
    query = {"match": {"name": {"query": text, "operator": "and"}}} if text else {"match_all": {}}
    return search("model_groups", {"size": size, "query": query})


def hits(reply: Any) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Return id and source of each hit."""
    found = map(table, rows(inner(reply, "hits").get("hits")))
    return tuple((str(hit["_id"]), table(hit.get("_source"))) for hit in found if "_id" in hit)


def chunk_numbers(reply: Any) -> frozenset[int]:
    """Return the places of the chunks that have arrived."""
    return frozenset(int(source["chunk_number"]) for _, source in hits(reply) if "chunk_number" in source)
