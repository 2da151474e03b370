from __future__ import annotations

import hashlib
import json
import socket
import time
from dataclasses import replace

import pytest
from hub.repositories import blob_sha1

from release_tool.errors import (
    BadToken,
    GatedModel,
    IntegrityError,
    MachineError,
    ModelNotFound,
    RevisionNotFound,
    SourceError,
    Unreachable,
    UnsafeModel,
    UnsupportedModel,
    UsageError,
)
from release_tool.services.checked_files import INCOMPLETE
from release_tool.services.hub import HubSource
from release_tool.services.hub_client import HubClient, pause_of
from release_tool.services.open_source import open_source
from release_tool.services.sources import MAX_READ_BYTES

WEIGHTS = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(22_000))[:700_000]
MODULES = json.dumps(
    [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
)
SMALL = {
    "config.json": '{"architectures": ["BertModel"], "model_type": "bert"}',
    "tokenizer.json": json.dumps({"model": {"vocab": {f"w{n}": n for n in range(500)}}}),
    "modules.json": MODULES,
    "1_Pooling/config.json": "{}",
    "README.md": "---\nlicense: mit\n---\n",
}
MODEL = {**SMALL, "model.safetensors": WEIGHTS}


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def source(hub, pauses):
    """Return a function that opens acme/tiny as a step would, but with pauses noted in place of slept."""

    def opened(name="acme/tiny", **over):
        return HubSource(name, client=HubClient(sleep=pauses.append), **over)

    return opened


def fetched(source, folder, pinned=None):
    """Download everything and return path → bytes of what lies there, unfinished files included."""
    source.download((pinned or source.pin()).files, folder, lambda _: None)
    return lying(folder)


def lying(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size
    }


def encoded(files):
    return {path: data.encode() if isinstance(data, str) else data for path, data in files.items()}


# --- the double speaks what the library speaks -----------------------------------------------------------------------


def test_the_hub_of_the_tests_serves_huggingface_hub_itself(hub, tmp_path):
    from huggingface_hub import HfApi, snapshot_download

    repository = hub.add("acme/tiny", {**MODEL, "onnx/model.onnx": b"x" * 10})
    repository.tag("v1")
    moved = repository.commit({"config.json": "{}"})
    folder = snapshot_download("acme/tiny", revision="v1", endpoint=hub.endpoint, cache_dir=tmp_path / "c")
    assert folder.endswith(repository.tags["v1"])
    api = HfApi(endpoint=hub.endpoint)
    assert api.model_info("acme/tiny").sha == moved
    checked = api.verify_repo_checksums("acme/tiny", revision="v1", cache_dir=tmp_path / "c")
    assert checked.checked_count == len(MODEL) + 1
    assert not checked.mismatches
    (entry,) = api.get_paths_info("acme/tiny", ["model.safetensors"], revision="v1")
    assert entry.lfs.sha256 == hashlib.sha256(WEIGHTS).hexdigest()


# --- pinning ---------------------------------------------------------------------------------------------------------


def test_a_branch_is_pinned_to_its_commit_with_the_hubs_own_digests(hub, source):
    repository = hub.add("acme/tiny", MODEL)
    pinned = source().pin()
    assert pinned.model_id == "acme/tiny"
    assert pinned.revision == repository.branches["main"]
    assert pinned.requested_revision is None
    digests = {file.path: file.digest for file in pinned.files}
    assert digests["model.safetensors"] == "sha256:" + hashlib.sha256(WEIGHTS).hexdigest()
    assert digests["config.json"] == "git-sha1:" + blob_sha1(SMALL["config.json"].encode())
    assert set(digests) == set(MODEL)


@pytest.mark.parametrize("ask", ["v1.0", "feature/x", "short", "full"])
def test_tags_branches_with_a_slash_and_commits_are_resolved(hub, source, ask):
    repository = hub.add("acme/tiny", MODEL)
    first = repository.branches["main"]
    repository.tag("v1.0")
    repository.branches["feature/x"] = first
    repository.commit({"config.json": "{}"})
    revision = {"short": first[:8], "full": first}.get(ask, ask)
    pinned = source(revision=revision).pin()
    assert (pinned.revision, pinned.requested_revision) == (first, revision)


def test_the_revision_is_resolved_once_and_every_file_is_asked_for_at_that_commit(hub, source, tmp_path):
    repository = hub.add("acme/tiny", MODEL)
    opened = source(revision="main")
    pinned = opened.pin()
    repository.commit({"config.json": '{"moved": true}', "model.safetensors": b"other" * 50_000})
    assert opened.pin() is pinned
    assert opened.read("config.json") == SMALL["config.json"].encode()
    assert fetched(opened, tmp_path) == encoded(MODEL)
    assert len(hub.asked("/api/models/acme/tiny/revision/")) == 1
    assert all(f"/resolve/{pinned.revision}/" in request.path for request in hub.asked("/resolve/"))


def test_a_long_file_list_is_read_page_by_page_from_the_endpoint_itself(hub, source):
    hub.page_size = 2
    hub.add("acme/tiny", MODEL)
    assert {file.path for file in source().pin().files} == set(MODEL)
    assert len(hub.asked("/tree/")) > 2


def test_a_mirror_that_answers_with_another_commit_is_refused(hub, source, monkeypatch):
    repository = hub.add("acme/tiny", MODEL)
    old = repository.branches["main"]
    repository.commit({"config.json": "{}"})
    resolve = repository.resolve
    monkeypatch.setattr(repository, "resolve", lambda revision: resolve("main"))
    with pytest.raises(IntegrityError, match="answers with"):
        source(revision=old).pin()


# --- which files -----------------------------------------------------------------------------------------------------


def test_only_what_a_model_needs_is_taken(hub, source):
    extra = {
        "onnx/model.onnx": b"o",
        "onnx/config.json": "{}",
        "openvino/openvino_model.bin": b"o",
        "openvino/openvino_model.xml": "<x/>",
        "tf_model.h5": b"h",
        "flax_model.msgpack": b"f",
        "rust_model.ot": b"r",
        "pytorch_model.bin": b"p",
        "pytorch_model.bin.index.json": "{}",
        "model.fp16.safetensors": b"v",
        "training_args.bin": b"t",
        "optimizer.pt": b"t",
        "checkpoint-500/model.safetensors": b"c",
        "modeling_tiny.py": "raise SystemExit",
        ".gitattributes": "*.bin",
        "picture.png": b"p",
        "LICENSE": "words",
    }
    hub.add("acme/tiny", {**MODEL, **extra})
    assert {file.path for file in source().pin().files} == {*MODEL, "LICENSE"}


def test_sharded_weights_are_taken_by_their_index(hub, source, tmp_path):
    shards = {f"model-0000{n}-of-00002.safetensors": WEIGHTS[n * 1000 : n * 1000 + 90_000] for n in (1, 2)}
    index = json.dumps({"metadata": {}, "weight_map": {f"w{n}": name for n, name in enumerate(shards)}})
    files = {**SMALL, **shards, "model.safetensors.index.json": index}
    hub.add("acme/tiny", {**files, "model-00001-of-00009.safetensors": b"old"})
    assert fetched(source(), tmp_path) == encoded(files)


def test_a_shard_that_the_index_names_and_the_model_lacks_is_named(hub, source):
    index = json.dumps({"weight_map": {"w": "model-00002-of-00002.safetensors"}})
    hub.add("acme/tiny", {**SMALL, "model.safetensors.index.json": index})
    with pytest.raises(UnsupportedModel, match=r"model-00002-of-00002\.safetensors"):
        source().pin()


def test_pickle_only_weights_are_refused_by_name_and_taken_when_allowed(hub, source, tmp_path):
    files = {**SMALL, "pytorch_model.bin": b"pickle" * 100}
    hub.add("acme/tiny", {**files, "training_args.bin": b"t"})
    with pytest.raises(UnsafeModel, match=r"pytorch_model\.bin") as caught:
        source().pin()
    assert "--allow-pickle" in caught.value.hint
    assert fetched(source(allow_pickle=True), tmp_path) == encoded(files)


def test_a_pickle_in_a_module_beside_safe_weights_is_refused_too(hub, source):
    modules = json.dumps([*json.loads(MODULES), {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}])
    files = {**MODEL, "modules.json": modules, "2_Dense/config.json": "{}", "2_Dense/pytorch_model.bin": b"p"}
    hub.add("acme/tiny", files)
    with pytest.raises(UnsafeModel, match=r"2_Dense/pytorch_model\.bin"):
        source().pin()
    assert "2_Dense/pytorch_model.bin" in {file.path for file in source(allow_pickle=True).pin().files}


@pytest.mark.parametrize(
    ("name", "word"), [("tf_model.h5", "TensorFlow"), ("flax_model.msgpack", "Flax"), ("model.gguf", "no weights")]
)
def test_weights_for_other_libraries_only_are_their_own_error(hub, source, name, word):
    hub.add("acme/tiny", {**SMALL, name: b"w"})
    with pytest.raises(UnsupportedModel, match=word) as caught:
        source(allow_pickle=True).pin()
    assert name in str(caught.value)


def test_a_tokenizer_without_weights_is_a_source(hub, source):
    files = {"tokenizer.json": SMALL["tokenizer.json"], "idf.json": "{}"}
    hub.add("acme/tiny", files)
    assert {file.path for file in source().pin().files} == set(files)


@pytest.mark.parametrize(
    "path", ["../evil.json", "a/../../evil.json", "/etc/evil.json", "a\\b.json", "remote_code/x.json"]
)
def test_a_path_that_could_leave_the_folder_is_refused(hub, source, tmp_path, path):
    hub.add("acme/tiny", {**MODEL, path: "x"})
    with pytest.raises(UnsafeModel, match="can't be written safely"):
        source().pin()


# --- remote code -----------------------------------------------------------------------------------------------------

AUTO_MAP = json.dumps({"auto_map": {"AutoModel": "modeling_tiny.Tiny", "AutoConfig": "acme/code--config_tiny.Config"}})


def test_remote_code_is_refused_without_the_flag_and_named(hub, source):
    hub.add("acme/tiny", {**MODEL, "config.json": AUTO_MAP, "modeling_tiny.py": "x = 1"})
    with pytest.raises(UnsafeModel, match=r"modeling_tiny\.Tiny") as caught:
        source().pin()
    assert "--trust-remote-code" in caught.value.hint


def test_a_custom_module_class_counts_as_remote_code(hub, source):
    modules = json.dumps([{"path": "", "type": "custom_st.Transformer"}])
    hub.add("acme/tiny", {**MODEL, "modules.json": modules, "custom_st.py": "x = 1"})
    with pytest.raises(UnsafeModel, match=r"custom_st\.Transformer"):
        source().pin()


def test_allowed_code_is_pinned_with_digests_and_the_other_repositorys_commit(hub, source, tmp_path):
    repository = hub.add("acme/tiny", {**MODEL, "config.json": AUTO_MAP, "modeling_tiny.py": "x = 1"})
    code = hub.add("acme/code", {"config_tiny.py": "y = 2", "deep/part.py": "z = 3", "weights.bin": b"no"})
    pinned_commit = code.branches["main"]
    opened = source(trust_remote_code=True)
    pinned = opened.pin()
    assert {(item.repo, item.revision, item.path) for item in pinned.remote_code} == {
        ("acme/tiny", repository.branches["main"], "modeling_tiny.py"),
        ("acme/code", pinned_commit, "config_tiny.py"),
        ("acme/code", pinned_commit, "deep/part.py"),
    }
    code.commit({"config_tiny.py": "raise SystemExit('moved')"})
    foreign = tuple(item for item in pinned.remote_code if item.repo == "acme/code")
    opened.download(pinned.files, tmp_path, lambda _: None)
    opened.download_code(foreign, tmp_path, lambda _: None)
    assert (tmp_path / "modeling_tiny.py").read_text() == "x = 1"
    assert (tmp_path / "remote_code/acme/code/config_tiny.py").read_text() == "y = 2"
    hub.forget()
    opened.download_code(foreign, tmp_path, lambda _: None)
    assert not hub.requests


def test_code_of_another_repository_that_was_tampered_with_is_refused(hub, source, tmp_path):
    hub.add("acme/tiny", {**MODEL, "config.json": AUTO_MAP, "modeling_tiny.py": "x = 1"})
    hub.add("acme/code", {"config_tiny.py": "y = 2"})
    opened = source(trust_remote_code=True)
    code = tuple(item for item in opened.pin().remote_code if item.repo == "acme/code")
    hub.fault("acme/code/resolve", flip=0)
    with pytest.raises(IntegrityError, match=r"config_tiny\.py"):
        opened.download_code(code, tmp_path, lambda _: None)
    assert not list(tmp_path.rglob("*.py"))


# --- refusals, told apart --------------------------------------------------------------------------------------------


def test_a_model_that_is_not_there_is_named(hub, source):
    with pytest.raises(ModelNotFound, match="acme/nothing"):
        source("acme/nothing").pin()


def test_a_private_model_is_not_found_without_a_token_and_read_with_one(hub, source, tmp_path, monkeypatch):
    hub.add("acme/tiny", MODEL, private=True, readers=["hf_reader"])
    hub.tokens.add("hf_stranger")
    with pytest.raises(ModelNotFound) as caught:
        source().pin()
    assert "HF_TOKEN" in caught.value.hint
    monkeypatch.setenv("HF_TOKEN", "hf_stranger")
    with pytest.raises(ModelNotFound, match="this token"):
        source().pin()
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    assert fetched(source(), tmp_path) == encoded(MODEL)


def test_the_token_goes_to_the_hub_and_never_to_the_store(hub, source, tmp_path, monkeypatch):
    hub.add("acme/tiny", MODEL, private=True, readers=["hf_reader"])
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    fetched(source(), tmp_path)
    assert {request.token for request in hub.asked("/store/")} == {None}
    assert {request.token for request in hub.asked("/(api|acme)/")} == {"hf_reader"}
    assert {request.host for request in hub.asked("/store/")} == {"localhost"}


def test_a_gated_model_asks_for_consent_and_says_so_to_a_stranger_with_a_token(hub, source, monkeypatch):
    hub.add("acme/tiny", MODEL, gated=True, readers=["hf_reader"])
    hub.tokens.add("hf_stranger")
    with pytest.raises(GatedModel, match="asks for consent"):
        source().pin()
    monkeypatch.setenv("HF_TOKEN", "hf_stranger")
    with pytest.raises(GatedModel, match="has no access"):
        source().pin()
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    assert source().pin().files


def test_a_bad_token_is_a_bad_token_even_when_everything_lies_in_a_warm_cache(hub, source, monkeypatch, tmp_path):
    from huggingface_hub import snapshot_download

    hub.add("acme/tiny", MODEL)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    snapshot_download("acme/tiny", endpoint=hub.endpoint, cache_dir=tmp_path / "cache")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(BadToken, match="Invalid credentials"):
        source().pin()


def test_a_token_with_a_line_break_inside_is_refused_before_it_is_sent(hub, source, monkeypatch):
    hub.add("acme/tiny", MODEL)
    monkeypatch.setenv("HF_TOKEN", "hf_a\nX-Evil: 1")
    with pytest.raises(BadToken):
        source().pin()
    assert not hub.requests


@pytest.mark.parametrize("revision", ["nowhere", "0" * 40])
def test_a_revision_that_is_not_there_is_named(hub, source, revision):
    hub.add("acme/tiny", MODEL)
    with pytest.raises(RevisionNotFound, match=revision):
        source(revision=revision).pin()


@pytest.mark.parametrize("name", ["tiny", "acme/tiny/more", "acme/../x", "acme/ti ny", ""])
def test_what_is_no_model_id_never_reaches_the_hub(hub, name):
    with pytest.raises(ModelNotFound):
        HubSource(name)
    assert not hub.requests


def test_a_path_that_is_no_folder_is_not_taken_for_a_model_id(hub):
    with pytest.raises(ModelNotFound, match="no folder"):
        open_source("./missing/model", revision=None)
    assert not hub.requests


def test_a_rate_limit_is_waited_out_as_the_hub_asks(hub, source, pauses):
    hub.add("acme/tiny", MODEL)
    hub.fault("/tree/", status=429, times=2, headers={"Retry-After": "7"})
    assert source().pin().files
    assert pauses == [7.0, 7.0]


def test_a_rate_limit_that_lasts_ends_in_its_own_words(hub, source, pauses):
    hub.add("acme/tiny", MODEL)
    hub.fault("/tree/", status=429, times=99, headers={"Retry-After": "9"})
    with pytest.raises(Unreachable, match=r"limits the rate.*9 s") as caught:
        source().pin()
    assert "HF_TOKEN" in caught.value.hint
    assert pauses == [9.0] * 4


def test_a_pause_of_an_hour_is_not_waited_for(hub, source, pauses):
    hub.add("acme/tiny", MODEL)
    hub.fault("/tree/", status=429, times=99, headers={"Retry-After": "3600"})
    with pytest.raises(Unreachable, match="3600 s"):
        source().pin()
    assert pauses == []


def test_retry_after_is_read_in_both_of_its_forms():
    now = 1_700_000_000.0
    assert pause_of({"Retry-After": "12"}, now=lambda: now) == 12.0
    assert pause_of({"Retry-After": "Tue, 14 Nov 2023 22:13:50 GMT"}, now=lambda: now) == 30.0
    assert pause_of({"Retry-After": "Tue, 14 Nov 2023 22:00:00 GMT"}, now=lambda: now) == 0.0
    assert pause_of({"Retry-After": "soon"}) is None
    assert pause_of({}) is None


def test_nobody_at_the_address_is_unreachable_after_retries(hub, pauses):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        client = HubClient(env={"HF_ENDPOINT": address}, sleep=pauses.append)
        with pytest.raises(Unreachable, match="could not be reached") as caught:
            HubSource("acme/tiny", client=client).pin()
    assert "HF_ENDPOINT" in caught.value.hint
    assert pauses == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    "address",
    [
        "hub.example", "127.0.0.1:8080", "ftp://hub.example", "http://", "https:///models", "http://hub.example:port",
        "http://hub.example:99999", "http://[::1", "http://hub example", "file:///models", "http://hub.example/?x=1",
        "http://hub.example\x1b[2J", "\u043c\u043e\u0434\u0435\u043b\u0438",
    ],
)  # fmt: skip
def test_an_endpoint_that_is_no_address_is_refused_at_once(pauses, address):
    client = HubClient(env={"HF_ENDPOINT": address}, sleep=pauses.append)
    with pytest.raises(UsageError, match="HF_ENDPOINT") as caught:
        HubSource("acme/tiny", client=client).pin()
    assert pauses == []
    assert "\x1b" not in str(caught.value)
    assert "http" in caught.value.hint


