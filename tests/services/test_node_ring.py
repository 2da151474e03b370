"""The real OpenSearch serves what was exported, with the numbers that the source itself computes."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tiny_models import make
from work_folders import make_work

from release_tool.console import Console
from release_tool.core import proof_int8
from release_tool.core.bundle import Bundle, bundle_name
from release_tool.core.kinds import Format, ModelKind
from release_tool.core.plan import ReleasePlan
from release_tool.core.proof import NODE, judge
from release_tool.core.variants import Variant
from release_tool.documents import WorkFolder, file_sha256
from release_tool.errors import RemoteFailed, ServiceUnable
from release_tool.packaged import packaged_probes
from release_tool.services import node_ring
from release_tool.services.mlcommons import Client
from release_tool.services.neural_search import neural_search_check
from release_tool.services.probe_asking import NodeAnswers

pytestmark = pytest.mark.node

SPARSE_TEXTS = (
    "the river bank in the city",
    "a search engine for documents",
    "winter on the mountain",
    "the king and the queen",
    "school and government of the state",
    "music and science and history",
)


@dataclass(frozen=True)
class Released:
    """A model that was exported, with the oracle's answers."""

    work: WorkFolder
    plan: ReleasePlan
    kind: ModelKind

    def bundle(self, artifact: str) -> Bundle:
        return self.work.read(Bundle, bundle_name(artifact), made_by="trace")

    def archive(self, artifact: str) -> Path:
        return self.work.path(self.bundle(artifact).archive.path)

    def config(self, artifact: str) -> dict:
        return json.loads(self.work.path(self.bundle(artifact).config.path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Return a function that exports a tiny model, once a family and kind."""
    from release_tool.models.export import export

    @cache
    def of(family: str, kind: str, **options: object) -> Released:
        folder = tmp_path_factory.mktemp(f"{family}-{kind}")
        model = make(folder / "model", family, kind, **options)
        return released_from(model, folder / "work", kind)

    def released_from(model: Path, work: Path, kind: str, **request: object) -> Released:
        plan = make_work(model, work, kinds=(ModelKind("sparse" if kind == "sparse-st" else kind),), **request)
        folder = WorkFolder(work)
        export(folder, [])
        return Released(work=folder, plan=plan, kind=plan.artifacts[0].kind)

    of.released_from = released_from
    return of


def compared(node, made: Released, artifact: str) -> tuple[list, NodeAnswers]:
    """Return what fails of an archive's answers on the node, and the answers."""
    from release_tool.models.answers import answers_name, read_answers
    from release_tool.models.compare import Measured, Rules, compare
    from release_tool.models.oracle import answer_all

    probes = packaged_probes()
    if not made.work.has(answers_name(made.kind)):
        answer_all(made.work, made.kind, probes)
    rows = probes.for_kind(made.kind)
    got = node_ring.answer(
        node, made.archive(artifact), made.config(artifact), rows, made.kind, console=Console(verbosity=-1)
    )
    reference = read_answers(made.work.path(answers_name(made.kind)))
    texts = got.texts if made.kind is ModelKind.QUESTION_ANSWERING else ()
    measured = Measured(arrays=got.arrays, texts=texts, errors=got.errors)
    tolerances = made.plan.tolerances
    found = compare(rows, reference, measured, Rules(tolerances=tolerances, prune_ratio=made.plan.prune_ratio))
    asked = [item for item in found if item.probe not in got.not_asked]
    assert len(asked) >= 60
    if made.plan.artifact(artifact).variant is Variant.INT8:
        return [why for item in asked if (why := proof_int8.reasons(item, made.kind, tolerances, None))], got
    return [reasons for item in asked if (reasons := judge(item, made.kind, NODE, tolerances))], got


@pytest.mark.parametrize(
    ("family", "kind", "artifacts"),
    [
        ("bert", "dense", ("torch_script", "onnx")),
        ("albert", "dense", ("torch_script", "onnx")),
        ("mpnet", "dense", ("torch_script", "onnx")),
        ("xlm-roberta", "dense", ("torch_script", "onnx")),
        ("modernbert", "dense", ("torch_script", "onnx")),
        ("bert", "sparse-st", ("torch_script", "onnx")),
        ("distilbert", "sparse-st", ("torch_script", "onnx")),
        ("bert", "sparse-tokenizer", ("tokenizer",)),
        ("bert", "cross-encoder", ("torch_script", "onnx")),
        ("roberta", "cross-encoder", ("torch_script", "onnx")),
        ("distilbert", "question-answering", ("torch_script",)),
        ("bert", "highlighter", ("torch_script",)),
    ],
)
def test_the_node_answers_as_the_source_does(node, released, family: str, kind: str, artifacts: tuple) -> None:
    made = released(family, kind)
    assert {artifact.id for artifact in made.plan.artifacts} == set(artifacts)
    for artifact in artifacts:
        failures, got = compared(node, made, artifact)
        assert failures == [], artifact
        assert not got.errors


@pytest.mark.parametrize(("family", "kind"), [("bert", "dense"), ("mpnet", "dense"), ("distilbert", "sparse")])
def test_the_node_answers_in_eight_bits_as_near_to_the_source_as_the_plan_asks(
    node, released, tmp_path: Path, family: str, kind: str
) -> None:
    """With the fused attention of eight bits, and where there is none, with products alone."""
    model = make(tmp_path / "model", family, kind)
    made = released.released_from(model, tmp_path / "work", kind, formats=(Format.ONNX,), variants=(Variant.INT8,))
    assert [artifact.id for artifact in made.plan.artifacts] == ["onnx-int8"]
    failures, got = compared(node, made, "onnx-int8")
    assert failures == []
    assert not got.errors


def test_the_versions_of_what_answered_are_told(node) -> None:
    with node.client() as client:
        said = client.versions()
    assert said["opensearch"] == node.version == node.libraries["opensearch"]
    assert said["opensearch-ml"] == node.libraries["ml-commons"]
    assert {"djl", "libtorch", "onnxruntime", "tokenizers"} <= set(node.libraries)
    assert node.libraries["onnxruntime"] == "1.16.3"


def test_an_empty_question_is_refused_by_the_interface_and_held_against_no_archive(node, released) -> None:
    made = released("distilbert", "question-answering")
    probes = packaged_probes().for_kind(made.kind)
    got = node_ring.answer(
        node,
        made.archive("torch_script"),
        made.config("torch_script"),
        probes,
        made.kind,
        console=Console(verbosity=-1),
    )
    empty = {probe.id for probe in probes if not probe.first or not probe.second}
    assert empty
    assert set(got.not_asked) == empty
    assert len(got.texts) == len(probes)


def left_over(client) -> int:
    # What was deleted a moment ago is found until a refresh.
    client.request("POST", "/.plugins-ml-model*/_refresh")
    found = [
        client.request("POST", f"/_plugins/_ml/{what}/_search", {"query": {"match_all": {}}})["hits"]["total"]["value"]
        for what in ("models", "model_groups")
    ]
    return sum(found)


def tampered(made: Released, folder: Path, change) -> tuple[Path, dict]:
    """Return the archive with changed members, and its config with the right hash for them."""
    source = made.archive("torch_script")
    members = {info.filename: zipfile.ZipFile(source).read(info) for info in zipfile.ZipFile(source).infolist()}
    path = folder / "changed.zip"
    with zipfile.ZipFile(path, "w") as bundle:
        for name, data in change(members).items():
            bundle.writestr(name, data)
    config = made.config("torch_script")
    config["model_content_hash_value"] = file_sha256(path)
    return path, config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda members: {**members, "second.pt": b"x"}, "Find multiple model files"),
        (lambda members: {k: v for k, v in members.items() if k != "tokenizer.json"}, "No tokenizer file"),
        (lambda members: {("deep/" + k if k.endswith(".pt") else k): v for k, v in members.items()}, "not found"),
        (lambda members: {k: (b"junk" if k.endswith(".pt") else v) for k, v in members.items()}, "could not deploy"),
    ],
    ids=["two models", "no tokenizer", "nested", "not a model"],
)
def test_what_the_node_refuses_is_told_in_its_words_and_leaves_nothing_behind(
    node, released, tmp_path: Path, change, words: str
) -> None:
    path, config = tampered(released("bert", "dense"), tmp_path, change)
    probes = packaged_probes().for_kind(ModelKind.DENSE)[:1]
    with node.client() as client:
        before = left_over(client)
        with pytest.raises(RemoteFailed, match=words):
            node_ring.answer(node, path, config, probes, ModelKind.DENSE, console=Console(verbosity=-1))
        assert left_over(client) == before


