"""The commands that need no cluster, and what register is told about an archive before it asks one."""

from __future__ import annotations

import hashlib
import importlib
import json
import shlex
import subprocess
import sys
from http.server import BaseHTTPRequestHandler

import click
import pytest
from http_double import Double, ForDouble
from toys import config, tokenizer, zipped

from release_tool import cli
from release_tool.core.ml.register import CHUNK_BYTES
from release_tool.steps.lazy import TableGroup

NOWHERE = "http://127.0.0.1:9"


def groups(command, words=()):
    """Yield every lazy group with the words that lead to it."""
    yield words, command
    for name, below in command.commands.items():
        if isinstance(below, TableGroup):
            yield from groups(below, (*words, name))


GROUPS = [
    pytest.param(words, group, id=" ".join(words)) for words, group in groups(cli.cli.get_command(None, "ml"), ("ml",))
]


@pytest.mark.parametrize(("words", "group"), GROUPS)
def test_a_table_says_what_its_commands_say(words, group):
    for name, (module, line) in group.table.items():
        command = importlib.import_module(module).command
        assert command.get_short_help_str(limit=200) == line, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (name, parameter.name)


@pytest.mark.parametrize(("words", "group"), GROUPS)
def test_every_command_has_an_example_whose_options_exist(words, group):
    for name, command in group.commands.items():
        start = " ".join(("release-tool", *words, name))
        text = (command.help or "").replace("release-tool --json", "release-tool")
        examples = [
            shlex.split(line.strip().rstrip("\\")) for line in text.splitlines() if line.strip().startswith(start)
        ]
        assert examples, start
        below = getattr(command, "commands", {}).values()
        known = {
            option
            for one in (command, *below)
            for parameter in one.params
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        for example in examples:
            assert not [word for word in example if word.startswith("--") and word not in known], example


LOOK = """
import json, sys
from release_tool.cli import run
code = run(json.loads(sys.argv[1]))
heavy = {"opensearchpy", "boto3", "botocore", "numpy", "urllib3", "torch", "requests"}
print("\\n" + json.dumps([code, sorted(heavy & {name.split(".")[0] for name in sys.modules})]))
"""


@pytest.mark.parametrize(
    "words",
    [
        ["ml", "--help"],
        ["ml", "register", "--help"],
        ["ml", "pretrained", "list"],
        ["ml", "export-request", "deploy", "x"],
    ],
)
def test_what_asks_no_cluster_imports_nothing_heavy(words):
    done = subprocess.run([sys.executable, "-c", LOOK, json.dumps(words)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


# ---------------------------------------------------------------------------------------------------------------------
# export-request


def exported(capsys, *words, code=0):
    assert cli.run(["--json", "ml", "export-request", *words]) == code
    return json.loads(capsys.readouterr().out) if code == 0 else None


@pytest.fixture
def archive(tmp_path):
    path = zipped(tmp_path / "tok.zip", {"tokenizer.json": tokenizer(), "pad.bin": b"x" * (CHUNK_BYTES + 5)})
    config(tmp_path / "config.json", "SPARSE_TOKENIZE", "TORCH_SCRIPT")
    return path


def test_an_upload_is_exported_as_the_requests_that_it_is_made_of(archive, capsys, tmp_path):
    sent = exported(capsys, "--work", str(tmp_path / "w"), "register", str(archive), "--group", "ours", "--deploy")
    assert [
        (one["method"], one["path"].rpartition("/_ml/")[2].replace("%24%7Benv.MODEL_ID%7D", "ID")) for one in sent
    ] == [
        ("POST", "model_groups/_register"),
        ("POST", "models/_register_meta"),
        ("POST", "models/ID/upload_chunk/0"),
        ("POST", "models/ID/upload_chunk/1"),
        ("POST", "models/ID/_deploy"),
    ]
    assert sent[1]["body"]["total_chunks"] == 2
    assert sent[1]["body"]["model_content_hash_value"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert "${MODEL_ID}" in sent[2]["text"]
    assert not (tmp_path / "w").exists()


def test_a_text_that_looks_like_a_variable_is_exported_as_it_is(capsys):
    text = "${env.HOME} 'a' $HOME"
    words = ["predict", "abc", text, "--function", "text_embedding"]
    (sent,) = exported(capsys, *words)
    body = shlex.split(sent["text"])[-1]
    assert json.loads(body) == {"text_docs": [text]}
    assert '"${HOME}"' not in sent["text"]
    (sent,) = exported(capsys, "--as", "dev-tools", *words)
    assert text in sent["text"]


def test_a_swap_is_not_played_through_without_a_cluster(tmp_path, capsys):
    work = tmp_path / "w"
    assert cli.run(["--work", str(work), "ml", "export-request", "swap", "abc", "def", "--release", str(tmp_path)]) == 2
    assert "swap --dry-run" in capsys.readouterr().err
    assert not work.exists()


@pytest.mark.parametrize(("words", "why"), [(("predict", "abc", "hi"), "--function"), (("bench", "abc"), "predict")])
def test_what_a_model_does_must_be_said_where_no_cluster_says_it(words, why, capsys):
    assert cli.run(["ml", "export-request", *words]) == 2
    assert why in capsys.readouterr().err


def test_what_is_exported_for_an_older_server_has_its_names(capsys, archive):
    sent = exported(capsys, "--server-version", "2.6", "undeploy", "abc")
    assert [one["path"] for one in sent] == ["/_plugins/_ml/models/abc/_unload"]


def test_a_command_that_only_looks_is_exported_as_what_it_looks_at(capsys):
    assert [one["path"] for one in exported(capsys, "get", "abc")] == ["/_plugins/_ml/models/abc"]
    assert [one["path"] for one in exported(capsys, "search", "x")] == ["/_plugins/_ml/models/_search"]


def test_no_password_is_exported(capsys, monkeypatch):
    monkeypatch.setenv("RELEASE_TOOL_CLUSTER_USER", "ann")
    monkeypatch.setenv("RELEASE_TOOL_CLUSTER_PASSWORD", "MARKED")
    assert cli.run(["ml", "export-request", "deploy", "abc", "--cluster", "https://search.example.org"]) == 0
    text = capsys.readouterr().out
    assert "MARKED" not in text
    assert "$RELEASE_TOOL_CLUSTER_PASSWORD" in text


def test_a_pretrained_model_is_registered_by_its_name_with_neither_hash_nor_address(capsys):
    (sent,) = exported(capsys, "register", "opensearch-neural-sparse-tokenizer-v1", "--name", "left out")
    assert sent["body"] == {
        "name": "amazon/neural-sparse/opensearch-neural-sparse-tokenizer-v1",
        "version": "1.0.1",
        "function_name": "SPARSE_TOKENIZE",
        "model_format": "TORCH_SCRIPT",
    }


def test_the_options_of_register_stand_in_its_body(capsys):
    (sent,) = exported(
        capsys, "register", "all-MiniLM-L6-v2", "--format", "onnx", "--disable", "--rate-limit", "10/minute",
        "--no-auto-deploy", "--ttl", "5", "--access-mode", "restricted", "--backend-role", "a", "--backend-role", "b",
    )  # fmt: skip
    body = sent["body"]
    assert body["is_enabled"] is False
    assert body["rate_limiter"] == {"limit": "10", "unit": "MINUTES"}
    assert body["deploy_setting"] == {"is_auto_deploy_enabled": False, "model_ttl_minutes": 5}
    assert (body["access_mode"], body["backend_roles"]) == ("restricted", ["a", "b"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["register", "no-such-model"], "no pretrained model"),
        (["register", "all-MiniLM-L6-v2", "--version", "9.9.9"], "has no 9.9.9"),
        (["register", "distiluse-base-multilingual-cased-v1", "--format", "onnx"], "has no onnx"),
        (["register", "none.zip"], "no file"),
        (["register", "all-MiniLM-L6-v2", "--access-mode", "public", "--backend-role", "x"], "says who sees it"),
        (["register", "all-MiniLM-L6-v2", "--rate-limit", "5"], "no rate"),
        (["register", "all-MiniLM-L6-v2", "--model-config", "x"], "no KEY=VALUE"),
        (["register", "all-MiniLM-L6-v2", "--description", "a & b"], "refuses since 3.1"),
        (["export-request", "get", "x"], "sends no request of its own"),
        (["update", "abc"], "Nothing is to be changed"),
        (["group", "update", "abc"], "Nothing is to be changed"),
    ],
)
def test_what_can_not_be_asked_is_refused_with_its_reason(words, said, capsys):
    assert cli.run(["ml", "export-request", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_field_that_the_server_would_skip_in_silence_is_refused(capsys):
    words = ["ml", "export-request", "--server-version", "2.11", "register", "all-MiniLM-L6-v2", "--disable"]
    assert cli.run(words) == 2
    assert "came with 2.12" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------------------
# By address


class Files(ForDouble, BaseHTTPRequestHandler):
    def do_GET(self):
        data = self.double.files.get(self.path)
        self.send(404 if data is None else 200, data or b"", "application/octet-stream")


@pytest.fixture
def files():
    with Double(Files) as running:
        running.files = {"/a/model.zip": b"the bytes", "/a/config.json": json.dumps(CONFIG).encode()}
        yield running


CONFIG = {"name": "tiny", "function_name": "SPARSE_TOKENIZE", "model_format": "TORCH_SCRIPT"}
HASH = hashlib.sha256(b"the bytes").hexdigest()


def test_the_config_beside_an_address_is_used_and_its_sha256_must_be_known(files, capsys):
    url = f"{files.address}/a/model.zip"
    assert cli.run(["ml", "export-request", "register", url]) == 2
    assert "--download" in capsys.readouterr().err
    (given,) = exported(capsys, "register", url, "--sha256", HASH.upper())
    (loaded,) = exported(capsys, "register", url, "--download")
    assert given["body"] == loaded["body"] == {**CONFIG, "version": "1", "model_content_hash_value": HASH, "url": url}


def test_no_secret_of_an_address_is_sent_on_or_shown(files, capsys):
    url = f"{files.address}/a/model.zip".replace("://", "://ann:MARKED@")
    assert cli.run(["ml", "export-request", "register", url, "--sha256", HASH]) == 2
    said = capsys.readouterr()
    assert "password" in said.err
    assert "MARKED" not in said.out + said.err
    files.files["/a/config.json?X-Signature=MARKED"] = b"[" * 100_000
    assert cli.run(["ml", "export-request", "register", f"{files.address}/a/model.zip?X-Signature=MARKED"]) == 10
    said = capsys.readouterr()
    assert "config.json is no JSON" in said.err
    assert "MARKED" not in said.err


def test_an_address_without_a_config_needs_one(files, capsys, tmp_path):
    del files.files["/a/config.json"]
    url = f"{files.address}/a/model.zip"
    assert cli.run(["ml", "export-request", "register", url, "--sha256", HASH]) == 2
    assert "--config" in capsys.readouterr().err
    said = tmp_path / "c.json"
    said.write_text(json.dumps({**CONFIG, "model_content_hash_value": HASH}))
    (sent,) = exported(capsys, "register", url, "--config", str(said))
    assert sent["body"]["model_content_hash_value"] == HASH
    assert cli.run(["ml", "export-request", "register", url, "--config", str(said), "--sha256", "xyz"]) == 2


# ---------------------------------------------------------------------------------------------------------------------
# send, connection


def test_a_page_s_request_is_corrected_by_name_and_shown(tmp_path, capsys):
    page = tmp_path / "page.txt"
    page.write_text('POST /_plugins/_ml/model_groups/_register\n{"name": "a & b",}')
    words = ["ml", "export-request", "send", str(page)]
    assert cli.run(words) == 0
    said = capsys.readouterr()
    assert "corrected trailing-comma" in said.err
    assert "corrected character-set" in said.err
    assert '{"name": "a and b"}' in said.out


def test_no_cluster_and_an_unknown_name_are_told_apart(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("RELEASE_TOOL_CLUSTER", raising=False)
    assert cli.run(["ml", "get", "x"]) == 2
    assert "--cluster URL" in capsys.readouterr().err
    (tmp_path / "release-tool.toml").write_text(f'[clusters.here]\nurl = "{NOWHERE}"\n')
    assert cli.run(["ml", "get", "x", "--cluster", "hare", "--repo", str(tmp_path)]) == 2
    assert "here" in capsys.readouterr().err
    assert cli.run(["ml", "get", "x", "--cluster", "here", "--repo", str(tmp_path)]) == 11


def test_a_missing_extra_names_the_line_that_installs_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "opensearchpy", None)
    assert cli.run(["ml", "get", "x", "--cluster", NOWHERE]) == 2
    assert "release-tool[ml]" in capsys.readouterr().err


def test_a_password_in_the_clear_is_warned_of(monkeypatch, capsys):
    monkeypatch.setenv("RELEASE_TOOL_CLUSTER_USER", "ann")
    monkeypatch.setenv("RELEASE_TOOL_CLUSTER_PASSWORD", "x")
    assert cli.run(["ml", "export-request", "get", "x", "--cluster", "http://search.example.org:9200"]) == 0
    assert "unencrypted" in capsys.readouterr().err