def test_the_password_of_a_wrong_endpoint_is_not_shown():
    with pytest.raises(UsageError) as caught:
        HubClient(env={"HF_ENDPOINT": "ftp://me:secret@hub.example"}).endpoint  # noqa: B018 - asking for it is the test
    assert "secret" not in str(caught.value)


def test_an_endpoint_that_is_set_and_empty_is_the_public_hub(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "")
    assert HubClient(env={"HF_ENDPOINT": " "}).endpoint.startswith("https://")


def test_a_wrong_endpoint_ends_the_command_with_exit_2_and_a_folder_needs_none(monkeypatch, tmp_path, capsys):
    from model_files import Files, dense

    from release_tool.cli import run

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    started = time.monotonic()
    work = ["--work", str(tmp_path / "work"), "plan"]
    assert run([*work, "acme/tiny", "--version", "1.0.0"]) == 2
    assert time.monotonic() - started < 5
    assert "HF_ENDPOINT is 'hub.example'" in capsys.readouterr().err
    assert run([*work, str(Files(dense()).write(tmp_path / "tiny")), "--version", "1.0.0"]) == 0


def test_a_hub_that_falls_silent_times_out_and_is_asked_again(hub, source, pauses, monkeypatch, tmp_path):
    hub.add("acme/tiny", MODEL)
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "0.3")
    hub.fault("/store/", stall=30)
    started = time.monotonic()
    assert fetched(source(), tmp_path) == encoded(MODEL)
    assert pauses == [1.0]
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("body", ["<html>a portal</html>", '{"id": "acme/tiny", "sha": "no commit"}', "[]"])
def test_an_answer_that_no_hub_gives_names_the_endpoint(hub, source, monkeypatch, body):
    hub.add("acme/tiny", MODEL)
    monkeypatch.setattr("hub.server.Handler.send_json", lambda self, _: self.send(200, body.encode(), {}))
    with pytest.raises(SourceError) as caught:
        source().pin()
    assert "HF_ENDPOINT" in caught.value.hint


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://localhost/x"])
def test_a_redirect_to_another_kind_of_address_is_not_followed(hub, source, target):
    hub.add("acme/tiny", MODEL)
    hub.fault("GET /api", status=302, headers={"Location": target})
    with pytest.raises(SourceError, match="not followed"):
        source().pin()


