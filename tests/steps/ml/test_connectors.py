"""Connectors and remote models through the command line: what is refused, what is sent, what a person reads."""

from __future__ import annotations

import json
import time

import pytest
from model_server.server import KEY, ModelServer

from release_tool.cli import run
from release_tool.core.ml.trusted import PRIVATE_IP, SETTING

NOWHERE = ["--cluster", "http://127.0.0.1:9"]
SECRET = "MARKED-typed-secret-6Jf1"


def ml(capsys, *words, code=0):
    """Run an ml command and return what it printed on stdout and on stderr."""
    assert run(["ml", *map(str, words)]) == code, capsys.readouterr().err
    return capsys.readouterr()


def test_blueprints_are_listed_and_shown_with_their_variables(capsys):
    assert "sagemaker-embedding" in ml(capsys, "connector", "blueprints").out
    shown = ml(capsys, "connector", "blueprints", "bedrock-claude-3").out
    assert "region" in shown
    assert "${parameters.inputs}" in shown
    assert "did you mean" in ml(capsys, "connector", "blueprints", "bedrok-claude-3", code=2).err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "from a file or from a blueprint"),
        (["a.json", "--blueprint", "openai-chat"], "from a file or from a blueprint"),
        (["absent.json"], "can't be read"),
        (["--blueprint", "openai-chat", "--set", "model"], "has no value"),
        (["--blueprint", "openai-chat", "--set", "modle=x"], "did you mean model?"),
    ],
)
def test_what_names_no_connector_is_refused_before_a_cluster_is_asked(capsys, words, said):
    assert said in ml(capsys, "connector", "create", *words, *NOWHERE, code=2).err


def test_a_file_that_says_a_key_twice_is_refused(capsys, tmp_path):
    (tmp_path / "c.json").write_text('{"name": "a", "name": "b"}')
    assert "is no JSON" in ml(capsys, "connector", "create", tmp_path / "c.json", *NOWHERE, code=2).err


def test_a_secret_that_was_typed_is_refused_and_not_repeated(capsys):
    words = ["connector", "create", "--blueprint", "openai-chat", "--credential", f"openAI_key={SECRET}"]
    said = ml(capsys, "export-request", *words, code=2)
    assert "holds the secret itself" in said.err
    assert SECRET not in said.err + said.out


def test_an_exported_request_names_the_variable_and_not_its_value(capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_KEY", SECRET)
    said = ml(capsys, "export-request", "connector", "create", "--blueprint", "openai-chat")
    assert "${OPENAI_KEY}" in said.out
    assert "/_plugins/_ml/connectors/_create" in said.out
    assert SECRET not in said.out + said.err


def test_options_of_remote_models_go_with_remote_models(capsys):
    assert "--trust is about remote" in ml(capsys, "register", "x.zip", "--trust", *NOWHERE, code=2).err
    assert "--remote" in ml(capsys, "register", *NOWHERE, code=2).err
    assert "in a file" in ml(
        capsys, "export-request", "register", "--remote", "a1eMb4kBJ1", "--internal", "--name", "x", code=2
    ).err  # fmt: skip
    bad = ["export-request", "register", "--remote", "a1eMb4kBJ1", "--name", "x", "--interface", "claude"]
    assert "bedrock-claude-3-sonnet" in ml(capsys, *bad, code=2).err


@pytest.mark.node
def test_a_remote_model_goes_from_a_file_to_an_answer_and_away_again(capsys, node, monkeypatch, tmp_path):
    from release_tool.core.ml.clusters import of_url
    from release_tool.core.ml.request import Request
    from release_tool.services.cluster.transport import Cluster

    monkeypatch.setenv("RELEASE_TOOL_CLUSTER", node.url)
    monkeypatch.setenv("OPENAI_KEY", KEY)
    cluster = Cluster(of_url(node.url, has_user=False), {})

    def setting(values):
        cluster.send(Request(method="PUT", path="/_cluster/settings", body={"persistent": values}))

    setting({PRIVATE_IP: True})
    try:
        with ModelServer() as models:
            source = ["--blueprint", "openai-chat", "--set", f"base_url={models.address}/v1"]
            assert "--trust adds" in ml(capsys, "connector", "create", *source, code=2).err
            made = json.loads(ml(capsys, "--json", "connector", "create", *source, "--trust").out)
            ident = made["connector_id"]
            assert len(made["trusted"]) == 1
            assert KEY not in ml(capsys, "connector", "get", ident).out
            guardrails = tmp_path / "guardrails.json"
            guardrails.write_text('{"input_guardrail": {"regex": ["(?s).*password.*"]}}')
            side = tmp_path / "input.json"
            side.write_text('{"properties": {"parameters": {"required": ["messages"]}}}')
            words = ["register", "--remote", ident, "--name", "chat by command", "--guardrails", guardrails]
            done = json.loads(ml(capsys, "--json", *words, "--input-schema", side, "--deploy").out)
            assert (done["connector_id"], done["connector_made"], done["deployed"]) == (ident, False, True)
            ask = ["--json", "predict", done["model_id"], "--parameter"]
            hello = ml(capsys, *ask, 'messages=[{"role": "user", "content": "hello"}]').out
            assert "It is sunny." in hello
            stopped = ml(capsys, *ask, 'messages=[{"role": "user", "content": "my password"}]', code=10)
            assert "guardrail" in stopped.err + stopped.out
            refused = ml(capsys, *ask, "prompt=hello", code=10)
            assert "does not fit the interface" in refused.err + refused.out
            guardrails.write_text('{"input_guardrail": {"regex": ["(?s).*hello.*"]}}')
            ml(capsys, "update", done["model_id"], "--guardrails", guardrails)
            assert soon_refused(capsys, *ask, 'messages=[{"role": "user", "content": "hello"}]')
            assert "Models use the connector" in ml(capsys, "connector", "delete", ident, code=10).err
            ml(capsys, "undeploy", done["model_id"])
            ml(capsys, "delete", done["model_id"])
            assert ident in ml(capsys, "connector", "delete", ident).out
    finally:
        setting({PRIVATE_IP: None, SETTING: None})
        cluster.close()


def soon_refused(capsys, *words):
    """Tell whether a question is refused within a few seconds: nodes hear of an update after it was answered."""
    for _ in range(50):
        if run(["ml", *map(str, words)]) == 10:
            return "guardrail" in capsys.readouterr().err
        capsys.readouterr()
        time.sleep(0.1)
    return False
