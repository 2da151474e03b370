"""Requests for what stands around a model in a cluster: pipelines, the indices that use them, and their fields."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.request import Request, segment

if TYPE_CHECKING:
    from collections.abc import Sequence

INDEX_KEYS = {
    "index.default_pipeline": "ingest",
    "index.final_pipeline": "ingest",
    "index.search.default_pipeline": "search",
}
"""Setting of an index → side of the pipeline that it names."""
NO_PIPELINE = "_none"
OPEN = "open,hidden"


class Side(StrEnum):
    """On which side of an index a pipeline works."""

    INGEST = "ingest"
    SEARCH = "search"


_PATHS = {Side.INGEST: "/_ingest/pipeline", Side.SEARCH: "/_search/pipeline"}


def get_pipelines(side: Side) -> Request:
    """Return the request for all pipelines of a side: name → body."""
    return Request(method="GET", path=_PATHS[side])


def get_pipeline(side: Side, name: str) -> Request:
    """Return the request for one pipeline; 404 where there is none."""
    return Request(method="GET", path=f"{_PATHS[side]}/{segment(name)}")


def put_pipeline(side: Side, name: str, body: dict[str, Any]) -> Request:
    """Return the request that replaces a pipeline; the cluster takes it as a whole, from one moment to the next."""
    return Request(method="PUT", path=f"{_PATHS[side]}/{segment(name)}", body=body)


def simulate(processors: Sequence[dict[str, Any]], document: dict[str, Any]) -> Request:
    """Return the request that runs processors on a document and stores nothing."""
    body = {"pipeline": {"processors": list(processors)}, "docs": [{"_source": document}]}
    return Request(method="POST", path="/_ingest/pipeline/_simulate", body=body)


def index_settings() -> Request:
    """Return the request for the pipelines that indices use by default; hidden indices too, closed ones not."""
    query = {"flat_settings": "true", "expand_wildcards": OPEN}
    return Request(method="GET", path=f"/_all/_settings/{','.join(INDEX_KEYS)}", query=query)


def mappings() -> Request:
    """Return the request for the fields of all indices; hidden ones too, closed ones not: they can't be searched."""
    return Request(method="GET", path="/_all/_mapping", query={"expand_wildcards": OPEN})


def count(index: str, field: str) -> Request:
    """Return the request for how many documents of an index have a field."""
    return Request(method="POST", path=f"/{segment(index)}/_count", body={"query": {"exists": {"field": field}}})


def count_all(index: str) -> Request:
    """Return the request for how many documents an index has."""
    return Request(method="POST", path=f"/{segment(index)}/_count", body={"query": {"match_all": {}}})


def search(index: str, body: dict[str, Any]) -> Request:
    """Return the request that searches an index."""
    return Request(method="POST", path=f"/{segment(index)}/_search", body=body)


def elsewhere() -> dict[str, Request]:
    """Return the requests for what else may name a model, by what it is; each may be unknown to a server."""
    scripts = {"filter_path": "metadata.stored_scripts"}
    everything = {"size": 1000, "query": {"match_all": {}}}
    return {
        "stored script": Request(method="GET", path="/_cluster/state/metadata", query=scripts),
        "index template": Request(method="GET", path="/_index_template"),
        "component template": Request(method="GET", path="/_component_template"),
        "template": Request(method="GET", path="/_template"),
        "agent": Request(method="POST", path="/_plugins/_ml/agents/_search", body=everything),
    }
