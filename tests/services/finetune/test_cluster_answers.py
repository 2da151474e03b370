"""What a cluster may answer to a search of many texts: hits, that it is too busy, or no such thing."""

from __future__ import annotations

import itertools
import json

import pytest
from http_double import AnswersAll, Double
from placed_documents import Documents

from release_tool.core.ml.clusters import of_url
from release_tool.errors import RemoteFailed, ServiceUnable
from release_tool.services.cluster.transport import Cluster
from release_tool.services.finetune.opensearch_engine import OpenSearchEngine
from release_tool.services.finetune.searching import Found


class Handler(AnswersAll):
    def answer(self):
        body = self.body()
        if self.path == "/":
            data = {"version": {"number": self.double.version, "distribution": "opensearch"}}
        else:
            asked = [json.loads(line) for line in body.splitlines()]
            self.double.asked.append(asked[1::2])
            data = {"responses": [next(self.double.responses) for _ in asked[::2]]}
        self.send(200, json.dumps(data).encode(), "application/json", {})


class Server(Double):
    def __init__(self, responses, version="3.6.0"):
        super().__init__(Handler)
        self.responses, self.asked, self.version = iter(responses), [], version


def hits(*rows, failed=0, timed_out=False):
    found = [{"_id": name, "_score": score} for name, score in rows]
    return {"status": 200, "_shards": {"failed": failed}, "timed_out": timed_out, "hits": {"hits": found}}


BUSY = {"status": 429, "error": {"type": "rejected_execution_exception", "reason": "queue full"}}


def searching(server, texts, limit=2, pauses=(0, 0)):
    with Cluster(of_url(server.address, has_user=False), {}, pauses=pauses) as cluster:
        return OpenSearchEngine(cluster, "my index", ["title", "body"], Documents()).search(texts, limit)


def test_searches_that_the_cluster_is_too_busy_for_are_asked_again_alone():
    with Server([hits(("d1", 2.0)), BUSY, hits(("d3", 1.0)), BUSY, hits(("d2", 4.0), ("d9", 3.0))]) as server:
        found = searching(server, ["a", 'b" OR *', "c"])
        assert found == [Found([(1, 2.0)], 0.0), Found([(2, 4.0), (9, 3.0)], 3.0), Found([(3, 1.0)], 0.0)]
        assert [len(bodies) for bodies in server.asked] == [3, 1, 1]
        assert server.asked[1][0]["query"]["multi_match"] == {
            "query": 'b" OR *', "fields": ["title", "body"], "type": "most_fields",
        }  # fmt: skip
        assert server.asked[0][0]["_source"] is False
    with Server(itertools.repeat(BUSY)) as server, pytest.raises(ServiceUnable, match="too busy"):
        searching(server, ["a"])


def test_older_servers_count_a_factor_in_and_unknown_documents_are_no_hits():
    with Server([hits(("gone", 4.4), ("d1", 2.2))], version="2.19.0") as server:
        (found,) = searching(server, ["a"])
    assert found.hits == [(1, pytest.approx(1.0))]
    assert found.least == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("response", "words"),
    [
        ({"status": 400, "error": {"reason": "too many\nclauses \x1b[31m"}}, "too many"),
        (hits(("d1", 1.0), failed=1), "only a part"),
        (hits(("d1", 1.0), timed_out=True), "only a part"),
        ({"status": 200, "hits": "none"}, "something else than hits"),
        ("text", "something else than hits"),
        (hits(("d1", None)), "something else than hits"),
    ],
)
def test_an_answer_that_is_none_ends_the_search_with_the_server_s_words(response, words):
    with Server([response]) as server, pytest.raises(RemoteFailed, match=words) as caught:
        searching(server, ["a"])
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)
