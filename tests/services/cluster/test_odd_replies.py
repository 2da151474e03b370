"""Whatever a server answers, a command ends with a sentence about it, and --json stays JSON."""

from __future__ import annotations

import json

import pytest
from http_double import AnswersAll, Double

from release_tool.cli import run

ROOT = b'{"version": {"number": "3.6.0", "distribution": "opensearch"}}'
OBJECTS = [
    {"nodes": []},
    {"nodes": {"a": None}},
    {"nodes": {"a": {"roles": 7, "os": [], "fs": [], "jvm": 7, "models": 7}}},
    {"nodes": {"a": {"roles": ["data"], "os": {"mem": {"total_in_bytes": "x"}}, "models": {"m": [7]}}}},
    {"hits": []},
    {"hits": {"hits": [None, 7, {"_id": 5, "_source": 7}]}},
    {"persistent": [], "transient": 7, "defaults": None},
    {"task_id": 7, "state": [], "model_id": {}, "connector_id": [], "model_group_id": []},
    {"task_id": "t", "state": "COMPLETED", "worker_node": 7, "error": 7},
    {"task_id": "t", "state": "FAILED", "worker_node": ["a"], "error": '{"a": 7}'},
    {"w": {"mappings": []}},
]
REPLIES = [
    b"{}", b"[]", b"[7]", b"null", b'"x"', b"7", b"[" * 200_000, b'{"a":' * 3000 + b"1" + b"}" * 3000, b"\xff\xfe",
    b'{"algorithm": "TEXT_EMBEDDING", "model_state": "DEPLOYED", "inference_results": [{"output": [{"data": [NaN]}]}]}',
    *(json.dumps(one).encode() for one in OBJECTS),
]  # fmt: skip
CONNECTOR = {
    "name": "chat", "version": "1", "protocol": "http", "parameters": {"model": "m"},
    "credential": {"key": "${env.CHAT_KEY}"},
    "actions": [{
        "action_type": "predict", "method": "POST", "url": "https://models.example.org/chat",
        "headers": {"Authorization": "Bearer ${credential.key}"}, "request_body": '{"input": ${parameters.input}}',
    }],
}  # fmt: skip
GUARDRAILS = {
    "type": "local_regex", "input_guardrail": {"stop_words": [{"index_name": "w", "source_fields": ["t"]}]}
}  # fmt: skip
COMMANDS = [
    "get m", "search", "task t", "deploy m", "undeploy m", "predict m hi", "profile", "profile m", "stats", "doctor",
    "predict m hi --function text_embedding", "doctor --apply only_run_on_ml_node=false", "group search",
    "group create g", "connector create connector.json", "connector get c", "connector search",
    "register all-MiniLM-L6-v2 --wait 0.2", "register all-MiniLM-L6-v2 --group g --wait 0.2", "update m --disable",
    "register --remote c --name n --guardrails guardrails.json --wait 0.2", "delete m", "group delete g",
]  # fmt: skip


class Handler(AnswersAll):
    def answer(self):
        self.body()
        if self.path == "/":
            self.send(200, ROOT, "application/json")
        else:
            self.send(self.double.status, self.double.reply, "application/json")


class Server(Double):
    def __init__(self):
        super().__init__(Handler)
        self.status, self.reply = 200, b""


@pytest.mark.parametrize("words", COMMANDS)
def test_no_reply_is_taken_for_a_defect(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHAT_KEY", "MARKED-key")
    (tmp_path / "connector.json").write_text(json.dumps(CONNECTOR))
    (tmp_path / "guardrails.json").write_text(json.dumps(GUARDRAILS))

    def no_constant(text):
        raise AssertionError(f"{text} is no JSON")

    with Server() as server:
        for reply in REPLIES:
            server.reply = reply
            code = run(["--json", "ml", *words.split(), "--cluster", server.address, "--timeout", "5"])
            said = capsys.readouterr()
            assert code != 1, (reply[:100], said.err)
            assert "MARKED" not in said.out + said.err
            if said.out:
                json.loads(said.out, parse_constant=no_constant)


@pytest.mark.parametrize(
    "reply", [b"[" * 200_000, b'{"error": [7]}', b'{"error": {"reason": 7}}', b'{"error": "\\ud800"}']
)
def test_no_refusal_is_taken_for_a_defect(reply, capsys):
    with Server() as server:
        server.status, server.reply = 400, reply
        assert run(["ml", "get", "m", "--cluster", server.address]) == 10
    assert "was refused (400)" in capsys.readouterr().err
