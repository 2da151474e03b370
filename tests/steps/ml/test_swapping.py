"""A new model takes the place of an old one on a real OpenSearch while queries go on, and none of them fails."""

from __future__ import annotations

import json
import secrets
import threading
from contextlib import contextmanager, suppress

import pytest
from killed_swaps import run_killed
from tiny_models import make

from release_tool.cli import run
from release_tool.core.bundle import bundle_name
from release_tool.errors import ReleaseError, RemoteFailed

pytestmark = pytest.mark.node

TEXTS = ("the river bank in the city", "a search engine for documents", "winter on the mountain", "king and queen")
PROBES = {
    "schema": "release-tool/probes@1",
    "texts": [
        {"id": f"text-{place}", "shape": "short", "role": "passage", "text": text}
        for place, text in enumerate((*TEXTS, "music, science; history", "word " * 600))
    ],
    "pairs": [],
}


class Bench:
    """A release of each kind, and an index on the node that an old model serves."""

    def __init__(self, node, folder):
        self.node = node
        self.folder = folder
        self.client = node.client()
        self.probes = folder / "probes.json"
        self.probes.write_text(json.dumps(PROBES))
        self.made = []

    def release(self, name, kind, change=lambda _: None):
        """Return the work folder of a release with both formats."""
        work = self.folder / f"{name}-work"
        if not (work / "plan.json").exists():
            model = make(self.folder / name, "bert", kind)
            change(model)
            kind = kind.removesuffix("-st")
            assert run(["-q", "--work", str(work), "trace", str(model), "--version", "1.0.0", "--kind", kind]) == 0
            assert run(["-q", "--work", str(work), "validate", "--probes", str(self.probes)]) == 0
        return work

    def register(self, work, artifact, *given):
        """Register an archive of a release under a name of its own, and deploy it; return its id."""
        name = f"m4-{secrets.token_hex(4)}"
        bundle = json.loads((work / bundle_name(artifact)).read_text())
        archive, config = (str(work / bundle[key]["path"]) for key in ("archive", "config"))
        arguments = ["-q", "--work", str(self.folder / name), "ml", "register", archive, "--config", config]
        assert run([*arguments, "--name", name, "--deploy", *given]) == 0
        found = self.models({"term": {"name.keyword": name}})
        assert len(found) == 1
        self.made.append(found[0])
        return found[0]

    def models(self, query):
        """Return the ids of the models that a query finds."""
        with suppress(RemoteFailed):
            self.client.request("POST", "/.plugins-ml-model/_refresh")
        whole = {"bool": {"filter": [query], "must_not": [{"exists": {"field": "chunk_number"}}]}}
        reply = self.client.request("POST", "/_plugins/_ml/models/_search", {"query": whole, "_source": False})
        return [hit["_id"] for hit in reply["hits"]["hits"]]

    @contextmanager
    def index(self, field, processor, model_id):
        """Make an index whose documents and queries one model encodes."""
        name = f"m4-{secrets.token_hex(4)}"
        call = self.client.request
        try:
            settings = {"default_pipeline": name, "search.default_pipeline": name, "number_of_replicas": 0}
            encode = {processor: {"model_id": model_id, "field_map": {"text": "vector"}}}
            call("PUT", f"/_ingest/pipeline/{name}", {"processors": [encode], "description": "as it was", "version": 3})
            enrich = {"neural_query_enricher": {"neural_field_default_id": {"vector": model_id}}}
            call("PUT", f"/_search/pipeline/{name}", {"request_processors": [enrich]})
            mappings = {"properties": {"text": {"type": "text"}, "vector": field}}
            index = {"number_of_shards": 1, "knn": field["type"] == "knn_vector", **settings}
            call("PUT", f"/{name}", {"settings": {"index": index}, "mappings": mappings})
            lines = [line for key, text in enumerate(TEXTS) for line in ({"index": {"_id": str(key)}}, {"text": text})]
            assert not self.client.bulk(name, lines)["errors"]
            yield name
        finally:
            for path in (f"/{name}", f"/_ingest/pipeline/{name}", f"/_search/pipeline/{name}"):
                with suppress(ReleaseError):
                    call("DELETE", path)

    def pipelines(self, name):
        """Return both pipelines of an index."""
        return {side: self.client.request("GET", f"/_{side}/pipeline/{name}")[name] for side in ("ingest", "search")}

    def named(self, name):
        """Return the models that the pipelines of an index name."""
        found = self.pipelines(name)
        (encode,) = found["ingest"]["processors"][0].values()
        enrich = found["search"]["request_processors"][0]["neural_query_enricher"]
        return {encode["model_id"], *enrich["neural_field_default_id"].values()}

    def close(self):
        for model_id in self.made:
            with suppress(ReleaseError):
                self.client.remove(model_id)
        self.client.close()


