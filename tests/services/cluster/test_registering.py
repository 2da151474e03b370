"""A real OpenSearch takes archives by parts and by address, goes on after a kill, and keeps nothing of a refusal."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace

import pytest
import torch
from toys import WIDTH, config, example, exported, tokenizer, zipped

from release_tool.cli import run
from release_tool.console import Console
from release_tool.core.ml import api, register, searches
from release_tool.core.ml.clusters import of_url
from release_tool.core.ml.register import CHUNK_BYTES, RateLimiter, Wishes
from release_tool.core.ml.upload import upload_name
from release_tool.errors import IntegrityError, Refused, RemoteFailed, ServiceUnable
from release_tool.services.archive_server import serve_file
from release_tool.services.cluster import registering
from release_tool.services.cluster.grouping import find_group
from release_tool.services.cluster.registering import Desk, register_archive, register_body
from release_tool.services.cluster.transport import Cluster
from release_tool.services.cluster.undoing import remove_group, remove_model
from release_tool.services.cluster.uploading import present
from release_tool.steps.ml.deploying import deploy_model

pytestmark = pytest.mark.node

CHUNKS = 4


@pytest.fixture(scope="module")
def cluster(node):
    with Cluster(of_url(node.url, has_user=False), {}, pauses=()) as found:
        yield found


@pytest.fixture
def name():
    return f"m1-{secrets.token_hex(6)}"


@pytest.fixture
def clean(cluster, name):
    """Delete whatever a test leaves under its name."""
    yield
    for model_id, _ in models_named(cluster, name):
        remove_model(cluster, model_id)
    for one in (name, f"{name}-group"):
        group = find_group(cluster, one)
        if group is not None:
            remove_group(cluster, group.group_id)


class Tokens(torch.nn.Module):
    """The tokens' own numbers as their vectors: enough to be pooled."""

    def forward(self, input_ids, attention_mask, token_type_ids):
        seen = (input_ids + token_type_ids * 0).float() * attention_mask.float()
        return seen.unsqueeze(-1) * torch.ones(WIDTH)


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """Return a dense model's archive and its config.json."""
    folder = tmp_path_factory.mktemp("dense")
    model = exported(Tokens(), example(), ["input_ids", "attention_mask", "token_type_ids"])
    archive = zipped(folder / "dense.zip", {"model.onnx": model, "tokenizer.json": tokenizer()})
    return archive, config(folder / "dense.config.json", "TEXT_EMBEDDING", "ONNX", pooling_mode="mean")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Return a tokenizer's archive of four chunks: bytes beside the model are part of it."""
    members = {
        "tokenizer.json": tokenizer(),
        "idf.json": '{"red": 2.5}',
        "padding.bin": os.urandom(CHUNK_BYTES * 3 + 17),
    }
    return zipped(tmp_path_factory.mktemp("archive") / "tokens.zip", members)


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def body_of(archive, name, **wished):
    wishes = Wishes(name=name, **wished)
    said = {"function_name": "SPARSE_TOKENIZE", "model_format": "TORCH_SCRIPT"}
    return register.by_chunks(said, archive.stat().st_size, sha256_of(archive), wishes)


@pytest.fixture
def desk(tmp_path):
    return Desk(console=Console(verbosity=-1), work=tmp_path)


def models_named(cluster, name):
    return searches.hits(cluster.send(searches.models_of_name(name)))


# ---------------------------------------------------------------------------------------------------------------------
# By parts


@pytest.mark.usefixtures("clean")
def test_an_archive_sent_by_parts_deploys_and_a_second_run_sends_nothing(cluster, archive, name, desk):
    done = register_archive(cluster, archive, body_of(archive, name), desk)
    assert (done.sent_bytes, done.reused) == (archive.stat().st_size, False)
    assert deploy_model(cluster, done.model_id, desk.console)
    again = register_archive(cluster, archive, body_of(archive, name), desk)
    assert (again.model_id, again.reused, again.sent_bytes) == (done.model_id, True, 0)
    assert len(models_named(cluster, name)) == 1
    assert not (desk.work / upload_name(sha256_of(archive))).exists()