def test_redirects_without_end_are_given_up(hub, source):
    hub.add("acme/tiny", MODEL)
    hub.fault("GET /api", status=302, times=50, headers={"Location": f"{hub.endpoint}/api/models/acme/tiny"})
    with pytest.raises(SourceError, match="without end"):
        source().pin()


def test_a_mirror_below_a_path_is_asked_there(hub, source, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.endpoint}/mirror/")
    with pytest.raises(SourceError):
        source().pin()
    assert hub.requests[0].path == "/mirror/api/models/acme/tiny"


# --- bytes -----------------------------------------------------------------------------------------------------------


def test_a_download_puts_the_bytes_on_disk_once(hub, source, tmp_path):
    hub.add("acme/tiny", MODEL)
    told = []
    opened = source()
    opened.download(opened.pin().files, tmp_path, told.append)
    assert lying(tmp_path) == encoded(MODEL)
    assert sum(told) == sum(len(data) for data in encoded(MODEL).values())
    assert not (tmp_path.parent / "hf-home" / "hub").exists()


def test_a_second_download_asks_for_nothing(hub, source, tmp_path):
    hub.add("acme/tiny", MODEL)
    pinned = source().pin()
    fetched(source(revision=pinned.revision), tmp_path, pinned)
    hub.forget()
    fetched(source(revision=pinned.revision), tmp_path, pinned)
    assert not hub.requests


