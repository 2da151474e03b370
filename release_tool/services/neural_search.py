"""Prove a sparse encoder where it is used: an ingest pipeline writes the tokens, a neural_sparse query finds them.

Predict alone would not show that the field takes the tokens as they are named, nor that query and documents meet.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.errors import RemoteFailed, Unreachable
from release_tool.services.node_ring import deployed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from release_tool.console import Console
    from release_tool.core.bundle import Config
    from release_tool.services.mlcommons import Client
    from release_tool.services.node import Node

FIELD = "embedding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A document that a query found."""

    document: int
    """Its place among the documents that were given."""
    score: float
    expected: float
    """The dot product of the query's and the document's token weights as predict gives them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """What one query found, best first."""

    query: str
    hits: tuple[Hit, ...]


def neural_search_check(
    node: Node, archive: Path, config: Config, *, documents: Sequence[str], queries: Sequence[str], console: Console
) -> tuple[Ranking, ...]:
    """Index documents through a ``sparse_encoding`` processor and ask ``neural_sparse`` queries by model id.

    Args:
        node: a running one.
        archive: a sparse encoder.
        config: its config.json.
        documents: texts to index.
        queries: texts to search with; a model that gives more than 1,024 tokens for one is refused by the server.
        console: for warnings.

    Returns:
        A ranking for each query. The scores differ from ``expected`` by what rank_features keeps of a weight: 9 bits
        of its significand, so less than 0.4 %.

    Raises:
        RemoteFailed: the node refused a part; its words are in the message.
        Unreachable: no answer.
    """
    with node.client() as client, deployed(client, archive, config, console) as model_id:
        name = f"release-tool-{secrets.token_hex(6)}"
        try:
            _index(client, model_id, name, documents)
            weights = [_weights(client, model_id, text) for text in documents]
            return tuple(_search(client, model_id, name, query, weights) for query in queries)
        finally:
            for path in (f"/{name}", f"/_ingest/pipeline/{name}"):
                with suppress(RemoteFailed, Unreachable):
                    client.request("DELETE", path)


def _index(client: Client, model_id: str, name: str, documents: Sequence[str]) -> None:
    processor = {"sparse_encoding": {"model_id": model_id, "field_map": {"text": FIELD}}}
    client.request("PUT", f"/_ingest/pipeline/{name}", {"processors": [processor]})
    properties = {"text": {"type": "text"}, FIELD: {"type": "rank_features"}}
    settings = {"index": {"number_of_shards": 1, "number_of_replicas": 0}, "default_pipeline": name}
    client.request("PUT", f"/{name}", {"settings": settings, "mappings": {"properties": properties}})
    lines: list[dict[str, Any]] = []
    for number, text in enumerate(documents):
        lines += [{"index": {"_id": str(number)}}, {"text": text}]
    reply = client.bulk(name, lines)
    if reply.get("errors"):
        refused = [item["index"]["error"] for item in reply["items"] if "error" in item["index"]]
        raise RemoteFailed(f"The pipeline refused {len(refused)} documents: {refused[0].get('reason')}")


def _weights(client: Client, model_id: str, text: str) -> dict[str, float]:
    reply = client.predict(model_id, {"text_docs": [text]})
    found: dict[str, float] = reply[0]["output"][0]["dataAsMap"]["response"][0]
    return found


def _search(client: Client, model_id: str, name: str, query: str, weights: list[dict[str, float]]) -> Ranking:
    clause = {"neural_sparse": {FIELD: {"query_text": query, "model_id": model_id}}}
    reply = client.request("POST", f"/{name}/_search", {"size": len(weights), "_source": False, "query": clause})
    asked = _weights(client, model_id, query)
    hits = []
    for item in reply["hits"]["hits"]:
        number = int(item["_id"])
        expected = sum(weight * weights[number].get(token, 0.0) for token, weight in asked.items())
        hits.append(Hit(document=number, score=float(item["_score"]), expected=expected))
    return Ranking(query=query, hits=tuple(hits))
