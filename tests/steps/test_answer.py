"""``release-tool answer``: the same answers that validate would have measured by, and validate takes them."""

from __future__ import annotations

import json

import pytest
from tiny_models import make

from release_tool.cli import run
from release_tool.documents import file_sha256


def test_what_answer_writes_is_what_validate_measures_by(tmp_path, capsys):
    model = make(tmp_path / "tiny", "bert", "dense")
    work = tmp_path / "work"
    base = ["--work", str(work)]
    assert run([*base, "plan", str(model), "--version", "1.0.0", "--format", "ONNX"]) == 0
    assert run([*base, "answer"]) == 2
    assert "release-tool fetch first" in capsys.readouterr().err
    assert run([*base, "fetch"]) == 0
    assert run([*base, "answer"]) == 0
    answers = work / "answers-dense.safetensors"
    first = file_sha256(answers)
    assert f"answers-dense.safetensors  sha256:{first}" in capsys.readouterr().out
    assert run([*base, "answer"]) == 0
    assert "answered already" in capsys.readouterr().err
    assert run([*base, "trace", "--no-answers"]) == 0
    assert run([*base, "validate"]) == 0
    assert file_sha256(answers) == first
    assert json.loads((work / "certificate-onnx.json").read_text())["answers_sha256"] == first


@pytest.mark.parametrize("path", ["config.json", "model.safetensors"])
def test_a_snapshot_that_changed_gives_no_answers(tmp_path, path, capsys):
    model = make(tmp_path / "tiny", "bert", "dense")
    base = ["--work", str(tmp_path / "work")]
    assert run([*base, "plan", str(model), "--version", "1.0.0"]) == 0
    assert run([*base, "fetch"]) == 0
    file = tmp_path / "work" / "snapshot" / path
    file.write_bytes(file.read_bytes() + b" ")
    assert run([*base, "answer"]) == 7
    assert "is not what was fetched" in capsys.readouterr().err
    assert not (tmp_path / "work" / "answers-dense.safetensors").exists()