@pytest.mark.parametrize(("name", "place"), [("model.safetensors", 123_456), ("config.json", 3)])
def test_one_flipped_bit_is_found_and_the_next_run_gets_the_file_anew(hub, source, tmp_path, name, place):
    hub.add("acme/tiny", MODEL)
    pinned = source().pin()
    hub.fault("/store/" if name == "model.safetensors" else f"/resolve/[^/]*/{name}", flip=place)
    with pytest.raises(IntegrityError, match=name):
        fetched(source(revision=pinned.revision), tmp_path, pinned)
    assert name not in lying(tmp_path)
    assert not list((tmp_path / INCOMPLETE).glob("*"))
    assert fetched(source(revision=pinned.revision), tmp_path, pinned) == encoded(MODEL)


def test_a_flipped_bit_in_what_plan_reads_is_found_too(hub, source):
    hub.add("acme/tiny", MODEL)
    hub.fault(r"/resolve/.*/modules\.json", flip=5)
    with pytest.raises(IntegrityError, match=r"modules\.json"):
        source().pin()


def test_a_file_that_changed_on_disk_is_downloaded_again_and_no_other(hub, source, tmp_path):
    hub.add("acme/tiny", MODEL)
    fetched(source(), tmp_path)
    place = tmp_path / "model.safetensors"
    place.write_bytes(WEIGHTS[:-1] + bytes([WEIGHTS[-1] ^ 1]))
    hub.forget()
    assert fetched(source(), tmp_path) == encoded(MODEL)
    assert len(hub.asked("/store/")) == 1
    assert [request.path.rpartition("/")[2] for request in hub.asked("/resolve/")].count("model.safetensors") == 1