@pytest.fixture(scope="module")
def bench(node, tmp_path_factory):
    """Lend the node with releases; afterwards no model of this file is on it."""
    found = Bench(node, tmp_path_factory.mktemp("swap"))
    yield found
    found.close()


@pytest.fixture
def swap(bench, tmp_path, monkeypatch):
    """Return a function that runs ml swap in a work folder of its own."""
    monkeypatch.setenv("RELEASE_TOOL_CLUSTER", bench.node.url)
    monkeypatch.setenv("RELEASE_TOOL_ML_SWAP_PROBES", str(bench.probes))

    def call(*arguments):
        return run(["-q", "--json", "--work", str(tmp_path / "swap"), "ml", "swap", *map(str, arguments)])

    call.arguments = lambda *rest: ["--work", str(tmp_path / "swap"), "ml", "swap", *map(str, rest)]
    call.document = lambda: json.loads((tmp_path / "swap" / "swap.json").read_text())
    return call


@pytest.fixture(autouse=True)
def cluster_address(bench, monkeypatch):
    monkeypatch.setenv("RELEASE_TOOL_CLUSTER", bench.node.url)


@contextmanager
def asked_all_the_time(bench, index, query):
    """Ask a query in a loop; afterwards none has failed and each has found the document of its own text."""
    ended, wrong, count = threading.Event(), [], [0]

    def loop():
        with bench.node.client() as client:
            while not ended.is_set():
                for key, text in enumerate(TEXTS):
                    body = {"size": 1, "_source": False, "query": query(text)}
                    try:
                        hits = client.request("POST", f"/{index}/_search", body)["hits"]["hits"]
                        if [hit["_id"] for hit in hits] != [str(key)]:
                            wrong.append(hits)
                    except ReleaseError as error:
                        wrong.append(error)
                    count[0] += 1

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield count
    finally:
        ended.set()
        thread.join()
    assert wrong == []
    assert count[0] > len(TEXTS)


def neural(text):
    return {"neural": {"vector": {"query_text": text, "k": 2}}}


def neural_sparse(text):
    return {"neural_sparse": {"vector": {"query_text": text}}}


KNN = {"type": "knn_vector", "dimension": 32, "method": {"name": "hnsw", "engine": "lucene", "space_type": "l2"}}


@pytest.fixture
def dense(bench):
    """Return a release and the id of its ONNX model, deployed."""
    work = bench.release("dense", "dense")
    return work, bench.register(work, "onnx")


def of_release(bench, work, artifact):
    sha256 = json.loads((work / f"certificate-{artifact}.json").read_text())["archive_sha256"]
    return bench.models({"term": {"model_content_hash_value": sha256}})


