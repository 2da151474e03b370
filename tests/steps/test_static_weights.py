"""Query tokenizers whose weights are a module of sentence-transformers, saved by the package itself."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from tiny_models import CARD, make

from release_tool.cli import run
from release_tool.core.bundle import Bundle
from release_tool.core.certificate import Certificate
from release_tool.documents import WorkFolder
from release_tool.errors import ExportError, UnsupportedModel

MAX_LENGTH = 64


def static(base: Path, *, frozen: bool, size: int = 0):
    """Return a module with a weight of its own for every token."""
    import torch
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    count = size or len(tokenizer)
    weight = torch.arange(count, dtype=torch.float32).remainder(97).div(11).add(0.123)
    weight[torch.arange(count) % 13 == 0] = 0.0  # tokens that training has silenced
    return SparseStaticEmbedding(tokenizer, weight=weight, frozen=frozen)


def saved(folder: Path, modules: list) -> Path:
    from sentence_transformers import SparseEncoder

    SparseEncoder(modules=modules).save_pretrained(str(folder))
    (folder / "README.md").write_text(CARD)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make(tmp_path_factory.mktemp("base") / "base", "bert", "sparse-st", max_length=MAX_LENGTH)


@pytest.fixture(scope="module")
def routed(base, tmp_path_factory):
    """Return an inference-free encoder: queries by weights, documents by a masked language model."""
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sparse_encoder.modules import MLMTransformer, SpladePooling

    document = [MLMTransformer(str(base)), SpladePooling(pooling_strategy="max")]
    router = Router.for_query_document(query_modules=[static(base, frozen=False)], document_modules=document)
    return saved(tmp_path_factory.mktemp("routed") / "routed", [router])


def step(work: Path, *arguments: str) -> int:
    return run(["-q", "--work", str(work), *arguments])


def certificate_of(work: Path, artifact: str) -> Certificate:
    return WorkFolder(work).read(Certificate, f"certificate-{artifact}.json", made_by="validate")


def served(work: Path) -> dict[str, float]:
    bundle = WorkFolder(work).read(Bundle, "bundle-tokenizer.json", made_by="trace")
    with zipfile.ZipFile(work / bundle.archive.path) as archive:
        assert archive.namelist()[:2] == ["tokenizer.json", "idf.json"]
        return json.loads(archive.read("idf.json"))


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "trained"])
def test_a_static_embedding_alone_is_released_as_a_query_tokenizer(base, tmp_path, frozen):
    module = static(base, frozen=frozen)
    model, work = saved(tmp_path / "static", [module]), tmp_path / "work"
    assert not list(model.rglob("idf.json"))
    assert step(work, "trace", str(model), "--version", "1.0.0") == 0
    assert step(work, "validate") == 0
    certificate = certificate_of(work, "tokenizer")
    assert certificate.green
    (proof,) = certificate.proofs
    assert proof.kind.value == "sparse-tokenizer"
    assert max(item.max_abs for item in proof.comparisons) < 1e-6
    assert max(item.active for item in proof.comparisons) > 10
    assert any(item.tokens == MAX_LENGTH for item in proof.comparisons)
    idf, river = served(work), module.tokenizer.convert_tokens_to_ids("river")
    assert idf["river"] == module.weight[river].item() != 1.0


def test_one_request_releases_the_encoder_and_the_tokenizer_of_a_router(routed, tmp_path):
    work = tmp_path / "work"
    kinds = ("--kind", "sparse", "--kind", "sparse-tokenizer")
    assert step(work, "trace", str(routed), "--version", "1.0.0", *kinds) == 0
    assert step(work, "validate") == 0
    for artifact in ("torch_script", "onnx", "tokenizer"):
        assert certificate_of(work, artifact).green, artifact
    tokenizer, encoder = certificate_of(work, "tokenizer"), certificate_of(work, "onnx")
    assert tokenizer.answers_sha256 != encoder.answers_sha256
    assert len(served(work)) > 100


def test_the_proof_sees_weights_that_are_not_the_modules(base, tmp_path, monkeypatch):
    """The oracle reads nothing that the export wrote: a wrong idf.json must be red."""
    from release_tool.models import export, token_weights
    from release_tool.models.answers import read_answers
    from release_tool.models.oracle import answer_all
    from release_tool.packaged import packaged_probes
    from release_tool.steps import measuring

    model, work = saved(tmp_path / "static", [static(base, frozen=True)]), tmp_path / "work"
    assert step(work, "plan", str(model), "--version", "1.0.0") == 0
    assert step(work, "fetch") == 0
    right = token_weights._of_vector
    monkeypatch.setattr(token_weights, "_of_vector", lambda *given: {**right(*given), "the": 9.0})
    folder = WorkFolder(work)
    export.export(folder, ())
    monkeypatch.undo()
    target = measuring_target(folder)
    path = answer_all(folder, target.bundle.kind, packaged_probes())
    reference = measuring.Reference(answers=read_answers(path), sha256=folder.sha256(path.name), uses={})
    from release_tool.console import Console

    answered = measuring.ask(target, "runtime", console=Console(verbosity=-1), cache=tmp_path / "cache")
    proof = measuring.prove(target, "runtime", answered, reference)
    assert proof.failures(target.plan.tolerances)


def measuring_target(folder: WorkFolder):
    from release_tool.core.plan import ReleasePlan
    from release_tool.packaged import packaged_probes
    from release_tool.steps.measuring import Target

    bundle = folder.read(Bundle, "bundle-tokenizer.json", made_by="trace")
    plan = folder.read(ReleasePlan, "plan.json", made_by="plan")
    archive, config = folder.path(bundle.archive.path), folder.path(bundle.config.path)
    return Target(plan=plan, bundle=bundle, archive=archive, config=config, probes=packaged_probes())


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda vector: vector[:-7], ExportError.exit_code, "the tokenizer knows ids up to"),
        (lambda vector: vector / 0, UnsupportedModel.exit_code, "no vector of finite token weights"),
        (lambda vector: vector.reshape(1, -1), UnsupportedModel.exit_code, "no vector of finite token weights"),
    ],
    ids=["short", "infinite", "matrix"],
)
def test_weights_that_are_none_are_named(base, tmp_path, capfd, spoil, code, words):
    from safetensors.torch import load_file, save_file

    model = saved(tmp_path / "static", [static(base, frozen=True)])
    (path,) = model.rglob("model.safetensors")
    save_file({"weight": spoil(load_file(path)["weight"]).contiguous()}, path)
    assert step(tmp_path / "work", "trace", str(model), "--version", "1.0.0") == code
    assert words in capfd.readouterr().err
