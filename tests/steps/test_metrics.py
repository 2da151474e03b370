"""Metrics correlation from a folder to the page, through the commands alone."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest
from script_models import Bursts, make_script

from release_tool.cli import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_script(tmp_path_factory.mktemp("source") / "metrics_correlation", Bursts(lonely=True))


def test_a_program_is_not_planned_unless_it_is_trusted(model, tmp_path, capsys) -> None:
    assert run(["--work", str(tmp_path / "work"), "plan", str(model), "--version", "1.0.0"]) == 4
    assert "--trust-remote-code" in capsys.readouterr().err
    assert not (tmp_path / "work" / "plan.json").exists()


@pytest.mark.parametrize("more", ["config.json", "tokenizer.json", "second.pt", "model.safetensors"])
def test_a_script_beside_another_model_is_not_taken_for_one(tmp_path, more) -> None:
    folder = make_script(tmp_path / "both", Bursts())
    (folder / more).write_bytes(b"{}")
    arguments = ["plan", str(folder), "--version", "1.0.0", "--kind", "metrics-correlation", "--trust-remote-code"]
    assert run(["--work", str(tmp_path / "work"), *arguments]) in (2, 4)


def test_another_model_is_not_taken_for_metrics_correlation(tmp_path, capsys) -> None:
    from model_files import Files, dense

    folder = Files(dense()).write(tmp_path / "dense")
    arguments = ["plan", str(folder), "--version", "1.0.0", "--kind", "metrics-correlation"]
    assert run(["--work", str(tmp_path / "work"), *arguments]) == 2
    assert "one .pt and no other model" in capsys.readouterr().err


@pytest.mark.slow
def test_a_folder_becomes_a_proven_archive_that_can_be_made_again(model, tmp_path, capsys) -> None:
    work = tmp_path / "work"
    arguments = ["run", str(model), "--version", "1.0.0", "--model-source", "amazon", "--trust-remote-code"]
    assert run(["--work", str(work), *arguments]) == 0
    plan = json.loads((work / "plan.json").read_text())
    assert plan["artifacts"][0]["key"] == (
        "ml-models/amazon/metrics_correlation/1.0.0/torch_script/metrics_correlation-1.0.0-torch_script.zip"
    )
    assert [code["path"] for code in plan["source"]["remote_code"]] == ["bursts.pt"]
    archive = work / "archives" / plan["artifacts"][0]["file_name"]
    with zipfile.ZipFile(archive) as zipped:
        assert zipped.namelist() == ["metrics_correlation.pt", "tokenizer.json"]
    config = json.loads((work / "archives" / "torch_script.config.json").read_text())
    assert config["function_name"] == "METRICS_CORRELATION"
    assert set(config["model_config"]) == {"model_type", "embedding_dimension", "framework_type"}
    proof = json.loads((work / "proof-runtime-torch_script.json").read_text())
    assert len(proof["comparisons"]) >= 64
    assert {item["max_abs"] for item in proof["comparisons"]} == {0.0}
    assert "Runs the model's own code" in (work / "review.md").read_text()
    capsys.readouterr()
    certificate = str(work / "certificate-torch_script.json")
    assert run(["--work", str(tmp_path / "again"), "--json", "rebuild", certificate, "--model", str(model)]) == 0
    assert json.loads(capsys.readouterr().out)["same"] is True
    assert run(["--work", str(tmp_path / "none"), "--json", "compat", str(archive)]) == 0
    words = {one["version"]: one["verdict"] for one in json.loads(capsys.readouterr().out)["verdicts"]}
    assert (words["2.6"], words["2.7"], words["3.6"]) == ("refused", "deploys", "deploys")