def test_a_dense_model_is_swapped_and_put_back_and_swapped_for_good_while_queries_go_on(bench, dense, swap, capsys):
    work, old = dense
    with bench.index(KNN, "text_embedding", old) as index, asked_all_the_time(bench, index, neural):
        before = bench.pipelines(index)
        assert swap(old, work, "--artifact", "torch_script", "--dry-run") == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["stage"] == "dry run"
        assert [one["name"] for one in shown["pipelines"]] == [index, index]
        assert [(one["index"], one["dimension"]) for one in shown["fields"]] == [(index, 32)]
        assert bench.pipelines(index) == before
        assert of_release(bench, work, "torch_script") == []

        assert swap(old, work, "--artifact", "torch_script") == 0
        told = json.loads(capsys.readouterr().out)
        assert told["stage"] == "switched"
        assert told["proven"]["probes"] == len(PROBES["texts"])
        assert bench.named(index) == {told["new"]}
        assert bench.client.state(old) == "DEPLOYED"

        assert swap("--rollback") == 0
        assert bench.pipelines(index) == before
        assert of_release(bench, work, "torch_script") == []

        assert swap(old, work, "--artifact", "torch_script") == 0
        assert swap("--finish") == 0
        (new,) = of_release(bench, work, "torch_script")
        assert bench.named(index) == {new}
        with pytest.raises(RemoteFailed, match="404"):
            bench.client.state(old)
    bench.client.remove(new)
    assert swap("--rollback") == 2
    assert "deleted" in capsys.readouterr().err


class Killed:
    """A swap whose commands are killed at one request after another, and gone on with either way."""

    def __init__(self, bench, index, work, swap, old):
        self.bench, self.index, self.work = bench, index, work
        self.forward = swap.arguments(old, work, "--artifact", "torch_script")
        self.back = swap.arguments("--rollback")
        self.finish = swap.arguments("--finish")
        self.before = bench.pipelines(index)

    def go_back(self):
        assert run(["-q", *self.back]) == 0
        assert self.bench.pipelines(self.index) == self.before
        assert of_release(self.bench, self.work, "torch_script") == []

    def go_on(self):
        assert run(["-q", *self.forward]) == 0
        (new,) = of_release(self.bench, self.work, "torch_script")
        assert self.bench.named(self.index) == {new}
        return new


def test_killed_at_any_request_a_swap_goes_on_or_back_and_no_query_fails(bench, dense, swap):
    work, old = dense
    with bench.index(KNN, "text_embedding", old) as index, asked_all_the_time(bench, index, neural):
        killed = Killed(bench, index, work, swap, old)
        ahead, behind = 0, 0
        while run_killed(killed.forward, ahead + 1, after=ahead % 2 == 1):
            ahead += 1
            if ahead % 2:
                killed.go_back()
                continue
            killed.go_on()
            behind += run_killed(killed.back, behind + 1, after=behind % 2 == 0)
            killed.go_back()
        while run_killed(killed.back, behind + 1, after=behind % 2 == 0):
            behind += 1
            killed.go_on()
        assert killed.bench.pipelines(index) == killed.before
        assert ahead >= 5  # open, upload, deploy, and both pipelines
        assert behind >= 4  # both pipelines, undeploy, delete


def test_killed_while_the_old_model_is_taken_away_a_swap_can_go_back_until_it_is_deleted(bench, dense, swap):
    work, old = dense
    with bench.index(KNN, "text_embedding", old) as index, asked_all_the_time(bench, index, neural):
        killed = Killed(bench, index, work, swap, old)
        killed.go_on()
        assert run_killed(killed.finish, 1, after=True)  # undeployed
        killed.go_back()
        new = killed.go_on()
        assert run_killed(killed.finish, 2, after=True)  # deleted, and nobody has written it down
        assert run(["-q", *killed.back]) == 2
        assert run(["-q", *killed.finish]) == 0
        assert swap.document()["stage"] == "finished"
    bench.client.remove(new)