def test_a_link_in_the_place_of_a_file_is_replaced_and_its_target_left_alone(hub, source, tmp_path):
    hub.add("acme/tiny", MODEL)
    outside = tmp_path / "outside"
    outside.write_bytes(WEIGHTS)
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(outside)
    fetched(source(), folder)
    assert not (folder / "model.safetensors").is_symlink()
    assert outside.read_bytes() == WEIGHTS


def test_a_truncated_body_goes_on_where_it_stopped(hub, source, tmp_path, pauses):
    hub.add("acme/tiny", MODEL)
    hub.fault("/store/", truncate=300_000)
    assert fetched(source(), tmp_path) == encoded(MODEL)
    first, second = hub.asked("/store/")
    assert first.range is None
    assert second.range == "bytes=300000-"
    assert pauses == [1.0]


def test_a_line_that_breaks_often_gets_there_while_each_try_gets_further(hub, source, tmp_path, pauses):
    hub.add("acme/tiny", MODEL)
    hub.fault("/store/", truncate=90_000, times=7)
    assert fetched(source(), tmp_path) == encoded(MODEL)
    assert pauses == [1.0] * 7


def test_a_disk_that_fills_up_is_said_and_what_has_arrived_is_kept(hub, source, tmp_path, monkeypatch):
    hub.add("acme/tiny", MODEL)

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(MachineError, match="No space left"):
            fetched(source(), tmp_path)
    assert fetched(source(), tmp_path) == encoded(MODEL)