KILLED = """
import os, signal, sys
from release_tool.services.cluster import transport

send = transport.Cluster.send
left = int(sys.argv.pop(1))

def counted(self, request, **options):
    global left
    answer = send(self, request, **options) if left or request.content is None else None
    if request.content is not None:
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return answer

transport.Cluster.send = counted
from release_tool.cli import main
main(sys.argv[1:])
"""


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("after", [1, CHUNKS - 1, CHUNKS])
def test_an_upload_that_was_killed_goes_on_where_it_was(*, node, cluster, archive, name, tmp_path, capsys, after):
    said = config(tmp_path / "config.json", "SPARSE_TOKENIZE", "TORCH_SCRIPT")
    line = [
        "ml", "register", str(archive), "--config", str(said), "--name", name, "--group", f"{name}-group",
        "--cluster", node.url, "--work", str(tmp_path / "work"),
    ]  # fmt: skip
    killed = subprocess.run([sys.executable, "-c", KILLED, str(after), *line], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    ((model_id, _),) = models_named(cluster, name)
    assert present(cluster, model_id) == frozenset(range(after))
    assert (cluster.send(api.get_model(model_id))["model_state"] == "REGISTERED") is (after == CHUNKS)
    assert run(["--json", *line]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["model_id"] == model_id
    rest = archive.stat().st_size - after * CHUNK_BYTES
    assert done["sent_bytes"] == (0 if after == CHUNKS else rest)
    assert len(models_named(cluster, name)) == 1
    # The server compares the sha256 of all parts together when it deploys.
    assert deploy_model(cluster, model_id, Console(verbosity=-1))


@pytest.mark.usefixtures("clean")
def test_a_second_copy_that_was_cut_is_gone_on_with(cluster, archive, name, desk, monkeypatch):
    first = register_archive(cluster, archive, body_of(archive, name), desk)
    again = replace(desk, again=True)

    def cut(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(registering, "upload", cut)
        with pytest.raises(KeyboardInterrupt):
            register_archive(cluster, archive, body_of(archive, name), again)
    second = register_archive(cluster, archive, body_of(archive, name), again)
    assert {ident for ident, _ in models_named(cluster, name)} == {first.model_id, second.model_id}


@pytest.mark.usefixtures("clean")
def test_a_config_of_another_archive_is_refused_before_a_byte_leaves(node, cluster, archive, name, tmp_path, capsys):
    said = tmp_path / "config.json"
    config(said, "SPARSE_TOKENIZE", "TORCH_SCRIPT")
    said.write_text(json.dumps({**json.loads(said.read_text()), "model_content_hash_value": "ab" * 32}))
    code = run(["ml", "register", str(archive), "--config", str(said), "--name", name, "--cluster", node.url])
    assert code == IntegrityError.exit_code
    assert "nothing was sent" in capsys.readouterr().err
    assert models_named(cluster, name) == ()


@pytest.mark.usefixtures("clean")
def test_the_last_part_of_a_file_that_changed_is_held_back_and_nothing_is_left(cluster, archive, name, desk, tmp_path):
    changing = tmp_path / "changing.zip"
    changing.write_bytes(archive.read_bytes())
    body = body_of(changing, name)
    with changing.open("r+b") as stream:
        stream.seek(5)
        stream.write(b"x")
    with pytest.raises(IntegrityError, match="changed while"):
        register_archive(cluster, changing, body, desk)
    assert models_named(cluster, name) == ()
    assert find_group(cluster, name) is None


@pytest.mark.usefixtures("clean")
def test_an_archive_that_no_node_can_load_is_taken_away_with_its_group(node, cluster, name, tmp_path, capsys):
    broken = zipped(tmp_path / "broken.zip", {"readme.txt": "nothing"})
    said = config(tmp_path / "config.json", "SPARSE_TOKENIZE", "TORCH_SCRIPT")
    line = ["ml", "register", str(broken), "--config", str(said), "--name", name, "--deploy", "--cluster", node.url]
    assert run([*line, "--work", str(tmp_path / "work")]) == 6
    assert models_named(cluster, name) == ()
    assert run([*line, "--work", str(tmp_path / "work"), "--force"]) == RemoteFailed.exit_code
    assert models_named(cluster, name) == ()
    capsys.readouterr()
    assert run([*line, "--work", str(tmp_path / "work"), "--force", "--keep"]) == RemoteFailed.exit_code
    assert len(models_named(cluster, name)) == 1


@pytest.mark.usefixtures("clean")
def test_what_the_last_part_makes_the_server_forget_is_set_again(cluster, name, desk, dense):
    path, said = dense[0], json.loads(dense[1].read_text())
    limit = RateLimiter(limit=7, unit="MINUTES")
    wishes = Wishes(name=name, description="what it is", is_enabled=False, rate_limiter=limit)
    body = register.by_chunks(said, path.stat().st_size, sha256_of(path), wishes)
    done = register_archive(cluster, path, body, desk)
    found = cluster.send(api.get_model(done.model_id))
    assert found["description"] == "what it is"
    assert found["is_enabled"] is False
    assert found["rate_limiter"]["limit"] in ("7", 7, "7.0", 7.0)


# ---------------------------------------------------------------------------------------------------------------------
# By address


def url_body(archive, name, url, **wished):
    said = {"function_name": "SPARSE_TOKENIZE", "model_format": "TORCH_SCRIPT"}
    return register.by_url(said, url, sha256_of(archive), Wishes(name=name, **wished))


@pytest.mark.usefixtures("clean")
def test_a_register_by_address_into_a_new_group_and_a_second_one_that_reuses_it(cluster, archive, name, tmp_path):
    group = f"{name}-group"
    desk = Desk(console=Console(verbosity=-1), work=tmp_path, group=group, group_body={"description": "of a test"})
    with serve_file(archive) as url:
        done = register_body(cluster, url_body(archive, name, url), desk)
        assert done.group_made
        assert find_group(cluster, group).group_id == done.group_id
        again = register_body(cluster, url_body(archive, name, url), desk)
    assert (again.reused, again.model_id) == (True, done.model_id)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("own_group", [True, False])
def test_a_register_that_fails_leaves_neither_model_nor_group(cluster, archive, name, tmp_path, own_group):
    group = f"{name}-group" if own_group else None
    desk = Desk(console=Console(verbosity=-1), work=tmp_path, group=group)
    with serve_file(archive) as url:
        body = {**url_body(archive, name, url), "model_content_hash_value": "cd" * 32}
        with pytest.raises(RemoteFailed, match="not those of the hash"):
            register_body(cluster, body, desk)
    assert models_named(cluster, name) == ()
    assert find_group(cluster, group or name) is None


@pytest.mark.usefixtures("clean")
def test_a_group_that_was_there_is_not_taken_away_by_a_register_that_fails(cluster, archive, name, tmp_path):
    group = cluster.once(api.register_group({"name": f"{name}-group"}))["model_group_id"]
    desk = Desk(console=Console(verbosity=-1), work=tmp_path, group=f"{name}-group")
    with serve_file(archive) as url, pytest.raises(RemoteFailed):
        register_body(cluster, {**url_body(archive, name, url), "model_content_hash_value": "cd" * 32}, desk)
    assert find_group(cluster, group).name == f"{name}-group"


# ---------------------------------------------------------------------------------------------------------------------
# The commands


@pytest.fixture
def lines(node, capsys):
    """Return a function that runs an ml command and returns its JSON."""

    def ask(*words, code=0):
        assert run(["--json", "ml", *words, "--cluster", node.url]) == code
        said = capsys.readouterr()
        return json.loads(said.out) if code == 0 else said.err

    return ask


@pytest.mark.usefixtures("clean")
def test_a_model_is_deployed_changed_undeployed_and_deleted_with_its_group(lines, cluster, name, dense, tmp_path):
    path, said = dense
    made = lines(
        "register", str(path), "--config", str(said), "--name", name, "--work", str(tmp_path / "w"), "--deploy"
    )
    model = made["model_id"]
    assert made["deployed"]
    assert lines("get", model)["model_state"] == "DEPLOYED"
    assert [one["model_id"] for one in lines("search", name)] == [model]
    assert model in json.dumps(lines("profile", model))
    assert "Undeploy it first" in lines("delete", model, code=10)
    text = {"text_docs": ["red door"]}
    assert cluster.once(api.predict(model, text))["inference_results"]
    lines("update", model, "--disable")
    with pytest.raises(Refused, match="disabled"):
        cluster.once(api.predict(model, text))
    lines("update", model, "--enable", "--rate-limit", "1/hour")
    ended = time.monotonic() + 20
    seen = ""
    while "throttled" not in seen and time.monotonic() < ended:
        try:
            cluster.once(api.predict(model, text))
        except (Refused, ServiceUnable) as error:
            seen = str(error)
    assert "throttled" in seen
    lines("update", model, "--no-rate-limit")
    # The nodes learn of it after update has been answered, as they did of the limit.
    ended = time.monotonic() + 20
    while time.monotonic() < ended:
        with suppress(ServiceUnable):
            cluster.once(api.predict(model, text))
            break
        time.sleep(0.1)
    for _ in range(5):
        assert cluster.once(api.predict(model, text))["inference_results"]
    assert lines("undeploy", model)
    gone = lines("delete", model, "--undeploy", "--group")
    assert gone[0]["group_id"]
    assert "no such model" in lines("get", model, code=10)


@pytest.mark.usefixtures("clean")
def test_a_group_is_made_changed_listed_and_deleted(lines, name):
    made = lines("group", "create", f"{name}-group", "--description", "first")["model_group_id"]
    lines("group", "update", made, "--description", "second")
    (found,) = lines("group", "search", f"{name}-group")
    assert (found["model_group_id"], found["description"]) == (made, "second")
    assert "already" in lines("group", "create", f"{name}-group", code=10)
    lines("group", "delete", made)
    assert lines("group", "search", f"{name}-group") == []


def test_access_modes_are_refused_in_plain_words_where_access_control_is_off(lines, name):
    assert "access control" in lines("group", "create", name, "--access-mode", "private", code=10)


def test_a_task_that_nobody_knows_says_where_to_look(lines):
    assert "ml get" in lines("task", "no-such-task", code=10)


def test_the_counters_of_the_plugin_are_told(lines):
    assert "nodes" in lines("stats")
