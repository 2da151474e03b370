"""An OpenSearch that is older, short of memory, forbidding or odd: nothing is lost unsaid, nor asked for ever."""

from __future__ import annotations

import json

import pytest
from http_double import AnswersAll, Double

from release_tool.core.finetune.records import Document
from release_tool.core.ml.clusters import of_url
from release_tool.errors import RemoteFailed, ServiceUnable, SourceError, Unreachable
from release_tool.services.cluster.transport import Cluster
from release_tool.services.finetune.index_documents import SMALLEST_PAGE, IndexDocuments

COUNT = 45


class Handler(AnswersAll):
    def answer(self):
        body = json.loads(self.body() or "{}")
        self.double.got.append((self.command, self.path, body))
        status, data = self.double.reply(self.command, self.path.partition("?")[0], body)
        if status == 0:
            self.cut()
            return
        self.send(status, json.dumps(data).encode(), "application/json")


class Index(Double):
    """An index of ``COUNT`` documents on a server whose faults are set by a test."""

    def __init__(self):
        super().__init__(Handler)
        self.got, self.version, self.largest, self.odd = [], "3.6.0", 10_000, {}
        self.count, self.text = COUNT, "text"

    def reply(self, method, path, body):
        for (word, part), reply in self.odd.items():
            if method == word and part in path:
                return reply
        if path == "/_search":
            return self.page(body)
        fixed = {
            "/": {"version": {"number": self.version, "distribution": "opensearch"}},
            "/docs/_count": {"count": COUNT},
            "/docs/_search/point_in_time": {"pit_id": "POINT"},
            "/_search/point_in_time": {"pits": []},
        }
        if path in fixed:
            return 200, fixed[path]
        return 403, {"error": {"type": "security_exception", "reason": "no permissions"}, "status": 403}

    def page(self, body):
        if body["size"] > self.largest:
            return 429, {"error": {"type": "circuit_breaking_exception", "reason": "[parent] Data too large"}}
        start = body.get("search_after", [0])[0]
        hits = [
            {"_id": str(number), "_source": {"content": f"{self.text} {number}"}, "sort": [number + 1, "x"]}
            for number in range(start, min(start + body["size"], self.count))
        ]
        return 200, {"_shards": {"total": 1, "failed": 0}, "timed_out": False, "hits": {"hits": hits}}

    def pages(self):
        return [body for method, path, body in self.got if path == "/_search"]


@pytest.fixture
def server():
    with Index() as running:
        yield running


@pytest.fixture
def source(server):
    with Cluster(of_url(server.address, has_user=False), {}, pauses=()) as cluster:
        yield IndexDocuments(cluster, "docs", ("content",), size=20)


def ids(source):
    return [row.read.id if isinstance(row.read, Document) else row.read.ident for row in source.rows()]


ALL = [str(number) for number in range(COUNT)]


@pytest.mark.parametrize(
    ("version", "first"), [("2.4.0", "_id"), ("3.2.9", "_id"), ("3.3.0", "_shard_doc"), ("3.10.1", "_shard_doc")]
)
def test_an_older_server_is_paged_by_id(server, source, version, first):
    server.version = version
    assert ids(source) == ALL
    assert {next(iter(page["sort"][0])) for page in server.pages()} == {first}
    assert all(page["pit"]["id"] == "POINT" for page in server.pages())
    assert server.got[-1] == ("DELETE", "/_search/point_in_time", {"pit_id": ["POINT"]})
    (opened,) = [path for method, path, _ in server.got if method == "POST" and path.startswith("/docs/")]
    assert "allow_partial_pit_creation=false" in opened


def test_a_server_without_memory_is_asked_for_smaller_pages(server, source):
    server.largest = 12
    assert ids(source) == ALL
    assert [page["size"] for page in server.pages()][:2] == [20, SMALLEST_PAGE]


@pytest.mark.parametrize(("letters", "sizes"), [(10, [100, 200, 400, 800, 1000]), (100_000, [100, 50, 50, 50, 50])])
def test_pages_grow_with_small_documents_and_shrink_with_large_ones(server, letters, sizes):
    server.count, server.text = 2000, "x" * letters
    with Cluster(of_url(server.address, has_user=False), {}, pauses=()) as cluster:
        rows = IndexDocuments(cluster, "docs", ("content",)).rows()
        for _ in range(len(sizes) * 60 if letters > 10 else 2000):
            next(rows)
        rows.close()
    assert [page["size"] for page in server.pages()][: len(sizes)] == sizes


def test_a_server_that_has_no_memory_at_all_ends_it_and_the_point_in_time(server, source):
    server.largest = 1
    with pytest.raises(ServiceUnable):
        ids(source)
    assert server.got[-1][0] == "DELETE"


NO_CONTEXT = {"error": {"type": "search_phase_execution_exception", "reason": "No search context found"}}


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        ((200, {"_shards": {"failed": 1}, "hits": {"hits": []}}), RemoteFailed, "1 shards of docs .* did not answer"),
        ((200, {"timed_out": True, "hits": {"hits": []}}), RemoteFailed, "did not answer"),
        ((200, {"hits": {"hits": [{"_id": "1", "_source": {}}]}}), RemoteFailed, "where the next page begins"),
        ((200, {"hits": {"hits": [{"_id": "1", "sort": [1]}]}}), RemoteFailed, "where the next page begins"),
        ((404, NO_CONTEXT), RemoteFailed, "No search context"),
        ((0, None), Unreachable, "did not answer"),
    ],
)
def test_a_page_that_is_not_whole_ends_it_and_the_point_in_time(server, source, reply, error, says):
    server.odd = {("POST", "point_in_time"): (200, {"pit_id": "P"}), ("POST", "/_search"): reply}
    with pytest.raises(error, match=says):
        ids(source)
    assert server.got[-1][:2] == ("DELETE", "/_search/point_in_time")


def test_a_point_in_time_that_can_not_be_ended_spoils_nothing(server, source):
    server.odd = {("DELETE", "point_in_time"): (500, {"error": "x"})}
    assert ids(source) == ALL


@pytest.mark.parametrize(
    ("method", "part", "status", "says"),
    [
        ("POST", "point_in_time", 403, "One may not read docs"),
        ("POST", "point_in_time", 404, "There is no index docs"),
        ("GET", "_count", 404, "There is no index docs"),
    ],
)
def test_a_right_or_an_index_that_is_missing_is_named(server, source, method, part, status, says):
    server.odd = {(method, part): (status, {"error": {"type": "x", "reason": "no permissions for [y]"}})}
    with pytest.raises(SourceError, match=says):
        (source.total if method == "GET" else lambda: ids(source))()


def test_without_the_right_to_statistics_the_number_of_documents_is_the_pin(source):
    assert source.pin() == f"{COUNT} documents"