def test_a_model_that_encodes_otherwise_is_not_switched_to_before_somebody_lets_the_documents_be(
    bench, dense, swap, capsys
):
    work, _ = dense
    other = bench.register(work, "onnx", "--model-config", "pooling_mode=cls")
    with bench.index(KNN, "text_embedding", other) as index:
        before = bench.pipelines(index)
        assert swap(other, work, "--artifact", "torch_script") == 2
        said = capsys.readouterr().err
        assert f"index {index}, field vector: {len(TEXTS)} documents" in said
        assert f"both models encode 0 of {len(PROBES['texts'])} probes alike" in said
        assert f"--accept-stale {index}" in said
        assert bench.pipelines(index) == before
        assert swap(other, work, "--artifact", "torch_script", "--accept-stale", index) == 0
        assert json.loads(capsys.readouterr().out)["stale"] == [index]
        (new,) = of_release(bench, work, "torch_script")
        assert bench.named(index) == {new}
        assert swap("--rollback") == 0
        assert bench.pipelines(index) == before


def test_a_model_that_does_not_answer_as_its_release_is_not_switched_to_and_stays_as_it_was(bench, dense, swap, capsys):
    work, _ = dense
    old = bench.register(work, "torch_script")
    wrong = bench.register(work, "onnx", "--model-config", "pooling_mode=cls")
    with bench.index(KNN, "text_embedding", old) as index:
        before = bench.pipelines(index)
        assert swap(old, wrong, "--release", work) == 6
        assert "does not answer as its source does" in capsys.readouterr().err
        assert bench.pipelines(index) == before
        assert swap("--rollback") == 0
    assert bench.client.state(wrong) == "DEPLOYED"
    for model_id in (old, wrong):
        bench.client.remove(model_id)


def test_vectors_of_another_size_are_refused_before_anything_is_sent(bench, dense, swap, capsys):
    work, old = dense
    with bench.index({**KNN, "dimension": 32}, "text_embedding", old) as index:
        mapping = {"properties": {"vector_of_old": {**KNN, "dimension": 8}}}
        bench.client.request("PUT", f"/{index}/_mapping", mapping)
        encode = {"text_embedding": {"model_id": old, "field_map": {"text": "vector_of_old"}}}
        bench.client.request("PUT", f"/_ingest/pipeline/{index}", {"processors": [encode]})
        assert swap(old, work, "--artifact", "torch_script") == 2
    assert "it takes vectors of 8 dimensions, the new model gives 32" in capsys.readouterr().err
    assert of_release(bench, work, "torch_script") == []


def make_really_sparse(model):
    """Lower the head's bias until a text keeps a few dozen tokens, its own words first."""
    import torch
    import transformers

    loaded = transformers.AutoModelForMaskedLM.from_pretrained(model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    with torch.no_grad():
        loaded.get_input_embeddings().weight.mul_(8)
        batch = tokenizer(list(TEXTS), return_tensors="pt", padding=True)
        logits = loaded(**batch).logits[batch["attention_mask"].bool()]
        loaded.cls.predictions.bias.sub_(torch.quantile(logits, 0.985))
    loaded.save_pretrained(model)


def test_a_sparse_model_is_swapped_while_queries_go_on_and_what_names_the_old_one_elsewhere_holds_its_deletion_back(
    bench, swap, capsys
):
    work = bench.release("sparse", "sparse-st", change=make_really_sparse)
    old = bench.register(work, "onnx")
    with (
        bench.index({"type": "rank_features"}, "sparse_encoding", old) as index,
        asked_all_the_time(bench, index, neural_sparse),
    ):
        template = {"script": {"lang": "mustache", "source": {"query": {"neural_sparse": {"v": {"model_id": old}}}}}}
        bench.client.request("PUT", f"/_scripts/{index}", template)
        capsys.readouterr()
        assert swap(old, work, "--artifact", "torch_script") == 0
        told = json.loads(capsys.readouterr().out)
        assert bench.named(index) == {told["new"]}
        assert [one["where"].partition(",")[0] for one in told["not_changed"]] == ["stored script"]
        assert swap("--finish") == 2
        assert "stored script" in capsys.readouterr().err
        assert bench.client.state(old) == "DEPLOYED"
        bench.client.request("DELETE", f"/_scripts/{index}")
        assert swap("--finish") == 0
    bench.client.remove(told["new"])