def test_an_archive_that_is_not_the_one_of_its_config_is_refused(node, released, tmp_path: Path) -> None:
    path, config = tampered(released("bert", "dense"), tmp_path, lambda members: {**members, "note": b"x"})
    config["model_content_hash_value"] = "0" * 64
    with pytest.raises(RemoteFailed, match="model content changed"):
        node_ring.answer(node, path, config, (), ModelKind.DENSE, console=Console(verbosity=-1))


@pytest.fixture
def open_breaker(node, monkeypatch):
    """Set the node's own memory breaker so low that it is open."""
    monkeypatch.setattr(Client, "pauses", (0.05, 0.05))
    name = "plugins.ml_commons.jvm_heap_memory_threshold"
    with node.client() as client:
        client.request("PUT", "/_cluster/settings", {"persistent": {name: 1}})
        yield
        client.request("PUT", "/_cluster/settings", {"persistent": {name: None}})


def test_a_node_without_memory_is_no_proof_against_an_archive(node, released, open_breaker) -> None:
    made = released("bert", "dense")
    probes = packaged_probes().for_kind(made.kind)[:1]
    with pytest.raises(ServiceUnable, match="Memory Circuit Breaker is open") as raised:
        node_ring.answer(
            node, made.archive("onnx"), made.config("onnx"), probes, made.kind, console=Console(verbosity=-1)
        )
    assert "lacks memory" in raised.value.hint


