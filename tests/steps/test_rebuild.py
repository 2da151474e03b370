"""Rebuild: the same bytes from the pinned source, or a clear no."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_models import make

from release_tool.cli import run
from release_tool.core.bundle import Bundle, bundle_name
from release_tool.core.certificate import certificate_name, fold
from release_tool.core.plan import ReleasePlan
from release_tool.core.source import SourceSnapshot
from release_tool.documents import WorkFolder, file_sha256
from release_tool.lock import hold

VARIANTS = ("--variant", "fused", "--variant", "int8")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A traced model with certificates; the proofs are no part of what rebuild looks at."""
    folder = tmp_path_factory.mktemp("released")
    model = make(folder / "tiny", "bert", "dense")
    work = WorkFolder(folder / "work")
    assert run(["--work", str(work.folder), "trace", str(model), "--version", "1.0.0", "--no-answers", *VARIANTS]) == 0
    plan = work.read(ReleasePlan, "plan.json", made_by="plan")
    source = work.read(SourceSnapshot, "source.json", made_by="fetch")
    for artifact in plan.artifacts:
        bundle = work.read(Bundle, bundle_name(artifact.id), made_by="trace")
        work.write(certificate_name(artifact.id), fold(plan, source, bundle, (), {}))
    return model, work.folder


@pytest.mark.parametrize("artifact", ["torch_script", "onnx", "onnx-int8"])
def test_the_same_bytes_come_out_somewhere_else(
    released: tuple[Path, Path], tmp_path: Path, artifact: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model, work = released
    certificate = work / certificate_name(artifact)
    code = run(["--work", str(tmp_path), "--json", "rebuild", str(certificate), "--model", str(model)])
    result = json.loads(capsys.readouterr().out)
    assert code == 0
    assert result["same"] is True
    assert file_sha256(Path(result["archive"])) == json.loads(certificate.read_text())["archive_sha256"]


def test_a_folder_that_changed_is_refused(
    released: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make(tmp_path / "tiny", "bert", "dense", seed=1)
    certificate = released[1] / certificate_name("onnx")
    assert run(["--work", str(tmp_path / "work"), "rebuild", str(certificate), "--model", str(other)]) == 7
    assert "error:" in capsys.readouterr().err


def test_a_folder_release_needs_its_folder(
    released: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate = released[1] / certificate_name("onnx")
    assert run(["--work", str(tmp_path), "rebuild", str(certificate)]) == 2
    assert "--model" in capsys.readouterr().err


def test_other_bytes_are_said_with_the_versions_that_differ(
    released: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, work = released
    data = json.loads((work / certificate_name("onnx")).read_text())
    data["archive_sha256"] = "0" * 64
    data["bundle"]["export"]["versions"]["torch"] = "2.99.0"
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(data))
    assert run(["--work", str(tmp_path / "work"), "rebuild", str(path), "--model", str(model)]) == 7
    assert "torch 2.99.0 then" in capsys.readouterr().err


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "certificate.json"
    path.write_text("{}")
    assert run(["--work", str(tmp_path), "rebuild", str(path)]) == 2
    assert "names no schema, a release-tool/certificate@1 is wanted" in capsys.readouterr().err


def test_a_second_rebuild_of_the_same_archive_ends_at_once_and_a_release_beside_it_does_not(
    released: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate = released[1] / certificate_name("onnx")
    arguments = ["--work", str(tmp_path), "rebuild", str(certificate), "--model", str(released[0])]
    with hold(tmp_path / "rebuild-onnx", "rebuild"):
        assert run(arguments) == 2
    assert "is writing into the work folder" in capsys.readouterr().err
    with hold(tmp_path, "trace"):
        assert run(arguments) == 0


def test_an_encoder_is_rebuilt_without_the_token_weights_of_its_tokenizer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, work = make(tmp_path / "tiny", "bert", "sparse"), WorkFolder(tmp_path / "work")
    weights = tmp_path / "weights.json"
    weights.write_text('{"the": 0.5}')
    kinds = ["--kind", "sparse", "--kind", "sparse-tokenizer", "--format", "torch_script", "--idf", str(weights)]
    arguments = ["trace", str(model), "--version", "1.0.0", "--no-answers", *kinds]
    assert run(["-q", "--work", str(work.folder), *arguments]) == 0
    plan = work.read(ReleasePlan, "plan.json", made_by="plan")
    source = work.read(SourceSnapshot, "source.json", made_by="fetch")
    for artifact, code in (("torch_script", 0), ("tokenizer", 2)):
        bundle = work.read(Bundle, bundle_name(artifact), made_by="trace")
        work.write(certificate_name(artifact), fold(plan, source, bundle, (), {}))
        capsys.readouterr()
        asked = ["rebuild", str(work.path(certificate_name(artifact))), "--model", str(model)]
        assert run(["--work", str(tmp_path / artifact), *asked]) == code
        assert ("--idf" in capsys.readouterr().err) == (code == 2)