def test_a_small_file_that_breaks_off_is_read_again(hub, source):
    hub.add("acme/tiny", MODEL)
    hub.fault(r"/resolve/.*/modules\.json", truncate=10)
    assert source().pin().files


def test_what_has_arrived_before_the_last_try_is_kept_for_the_next_run(hub, source, tmp_path, pauses):
    hub.add("acme/tiny", MODEL)
    pinned = source().pin()
    hub.fault("/store/", truncate=200_000)
    hub.fault("/store/", status=503, times=99)
    with pytest.raises(Unreachable, match=r"model\.safetensors") as caught:
        fetched(source(revision=pinned.revision), tmp_path, pinned)
    assert "is kept" in caught.value.hint
    assert "model.safetensors" not in lying(tmp_path)
    hub.faults.clear()
    hub.forget()
    assert fetched(source(revision=pinned.revision), tmp_path, pinned) == encoded(MODEL)
    assert [request.range for request in hub.asked("/store/")] == ["bytes=200000-"]


def test_left_overs_that_are_wrong_are_found_by_the_digest_and_thrown_away(hub, source, tmp_path):
    hub.add("acme/tiny", MODEL)
    pinned = source().pin()
    part = tmp_path / INCOMPLETE / hashlib.sha256(WEIGHTS).hexdigest()
    part.parent.mkdir()
    part.write_bytes(b"\0" * 1000)
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        fetched(source(revision=pinned.revision), tmp_path, pinned)
    assert not part.exists()
    part.write_bytes(b"\0" * (len(WEIGHTS) + 5))
    assert fetched(source(revision=pinned.revision), tmp_path, pinned) == encoded(MODEL)