def test_a_breaker_that_opens_between_the_probes_ends_the_proof(node, released, monkeypatch) -> None:
    made = released("bert", "dense")
    monkeypatch.setattr(Client, "pauses", (0.05, 0.05))
    name = "plugins.ml_commons.jvm_heap_memory_threshold"
    with node.client() as client:
        deployed = node_ring.deployed(client, made.archive("onnx"), made.config("onnx"), Console(verbosity=-1))
        try:
            with deployed as model_id:
                client.predict(model_id, {"text_docs": ["a"]})
                client.request("PUT", "/_cluster/settings", {"persistent": {name: 1}})
                with pytest.raises(ServiceUnable, match="Circuit Breaker"):
                    client.predict(model_id, {"text_docs": ["a"]})
        finally:
            client.request("PUT", "/_cluster/settings", {"persistent": {name: None}})


def test_a_node_that_died_is_named_with_its_last_words(node, released, tmp_path: Path) -> None:
    import subprocess
    from dataclasses import replace

    gone = subprocess.Popen(["true"])
    gone.wait()
    (tmp_path / "output.log").write_text("[ERROR] java.lang.OutOfMemoryError: Java heap space\n")
    made = released("bert", "dense")
    with pytest.raises(ServiceUnable, match=r"died while it was asked: .*OutOfMemoryError"):
        node_ring.answer(
            replace(node, port=9, pid=gone.pid, folder=tmp_path), made.archive("onnx"), made.config("onnx"), (),
            made.kind, console=Console(verbosity=-1),
        )  # fmt: skip


def make_really_sparse(model: Path) -> None:
    """Lower the head's bias until a text keeps a few dozen tokens, as a trained sparse encoder does."""
    import torch
    import transformers

    loaded = transformers.AutoModelForMaskedLM.from_pretrained(model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    with torch.no_grad():
        # The embeddings of the words decide more than the rest: a text gets its own words first.
        loaded.get_input_embeddings().weight.mul_(8)
        batch = tokenizer(list(SPARSE_TEXTS), return_tensors="pt", padding=True)
        logits = loaded(**batch).logits[batch["attention_mask"].bool()]
        loaded.cls.predictions.bias.sub_(torch.quantile(logits, 0.985))
    loaded.save_pretrained(model)


@pytest.mark.parametrize("artifact", ["torch_script", "onnx"])
def test_documents_are_found_through_a_pipeline_and_a_neural_sparse_query(
    node, released, tmp_path_factory, artifact: str
) -> None:
    folder = tmp_path_factory.mktemp("really-sparse")
    model = make(folder / "model", "bert", "sparse-st")
    make_really_sparse(model)
    made = released.released_from(model, folder / "work", "sparse")
    rankings = neural_search_check(
        node, made.archive(artifact), made.config(artifact), documents=SPARSE_TEXTS, queries=SPARSE_TEXTS,
        console=Console(verbosity=-1),
    )  # fmt: skip
    for number, ranking in enumerate(rankings):
        assert ranking.hits, ranking.query
        scores = np.array([hit.score for hit in ranking.hits])
        expected = np.array([hit.expected for hit in ranking.hits])
        # rank_features keeps 9 bits of a weight's significand.
        assert np.allclose(scores, expected, rtol=2**-8)
        best = max(ranking.hits, key=lambda hit: hit.expected)
        assert number in {hit.document for hit in ranking.hits}
        assert ranking.hits[0].score >= best.score * (1 - 2**-8)
    with node.client() as client:
        assert not [
            item for item in client.request("GET", "/_cat/indices?format=json") if "release-tool" in item["index"]
        ]
