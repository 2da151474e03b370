"""Three engines agree: the embedded one, bm25s, and a real OpenSearch; and each says how far it can be trusted."""

from __future__ import annotations

from statistics import mean

import pytest
from chance import seeded
from placed_documents import Documents

from release_tool.core.finetune.mining import ranked
from release_tool.core.ml.clusters import of_url
from release_tool.core.ml.request import Request
from release_tool.errors import RemoteFailed, UsageError
from release_tool.packaged import packaged_set
from release_tool.services.cluster.transport import Cluster
from release_tool.services.finetune import bm25s_engine, tantivy_engine
from release_tool.services.finetune.analysis import analysis_of
from release_tool.services.finetune.bm25s_engine import Bm25sEngine
from release_tool.services.finetune.opensearch_engine import OpenSearchEngine
from release_tool.services.finetune.searching import search_until
from release_tool.services.finetune.tantivy_engine import TantivyEngine, build
from release_tool.sets import open_set

MEMORY = 1 << 24
DEPTH = 10


def quietly(_):
    """Take no note of progress."""


def of_tantivy(folder, texts, analysis="english", memory=MEMORY, **options):
    cut = analysis_of(analysis, lambda: None)
    build(folder, texts, cut, memory=memory, made_of="test", told=quietly)
    return TantivyEngine(folder, cut, **options)


def top(engine, texts, depth=DEPTH):
    return [hits[:depth] for hits in search_until(engine, texts, depth + 5, lambda _, hits: len(hits) >= depth)]


def overlap(one, other):
    """Return the mean share of the longer of two lists of places that both have."""
    places = [[{place for place, _ in hits} for hits in side] for side in (one, other)]
    return mean(len(a & b) / max(len(a), len(b), 1) if a or b else 1 for a, b in zip(*places, strict=True))


@pytest.fixture(scope="module")
def judged():
    return open_set(packaged_set(), "release-tool")


@pytest.fixture(scope="module")
def texts(judged):
    return list(judged.texts())


@pytest.fixture(scope="module")
def asked(judged):
    return list(judged.queries.values())


def test_the_embedded_engine_finds_what_bm25s_finds(tmp_path, texts, asked):
    with of_tantivy(tmp_path / "index", texts) as engine:
        ours = top(engine, asked)
    theirs = top(Bm25sEngine(texts, analysis_of("english", lambda: None), told=quietly), asked)
    assert overlap(ours, theirs) > 0.95
    both = [
        (score, dict(other)[place])
        for one, other in zip(ours, theirs, strict=True)
        for place, score in one
        if place in dict(other)
    ]
    # Lucene and the embedded engine keep a document's length in eight bits, bm25s as it is.
    assert len(both) > 300
    assert all(a == pytest.approx(b, rel=0.15) for a, b in both)
    assert mean(abs(a - b) / a for a, b in both) < 0.03


ENGLISH = {
    "settings": {
        "number_of_shards": 1,
        "number_of_replicas": 0,
        "analysis": {
            "filter": {"stems": {"type": "stemmer", "language": "porter2"}},
            "analyzer": {"ours": {"type": "custom", "tokenizer": "standard", "filter": ["lowercase", "stems"]}},
        },
    },
    "mappings": {"properties": {"text": {"type": "text", "analyzer": "ours"}, "more": {"type": "text"}}},
}


@pytest.fixture
def cluster(node):
    with Cluster(of_url(node.url, has_user=False), {}) as running:
        yield running


@pytest.mark.node
def test_a_real_opensearch_finds_what_the_embedded_engine_finds(cluster, tmp_path, texts, asked):
    # Its standard tokenizer cuts scripts that set no spaces in another way.
    asked, texts = ([text for text in some if text.isascii()] for some in (asked, texts))
    assert len(asked) > 30
    index = "finetune-search-engines"
    cluster.send(Request(method="PUT", path=f"/{index}", body=ENGLISH))
    try:
        lines = [
            line
            for place, text in enumerate(texts)
            for line in ({"index": {"_id": f"d{place}"}}, {"text": text, "more": ""})
        ]
        lines += [{"index": {"_id": "x-unknown"}}, {"text": "nobody has this"}]
        for at in range(0, len(lines), 1000):
            said = cluster.send(
                Request(
                    method="POST", path=f"/{index}/_bulk", lines=tuple(lines[at : at + 1000]), query={"refresh": "true"}
                )
            )
            assert not said["errors"]
        engine = OpenSearchEngine(cluster, index, ["text"], Documents())
        theirs = top(engine, asked)
        assert top(engine, ['syntax" AND (+text:*~2', "!?"])[1] == []
        with of_tantivy(tmp_path / "index", texts) as embedded:
            ours = top(embedded, asked)
            one = next(number for number, hits in enumerate(ours) if hits)
            place, score = ours[one][0]
            assert engine.score(asked[one], place) == pytest.approx(score, rel=0.05)
            assert embedded.score(asked[one], place) == pytest.approx(score, abs=1e-4)
        assert overlap(ours, theirs) > 0.9
        pairs = [
            (mine, dict(other)[at])
            for hits, other in zip(ours, theirs, strict=False)
            for at, mine in hits
            if at in dict(other)
        ]
        assert len(pairs) > 150
        assert mean(abs(a - b) / a for a, b in pairs) < 0.03
        both_fields = OpenSearchEngine(cluster, index, ["text", "more"], Documents())
        assert overlap(top(both_fields, asked), theirs) > 0.95
        with pytest.raises(RemoteFailed, match="no such index"):
            OpenSearchEngine(cluster, "not-there", ["text"], Documents()).search(["x"], 3)
    finally:
        cluster.send(Request(method="DELETE", path=f"/{index}"))


