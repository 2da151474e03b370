"""What an export of a command leaves on this machine, what it needs no cluster to know, and a stdin that is none."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from release_tool import cli


def test_an_export_of_predict_writes_no_answers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q.jsonl").write_text('"a"\n')
    words = ["predict", "m", "--function", "text_embedding", "--input", "q.jsonl", "--output", "answers.jsonl"]
    assert cli.run(["--json", "ml", "export-request", *words]) == 0
    (sent,) = json.loads(capsys.readouterr().out)
    assert sent["body"] == {"text_docs": ["a"]}
    assert [path.name for path in tmp_path.iterdir()] == ["q.jsonl"]


def test_guardrails_of_a_model_that_no_cluster_tells_of_are_exported(tmp_path, capsys):
    said = {"type": "local_regex", "input_guardrail": {"regex": ["(?s).*x.*"]}}
    (tmp_path / "g.json").write_text(json.dumps(said))
    words = ["update", "m", "--guardrails", str(tmp_path / "g.json")]
    assert cli.run(["--json", "ml", "export-request", *words]) == 0
    (sent,) = json.loads(capsys.readouterr().out)
    assert (sent["method"], sent["body"]) == ("PUT", {"guardrails": said})


@pytest.mark.parametrize(
    "words",
    [["predict", "m", "--function", "text_embedding", "--input", "-"], ["send", "-"], ["connector", "create", "-"]],
    ids=["predict", "send", "connector"],
)
@pytest.mark.parametrize(("given", "why"), [("<&-", "no stdin"), ("<bad", "")])
def test_a_stdin_that_is_closed_or_no_text_is_told(words, given, why, tmp_path):
    (tmp_path / "bad").write_bytes(b'"\xff"\n')
    line = [sys.executable, "-m", "release_tool", "ml", "export-request", *words]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {given}', "sh", *line], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert why in done.stderr


@pytest.mark.parametrize(
    ("key", "value"), [("model_config", 7), ("name", 7), ("description", []), ("function_name", "remote")]
)
@pytest.mark.parametrize("target", ["model.zip", "http://127.0.0.1:9/model.zip"])
def test_a_config_that_no_request_can_be_made_of_is_told_by_its_key(key, value, target, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = {"name": "m", "version": "1", "model_format": "ONNX", "model_content_hash_value": "ab" * 32, "url": "x"}
    (tmp_path / "model.zip").write_bytes(b"PK")
    (tmp_path / "c.json").write_text(json.dumps({**said, "function_name": "TEXT_EMBEDDING", key: value}))
    assert cli.run(["ml", "export-request", "register", target, "--config", "c.json"]) == 2
    assert f"config.json: {key}" in capsys.readouterr().err