def test_whole_left_overs_are_taken_without_asking_for_their_bytes(hub, source, tmp_path):
    hub.add("acme/tiny", MODEL)
    part = tmp_path / INCOMPLETE / hashlib.sha256(WEIGHTS).hexdigest()
    part.parent.mkdir()
    part.write_bytes(WEIGHTS)
    assert fetched(source(), tmp_path) == encoded(MODEL)
    assert not hub.asked("/store/")


def test_a_store_without_ranges_is_read_from_the_start(hub, source, tmp_path):
    hub.add("acme/tiny", MODEL)
    hub.ranges = False
    hub.fault("/store/", truncate=300_000)
    told = []
    opened = source()
    opened.download(opened.pin().files, tmp_path, told.append)
    assert lying(tmp_path) == encoded(MODEL)
    assert sum(told) == sum(len(data) for data in encoded(MODEL).values())


@pytest.mark.parametrize("status", [500, 502, 503, 504, 403])
def test_a_store_that_is_busy_or_whose_address_expired_is_asked_again_through_the_hub(
    hub, source, tmp_path, pauses, status
):
    hub.add("acme/tiny", MODEL)
    hub.fault("/store/", status=status, times=2)
    assert fetched(source(), tmp_path) == encoded(MODEL)
    assert pauses == [1.0, 2.0]
    assert len(hub.asked("/resolve/.*safetensors")) == 3


def test_a_store_that_sends_more_than_was_listed_is_stopped(hub, source, tmp_path, monkeypatch):
    hub.add("acme/tiny", MODEL)
    opened = source()
    pinned = opened.pin()
    file = next(file for file in pinned.files if file.path == "model.safetensors")
    with pytest.raises(IntegrityError, match="more bytes"):
        opened.download((replace(file, size=file.size - 10),), tmp_path, lambda _: None)
    assert lying(tmp_path) == {}


