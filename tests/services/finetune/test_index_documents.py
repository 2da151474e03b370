"""A real OpenSearch gives every document that was there all the time, once, whatever is written meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import threading

import pytest
from model_files import Files, dense

from release_tool.cli import run
from release_tool.core.finetune import index_pages
from release_tool.core.finetune.records import Document
from release_tool.core.finetune.stages import Stage
from release_tool.core.ml.clusters import of_url
from release_tool.core.ml.request import Request
from release_tool.errors import SourceError
from release_tool.part_files import read_rows
from release_tool.run_folder import RunFolder
from release_tool.services.cluster.transport import Cluster
from release_tool.services.finetune.index_documents import IndexDocuments

pytestmark = pytest.mark.node

SHARDS = 3


@pytest.fixture(scope="module")
def cluster(node):
    with Cluster(of_url(node.url, has_user=False), {}, connections=4) as found:
        yield found


@pytest.fixture
def index(cluster):
    """Make an index with several shards; it is deleted after the test."""
    name = f"corpus-{secrets.token_hex(4)}"
    settings = {"index": {"number_of_shards": SHARDS, "number_of_replicas": 0}}
    cluster.send(Request(method="PUT", path=f"/{name}", body={"settings": settings}))
    yield name
    cluster.send(Request(method="DELETE", path=f"/{name}"))


def write(cluster, index, documents, *, refresh="true"):
    """Write documents by id; null deletes one."""
    lines = []
    for ident, source in documents:
        lines += [{"delete": {"_id": ident}}] if source is None else [{"index": {"_id": ident}}, source]
    reply = cluster.send(Request(method="POST", path=f"/{index}/_bulk", lines=tuple(lines), query={"refresh": refresh}))
    assert not reply["errors"], reply


def read(source):
    return [row.read for row in source.rows()]


def open_points(cluster):
    """Return how many points in time are open on the node."""
    stats = cluster.send(Request(method="GET", path="/_nodes/stats/indices/search"))
    (node,) = stats["nodes"].values()
    return node["indices"]["search"]["point_in_time_current"]


@pytest.mark.parametrize("order", [None, index_pages.BY_ID], ids=["by the server's own order", "by id"])
def test_all_that_was_there_all_the_time_comes_once_while_others_write(cluster, index, order):
    steady = {f"s{number}": f"steady {number}" for number in range(1000)}
    write(cluster, index, [(ident, {"content": text}) for ident, text in steady.items()])
    write(cluster, index, [(f"u{number}", {"content": "version 0"}) for number in range(300)])
    write(cluster, index, [(f"d{number}", {"content": "to be deleted"}) for number in range(300)])
    open_before, stop, wrote = open_points(cluster), threading.Event(), threading.Event()

    def change():
        for turn in itertools.count(1):
            if stop.is_set():
                return
            batch = [(f"u{number}", {"content": f"version {turn}"}) for number in range(turn % 3, 300, 3)]
            batch += [(f"n{turn}-{number}", {"content": "new"}) for number in range(50)]
            batch += [(f"d{number}", None) for number in range((turn - 1) * 20 % 300, (turn - 1) * 20 % 300 + 20)]
            write(cluster, index, batch)
            if turn == 3:
                wrote.set()

    thread = threading.Thread(target=change)
    source = IndexDocuments(cluster, index, ("content",), order=order, size=70)
    rows = source.rows()
    found = [next(rows).read]  # from here on the moment stands
    thread.start()
    try:
        assert wrote.wait(60)
        found += [row.read for row in itertools.islice(rows, 800)]
        merged = Request(method="POST", path=f"/{index}/_forcemerge", query={"max_num_segments": "1"})
        cluster.send(merged)
        found += [row.read for row in rows]
    finally:
        stop.set()
        thread.join(60)
    texts = {document.id: document.text for document in found}
    assert len(found) == len(texts) == 1600
    assert {ident: text for ident, text in texts.items() if ident.startswith("s")} == steady
    assert {text for ident, text in texts.items() if ident.startswith("u")} == {"version 0"}
    assert sum(ident.startswith("d") for ident in texts) == 300
    assert open_points(cluster) == open_before


def test_the_point_in_time_ends_where_reading_is_broken_off(cluster, index):
    write(cluster, index, [(str(number), {"content": "x"}) for number in range(50)])
    before = open_points(cluster)
    with contextlib.closing(IndexDocuments(cluster, index, ("content",), size=10).rows()) as rows:
        next(rows)
        assert open_points(cluster) == before + SHARDS
    assert open_points(cluster) == before


def test_fields_make_the_text_in_their_order_and_what_holds_none_is_told(cluster, index):
    write(
        cluster, index,
        [
            ("1", {"body": "b", "head": "h", "meta": {"tags": ["x", "y"], "year": 1999}}),
            ("2", {"body": ["b1", "b2"], "head": None}),
            ("3", {"other": "o"}),
            ("4", {"body": "  "}),
            ("5", {"meta": [{"tags": "p"}, {"tags": ["q"]}]}),
        ],
    )  # fmt: skip
    source = IndexDocuments(cluster, index, ("head", "meta.tags", "meta.year", "body"))
    rows = {row.read.id if hasattr(row.read, "id") else row.read.ident: row for row in source.rows()}
    assert rows["1"].read.text == "h x y 1999 b"
    assert rows["2"].read.text == "b1 b2"
    assert rows["5"].read.text == "p q"
    assert {str(rows[ident].read) for ident in "34"} == {"has no text"}
    assert (rows["3"].where, rows["3"].line) == (index, 0)
    assert source.total() == 5


def test_two_indexes_behind_one_name_are_read_whole_with_the_same_ids(cluster, index):
    other = f"{index}-b"
    cluster.send(Request(method="PUT", path=f"/{other}", body={}))
    try:
        for name in (index, other):
            write(cluster, name, [(str(number), {"content": name}) for number in range(25)])
            actions = {"actions": [{"add": {"index": name, "alias": f"{index}-both"}}]}
            cluster.send(Request(method="POST", path="/_aliases", body=actions))
        for order in (index_pages.BY_SHARD, index_pages.BY_ID):
            found = read(IndexDocuments(cluster, f"{index}-both", ("content",), order=order, size=7))
            assert sorted((one.id, one.text) for one in found) == sorted(
                (str(number), name) for name in (index, other) for number in range(25)
            )
    finally:
        cluster.send(Request(method="DELETE", path=f"/{other}"))


def test_the_pin_changes_with_every_write_and_with_nothing_else(cluster, index):
    source = IndexDocuments(cluster, index, ("content",))
    write(cluster, index, [("1", {"content": "a"}), ("2", {"content": "b"})])
    seen = [source.pin()]
    read(source)
    cluster.send(Request(method="POST", path=f"/{index}/_forcemerge"))
    assert source.pin() == seen[0]
    for batch in ([("1", {"content": "other"})], [("3", {"content": "c"})], [("2", None)]):
        write(cluster, index, batch)
        seen.append(source.pin())
    assert len(set(seen)) == 4
    source.check(seen[0])  # an index in use is taken as it is


def test_a_run_reads_an_index_and_reads_it_again_after_a_write(cluster, node, index, tmp_path, capfd):
    Files(dense()).write(tmp_path / "base")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'[model]\nname = "acme"\nbase = "base"\n[teach]\nmodels = []\n[corpus]\nsource = "opensearch"\n'
        f'endpoint = "{node.url}"\nindex = "{index}"\nfields = ["title", "body"]\n'
    )

    def go(last="split"):
        return run(["-q", "--work", str(tmp_path), "finetune", "run", "--recipe", str(recipe), "--to", last])

    write(cluster, index, [(f"i{number}", {"title": f"T{number}", "body": "same"}) for number in range(30)])
    assert go() == 0
    corpus = RunFolder.below(tmp_path)
    texts = {row.id: row.text for row in read_rows(corpus.folder(Stage.CORPUS), Document)}
    assert texts == {f"i{number}": f"T{number} same" for number in range(30)}
    first = corpus.finished(Stage.CORPUS).digest
    assert go() == 0
    assert corpus.finished(Stage.CORPUS).digest == first
    write(cluster, index, [("i3", {"title": "new", "body": "text"}), ("i4", None)])
    assert go() == 0
    texts = {row.id: row.text for row in read_rows(corpus.folder(Stage.CORPUS), Document)}
    assert texts["i3"] == "new text"
    assert len(texts) == 29
    write(cluster, index, [("i5", {"other": "field"})])
    assert go() == 2
    assert "(id i5): has no text" in capfd.readouterr().err
    recipe.write_text(recipe.read_text().replace(index, "no-such-index"))
    assert go() == 4
    assert "There is no index no-such-index" in capfd.readouterr().err


def test_an_index_that_is_not_there_is_refused_with_its_name(cluster):
    for ask in (lambda one: one.pin(), read):
        with pytest.raises(SourceError, match="There is no index no-such-index"):
            ask(IndexDocuments(cluster, "no-such-index", ("content",)))


def test_a_name_can_lead_to_no_other_path(cluster):
    with pytest.raises(SourceError, match=r"There is no index \.\./_cluster"):
        IndexDocuments(cluster, "../_cluster/settings", ("content",)).pin()
