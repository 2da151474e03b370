"""What is asked of an index to read all its documents as they were at one moment, and what its answers hold.

The moment is a point in time; pages follow each other by ``search_after`` over an order in which no two documents are
equal. OpenSearch adds no such order by itself: where it is missing, documents at the edge of a page get lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from release_tool.core.finetune.document_rows import RowFault, make_document
from release_tool.core.finetune.raw_rows import RawRow
from release_tool.core.ml.api import is_since
from release_tool.core.ml.request import Request, segment
from release_tool.core.ml.shapes import table, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from release_tool.core.finetune.records import Document

SHARD_DOC_SINCE = "3.3"
KEEP_ALIVE = "10m"
"""How long a page may take to be worked on; each page starts it anew."""
Order = list[dict[str, str]]
BY_SHARD: Order = [{"_shard_doc": "asc"}, {"_index": "asc"}]
"""The place in the index: nothing has to be sorted or loaded. Behind an alias every index counts its places anew, and
without the second key documents are lost (seen on 3.6)."""
BY_ID: Order = [{"_id": "asc"}, {"_index": "asc"}]
"""For older servers; two indexes behind an alias may know the same id."""


def order_of(version: str) -> Order:
    """Return the order that a server of this version can page by."""
    return BY_SHARD if is_since(version, SHARD_DOC_SINCE) else BY_ID


def open_point(index: str) -> Request:
    """Return the request for a point in time."""
    path = f"/{segment(index)}/_search/point_in_time"
    # By itself the server leaves out shards that don't answer, and says so nowhere.
    return Request(method="POST", path=path, query={"keep_alive": KEEP_ALIVE, "allow_partial_pit_creation": "false"})


def close_point(point: str) -> Request:
    """Return the request that ends a point in time."""
    return Request(method="DELETE", path="/_search/point_in_time", body={"pit_id": [point]})


def page(point: str, fields: Sequence[str], order: Order, after: list[Any] | None, size: int) -> Request:
    """Return the request for the page after a place."""
    body: dict[str, Any] = {
        "size": size,
        "query": {"match_all": {}},
        "_source": {"includes": list(fields)},
        "pit": {"id": point, "keep_alive": KEEP_ALIVE},
        "sort": order,
        "track_total_hits": False,
    }
    return Request(method="POST", path="/_search", body=body if after is None else {**body, "search_after": after})


def count(index: str) -> Request:
    """Return the request for the number of documents."""
    return Request(method="GET", path=f"/{segment(index)}/_count")


def stats(index: str) -> Request:
    """Return the request for what tells that an index was written to."""
    return Request(method="GET", path=f"/{segment(index)}/_stats/docs", query={"level": "shards"})


def written(reply: Any) -> tuple[str, ...]:
    """Return index, its uuid, shard and the number of its last write, for all shards of an answer to ``stats``."""
    found = []
    for name, index in table(table(reply).get("indices")).items():
        for shard, copies in table(table(index).get("shards")).items():
            numbers = [
                whole(table(table(copy).get("seq_no")).get("max_seq_no"))
                for copy in (copies if isinstance(copies, list) else ())
            ]
            found.append(f"{name} {table(index).get('uuid')} {shard} {max(numbers, default=-1)}")
    return tuple(sorted(found))


def hits_of(reply: Any) -> list[dict[str, Any]]:
    """Return the hits of a page."""
    hits = table(table(reply).get("hits")).get("hits")
    return [hit for hit in hits if isinstance(hit, dict)] if isinstance(hits, list) else []


def row_of(hit: dict[str, Any], index: str, fields: Sequence[str]) -> RawRow:
    """Return a hit as a row."""
    read: Document | RowFault
    try:
        read = make_document(hit.get("_id"), None, text_of(table(hit.get("_source")), fields))
    except RowFault as fault:
        read = fault
    return RawRow(where=index, line=0, read=read, size=1)


def text_of(source: dict[str, Any], fields: Sequence[str]) -> str | None:
    """Return the values of the fields, joined by one space in their order; null where none holds text."""
    return " ".join(text for field in fields for value in _values(source, field) for text in _texts(value)) or None


def _values(source: dict[str, Any], field: str) -> Iterator[Any]:
    """Yield what stands at a field: under its whole name, or in objects inside of objects."""
    for name, inner in source.items():
        if name == field:
            yield inner
        elif field.startswith(f"{name}."):
            for part in inner if isinstance(inner, list) else [inner]:
                yield from _values(table(part), field[len(name) + 1 :])


def _texts(value: Any) -> list[str]:
    """Return the texts of a value: lists are opened, numbers written, the rest holds none."""
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    if isinstance(value, str):
        return [value] if value.strip() else []
    return [str(value)] if isinstance(value, (int, float)) and not isinstance(value, bool) else []