def test_a_file_that_the_hub_lost_after_the_plan_is_named(hub, source, tmp_path):
    repository = hub.add("acme/tiny", MODEL)
    pinned = source().pin()
    del repository.commits[pinned.revision]["model.safetensors"]
    with pytest.raises(IntegrityError, match=r"lost model\.safetensors"):
        fetched(source(revision=pinned.revision), tmp_path, pinned)


def test_an_empty_file_is_a_file(hub, source, tmp_path):
    hub.add("acme/tiny", {**MODEL, "merges.txt": ""})
    fetched(source(), tmp_path)
    assert (tmp_path / "merges.txt").read_bytes() == b""


def test_read_gives_small_files_nothing_for_absent_ones_and_refuses_large_ones(hub, source, monkeypatch):
    hub.add("acme/tiny", {**MODEL, "notes.png": b"png"})
    opened = source()
    assert opened.read("README.md") == SMALL["README.md"].encode()
    assert opened.read("notes.png") == b"png"
    assert opened.read("nothing.json") is None
    hub.forget()
    opened.read("README.md")
    assert not hub.requests
    monkeypatch.setattr("release_tool.services.sources.MAX_READ_BYTES", 1000)
    with pytest.raises(SourceError, match=r"model\.safetensors has 700,000 bytes"):
        opened.read("model.safetensors")
    assert MAX_READ_BYTES == 32 * 1024 * 1024


# --- offline ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cached(hub, tmp_path, monkeypatch):
    """Fill the user's cache with acme/tiny as huggingface_hub does; return the repository."""
    from huggingface_hub import snapshot_download

    repository = hub.add("acme/tiny", MODEL)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    snapshot_download("acme/tiny", endpoint=hub.endpoint, cache_dir=tmp_path / "cache")
    hub.forget()
    return repository


def test_offline_the_users_cache_gives_the_same_pin_and_bytes_as_the_hub(hub, source, cached, monkeypatch, tmp_path):
    online = source().pin()
    hub.forget()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    opened = source()
    assert opened.pin() == online
    assert opened.read("config.json") == SMALL["config.json"].encode()
    assert fetched(opened, tmp_path / "snapshot") == encoded(MODEL)
    assert not hub.requests


def test_offline_a_damaged_cache_is_found(hub, source, cached, monkeypatch, tmp_path):
    blob = tmp_path / "cache" / "models--acme--tiny" / "blobs" / hashlib.sha256(WEIGHTS).hexdigest()
    blob.write_bytes(WEIGHTS[:-1] + bytes([WEIGHTS[-1] ^ 1]))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(IntegrityError, match=r"model\.safetensors in the cache"):
        fetched(source(), tmp_path / "snapshot")


def test_offline_a_complete_folder_is_enough(hub, source, monkeypatch, tmp_path):
    hub.add("acme/tiny", MODEL)
    pinned = source().pin()
    fetched(source(), tmp_path, pinned)
    hub.forget()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetched(source(revision=pinned.revision), tmp_path, pinned) == encoded(MODEL)
    assert not hub.requests


def test_offline_without_cache_the_error_names_the_switch(hub, source, monkeypatch, tmp_path):
    hub.add("acme/tiny", MODEL)
    pinned = source().pin()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(RevisionNotFound) as by_name:
        source().pin()
    with pytest.raises(Unreachable) as by_commit:
        source(revision=pinned.revision).pin()
    with pytest.raises(Unreachable, match="neither in the work folder") as missing:
        fetched(source(revision=pinned.revision), tmp_path, pinned)
    for caught in (by_name, by_commit, missing):
        assert "HF_HUB_OFFLINE" in caught.value.hint


def test_online_a_warm_cache_is_never_read(hub, source, cached, tmp_path):
    blobs = tmp_path / "cache" / "models--acme--tiny" / "blobs"
    for blob in blobs.iterdir():
        blob.write_bytes(b"poison")
    assert fetched(source(), tmp_path / "snapshot") == encoded(MODEL)
    assert len(hub.asked("/store/")) == 1
