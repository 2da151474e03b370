"""From documents to a fine-tuned model that the real OpenSearch serves: every stage, and then the release of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tiny_models import WORDS, make

from release_tool.cli import run
from release_tool.core.finetune.stages import Stage
from release_tool.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = 60
RECIPE = """
[model]
name = "acme-search"
base = "base"
kind = "{kind}"
max_length = 48
[corpus]
path = "documents.jsonl"
[split]
dev = 0.1
test = 0.2
[queries]
per_document = 2
[teach]
models = ["teacher"]
[select]
negatives = 3
min_positive_rank = 200
max_positive_share = 1.0
[train]
steps = 6
batch_size = 4
total_batch_size = 8
learning_rate = 1e-3
save_steps = 3
[evaluate]
min_gain = -100.0
max_p = 1.0
max_flops_ratio = 1000.0
"""
RELEASES = {
    "dense": ((), ("torch_script", "onnx")),
    "sparse": (("--kind", "sparse", "--kind", "sparse-tokenizer"), ("torch_script", "onnx", "tokenizer")),
}
"""Kind → flags of the release, its artifacts."""


def write_project(folder: Path, kind: str) -> Path:
    """Write documents of two sentences, each about three words of its own, a base and a teacher; return the recipe."""
    folder.mkdir()
    make(folder / "base", "bert", kind, max_length=64)
    make(folder / "teacher", "bert", "cross-encoder", seed=3, max_length=64)
    words = [word for word in dict.fromkeys(WORDS) if len(word) > 4]
    lines = []
    for number in range(DOCUMENTS):
        first, second, third = (words[(number * step + step) % len(words)] for step in (1, 7, 11))
        text = (
            f"The {first} of the {second} was made in the {third}. People {third} and {second} when the {first} come."
        )
        lines.append(json.dumps({"id": f"d{number}", "title": f"{first} {second} {number}", "text": text}))
    (folder / "documents.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "recipe.toml").write_text(RECIPE.format(kind=kind), encoding="utf-8")
    return folder / "recipe.toml"


@pytest.mark.node
@pytest.mark.parametrize("kind", RELEASES)
def test_a_fine_tuned_model_is_released_and_served(
    kind: str, tmp_path: Path, node: object, capfd: pytest.CaptureFixture[str]
) -> None:
    assert node
    flags, artifacts = RELEASES[kind]
    recipe, work = write_project(tmp_path / "project", kind), tmp_path / "work"
    code = run(["--work", str(work), "finetune", "run", "--recipe", str(recipe)])
    said = capfd.readouterr()
    assert code == 0, said.err[-3000:] + said.out[-2000:]
    found = RunFolder.below(work)
    states = {stage: found.finished(stage) for stage in Stage}
    assert all(states.values())
    evaluation = json.loads((found.folder(Stage.EVALUATE) / "evaluation.json").read_text())
    assert evaluation["sets"][0]["queries"] >= 5
    assert evaluation["sets"][0]["documents"] == DOCUMENTS
    assert evaluation["sets"][0]["before"]["ndcg_10"] != evaluation["sets"][0]["after"]["ndcg_10"]
    assert (found.path / "report.html").stat().st_size > 10_000

    model, release = found.folder(Stage.HAND_OVER) / "model", tmp_path / "release"
    command = ["--work", str(release), "run", str(model), "--version", "1.0.0", *flags, "--on", "node"]
    code = run(command)
    said = capfd.readouterr()
    assert code == 0, said.err[-3000:] + said.out[-2000:]
    lineage = json.loads((model / "lineage.json").read_text())
    for artifact in artifacts:
        certificate = json.loads((release / f"certificate-{artifact}.json").read_text())
        assert {proof["ring"] for proof in certificate["proofs"]} == {"runtime", "node"}
        assert certificate["lineage"] == lineage
    page = (release / "review.html").read_text()
    assert "Fine-tuned from" in page
    assert "changed after hand-over" not in page
    assert lineage["stages"]["train"]["digest"] == getattr(states[Stage.TRAIN], "digest", None)
    assert ("idf.json" in {path.name for path in model.rglob("*")}) == (kind == "sparse")