# ---------------------------------------------------------------------------------------------------------------------
# What an engine promises


def words(count, seed):
    draw = seeded(seed)
    vocabulary = [f"w{number}" for number in range(60)]
    weights = [1 / (1 + number) for number in range(60)]
    return [" ".join(draw.choices(vocabulary, weights, k=draw.randint(3, 12))) for _ in range(count)]


@pytest.fixture(scope="module")
def zipf():
    return words(400, 1), words(50, 2)


def test_common_words_change_the_time_and_not_what_is_found(tmp_path, zipf, monkeypatch):
    documents, queries = zipf
    with of_tantivy(tmp_path / "index", documents) as engine:
        plain = top(engine, queries)
        twice = []
        found_twice = engine._found_twice
        monkeypatch.setattr(engine, "_found_twice", lambda *args: twice.append(1) or found_twice(*args))
        monkeypatch.setattr(tantivy_engine, "FEWEST_DOCUMENTS", 1)
        assert [[place for place, _ in hits] for hits in top(engine, queries)] == [
            [place for place, _ in hits] for hits in plain
        ]
    assert len(twice) > 20


def test_what_is_found_does_not_depend_on_how_much_is_asked_for_first(tmp_path, zipf):
    documents, queries = zipf
    with of_tantivy(tmp_path / "index", documents, threads=3) as engine:
        for many in (engine, Bm25sEngine(documents, analysis_of("english", lambda: None), told=quietly)):
            full = [ranked(found.hits)[:DEPTH] for found in many.search(queries, len(documents))]
            for limit in (1, 7, 30):
                found = search_until(many, queries, limit, lambda _, hits: len(hits) >= DEPTH)
                assert [hits[:DEPTH] for hits in found] == full


def test_the_same_documents_give_the_same_hits_whatever_the_memory_and_the_merges(tmp_path, zipf, monkeypatch):
    documents, queries = zipf
    monkeypatch.setattr(tantivy_engine, "TEXT_SHARE", 1e-9)
    monkeypatch.setattr(tantivy_engine, "AT_ONCE", 20)
    with of_tantivy(tmp_path / "many", documents) as engine:
        merged = engine._searcher.num_segments
        many = top(engine, queries)
    assert 1 < merged < 20  # twenty blocks were written, and some of them merged
    monkeypatch.undo()
    with of_tantivy(tmp_path / "one", documents) as engine:
        assert engine._searcher.num_segments == 1
        assert top(engine, queries) == many


def test_an_index_that_was_not_finished_is_not_taken_for_one(tmp_path):
    def breaking():
        yield "red apples"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        of_tantivy(tmp_path / "index", breaking())
    assert not (tmp_path / "index").exists()
    with of_tantivy(tmp_path / "index", ["green pears", "red plums"]) as engine:
        assert [place for place, _ in top(engine, ["red"])[0]] == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    # The same again is not built again; other documents are.
    with of_tantivy(tmp_path / "index", iter([])) as engine:
        assert engine.most == 2


def test_an_empty_corpus_has_no_hits(tmp_path):
    with of_tantivy(tmp_path / "index", []) as engine:
        assert top(engine, ["red"]) == [[]]
    assert top(Bm25sEngine([], analysis_of("words", lambda: None), told=quietly), ["red"]) == [[]]


def test_too_large_a_corpus_is_refused_by_the_engine_that_holds_it(monkeypatch):
    monkeypatch.setattr(bm25s_engine, "MAX_TERMS", 3)
    with pytest.raises(UsageError, match="too many"):
        Bm25sEngine(["one two three four"], analysis_of("words", lambda: None), told=quietly)
