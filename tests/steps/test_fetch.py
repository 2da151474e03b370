from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from factories import make_facts, make_plan

import release_tool
from release_tool.cli import run
from release_tool.core.location import Location
from release_tool.core.source import SourceSnapshot
from release_tool.documents import WorkFolder, file_sha256
from release_tool.services.checked_files import INCOMPLETE
from release_tool.services.open_source import open_source

DATA = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(120_000))
HEADER = json.dumps({"weight": {"dtype": "F32", "shape": [len(DATA) // 4], "data_offsets": [0, len(DATA)]}}).encode()
WEIGHTS = len(HEADER).to_bytes(8, "little") + HEADER + DATA
MODEL = {
    "config.json": b'{"architectures": ["BertModel"], "model_type": "bert"}',
    "tokenizer.json": b"{}",
    "README.md": b"words",
    "model.safetensors": WEIGHTS,
}


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


def planned(work, source, **request):
    """Write the plan of a source that was pinned now, as plan does, without what detection adds."""
    pinned = source.pin()
    facts = make_facts(
        origin=source.origin,
        model_id=pinned.model_id,
        revision=pinned.revision,
        files=pinned.files,
        remote_code=pinned.remote_code,
    )
    folder = WorkFolder(work)
    folder.write("plan.json", make_plan(source=facts, **request))
    if source.origin == "folder":
        folder.write("location.json", Location(folder=str(source.folder)))
    return pinned


def fetch(work, *flags):
    return run(["-q", "--work", str(work), "fetch", *flags])


def snapshot(work):
    root = work / "snapshot"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def document(work):
    return WorkFolder(work).read(SourceSnapshot, "source.json", made_by="fetch")


def test_fetch_writes_the_planned_files_and_says_what_they_are(hub, work):
    hub.add("acme/tiny", {**MODEL, "onnx/model.onnx": b"no"})
    pinned = planned(work, open_source("acme/tiny", revision=None))
    assert fetch(work) == 0
    assert snapshot(work) == MODEL
    source = document(work)
    assert source.uses == {"plan.json": file_sha256(work / "plan.json")}
    assert (source.model_id, source.revision) == ("acme/tiny", pinned.revision)
    assert [file.path for file in source.files] == sorted(MODEL)
    for file, listed in zip(source.files, pinned.files, strict=True):
        data = MODEL[file.path]
        assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert file.hub_digest == listed.digest


def test_a_second_fetch_asks_for_nothing_and_writes_equal_bytes(hub, work):
    hub.add("acme/tiny", MODEL)
    planned(work, open_source("acme/tiny", revision=None))
    assert fetch(work) == 0
    first = (work / "source.json").read_bytes()
    hub.forget()
    assert fetch(work) == 0
    assert (work / "source.json").read_bytes() == first
    assert not hub.requests


def test_a_branch_that_moved_after_the_plan_changes_nothing(hub, work):
    repository = hub.add("acme/tiny", MODEL)
    pinned = planned(work, open_source("acme/tiny", revision="main"))
    repository.commit({"model.safetensors": b"other weights", "config.json": b"{}"})
    assert fetch(work) == 0
    assert snapshot(work) == MODEL
    assert document(work).revision == pinned.revision != repository.branches["main"]


def test_the_real_plan_and_fetch_agree_on_a_moved_branch(hub, work, capsys):
    config = {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 32, "max_position_embeddings": 64}
    tokenizer = {"version": "1.0", "model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "[PAD]": 1}}}
    files = {**MODEL, "config.json": json.dumps(config), "tokenizer.json": json.dumps(tokenizer)}
    repository = hub.add("acme/tiny", files)
    command = ["-q", "--work", str(work), "plan", "acme/tiny", "--version", "1.0.0", "--kind", "dense"]
    assert run(command) == 0, capsys.readouterr().err
    planned_commit = repository.branches["main"]
    repository.commit({"config.json": "{}"})
    assert fetch(work) == 0
    assert document(work).revision == planned_commit
    assert json.loads(snapshot(work)["config.json"]) == config


def test_strangers_in_the_snapshot_are_removed(hub, work, tmp_path):
    hub.add("acme/tiny", MODEL)
    planned(work, open_source("acme/tiny", revision=None))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_bytes(b"kept")
    assert fetch(work) == 0
    root = work / "snapshot"
    (root / "config.json").unlink()
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "evil.py").write_bytes(b"x")
    (root / "pytorch_model.bin").write_bytes(b"x")
    (root / "config.json").mkdir()
    (root / "away").symlink_to(outside)
    (root / INCOMPLETE).mkdir(exist_ok=True)
    (root / INCOMPLETE / ("0" * 64)).write_bytes(b"of another plan")
    assert fetch(work) == 0
    assert snapshot(work) == MODEL
    assert not (root / "deep").exists()
    assert (outside / "kept.txt").read_bytes() == b"kept"


def test_a_snapshot_that_is_a_link_is_not_written_to(hub, work, tmp_path, capsys):
    hub.add("acme/tiny", MODEL)
    planned(work, open_source("acme/tiny", revision=None))
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_bytes(b"words")
    (work / "snapshot").symlink_to(precious)
    assert fetch(work) == 2
    assert (precious / "thesis.txt").exists()
    assert "--work" in capsys.readouterr().err


def test_without_a_plan_the_error_names_the_step(work, capsys):
    assert fetch(work) == 2
    assert "Run release-tool plan first" in capsys.readouterr().err


@pytest.mark.parametrize("fault", [{"flip": 100}, {"status": 404}])
def test_a_failed_fetch_leaves_no_document(hub, work, fault):
    hub.add("acme/tiny", MODEL)
    planned(work, open_source("acme/tiny", revision=None))
    assert fetch(work) == 0
    (work / "snapshot" / "model.safetensors").unlink()
    hub.fault("/store/", **fault)
    assert fetch(work) in (4, 7)
    assert not (work / "source.json").exists()
    assert not (work / "snapshot" / "model.safetensors").exists()
    assert fetch(work) == 0
    assert snapshot(work) == MODEL


def test_every_refusal_of_the_hub_ends_in_its_exit_code(hub, work, monkeypatch, capsys):
    repository = hub.add("acme/tiny", MODEL)
    planned(work, open_source("acme/tiny", revision=None))
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert fetch(work) == 4
    assert "refused the token" in capsys.readouterr().err
    monkeypatch.delenv("HF_TOKEN")
    repository.gated = True
    assert fetch(work) == 4
    assert "is gated" in capsys.readouterr().err
    repository.gated, repository.private = False, True
    assert fetch(work) == 4
    assert "or it is private" in capsys.readouterr().err


def test_a_rate_limit_without_end_is_exit_11_and_the_next_run_goes_on(hub, work, capsys):
    hub.add("acme/tiny", MODEL)
    planned(work, open_source("acme/tiny", revision=None))
    hub.fault("/store/", status=429, headers={"Retry-After": "86400"})
    assert fetch(work) == 11
    assert "limits the rate" in capsys.readouterr().err
    assert fetch(work) == 0


def test_offline_a_complete_snapshot_is_enough_and_an_incomplete_one_says_so(hub, work, monkeypatch, capsys):
    hub.add("acme/tiny", MODEL)
    planned(work, open_source("acme/tiny", revision=None))
    assert fetch(work) == 0
    hub.forget()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch(work) == 0
    (work / "snapshot" / "config.json").unlink()
    assert fetch(work) == 11
    assert "config.json" in capsys.readouterr().err
    assert not hub.requests


def test_a_disk_that_is_too_small_is_said_before_the_download(hub, work, monkeypatch, capsys):
    hub.add("acme/tiny", MODEL)
    planned(work, open_source("acme/tiny", revision=None))
    hub.forget()
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert fetch(work) == 12
    assert "MB are free" in capsys.readouterr().err
    assert not hub.requests


def test_dry_run_names_what_is_missing_and_changes_nothing(hub, work, capsys):
    hub.add("acme/tiny", MODEL)
    planned(work, open_source("acme/tiny", revision=None))
    hub.forget()
    assert fetch(work, "--dry-run") == 0
    said = capsys.readouterr().out
    assert all(path in said for path in MODEL)
    assert sorted(path.name for path in work.iterdir()) == ["plan.json"]
    assert not hub.requests
    assert fetch(work) == 0
    capsys.readouterr()
    assert fetch(work, "--dry-run") == 0
    assert capsys.readouterr().out == "Nothing is missing.\n"


def test_json_prints_the_document(hub, work, capsys):
    hub.add("acme/tiny", MODEL)
    planned(work, open_source("acme/tiny", revision=None))
    assert run(["-q", "--json", "--work", str(work), "fetch"]) == 0
    assert capsys.readouterr().out == (work / "source.json").read_text()


def test_remote_code_lands_in_the_snapshot_and_in_the_document(hub, work):
    config = json.dumps({"auto_map": {"AutoModel": "acme/code--modeling.Tiny"}})
    hub.add("acme/tiny", {**MODEL, "config.json": config})
    code = hub.add("acme/code", {"modeling.py": "x = 1"})
    planned(work, open_source("acme/tiny", revision=None, trust_remote_code=True))
    code.commit({"modeling.py": "raise SystemExit"})
    assert fetch(work) == 0
    (file,) = (file for file in document(work).files if file.path.startswith("remote_code/"))
    assert file.path == "remote_code/acme/code/modeling.py"
    assert file.sha256 == hashlib.sha256(b"x = 1").hexdigest()
    assert file.hub_digest.startswith("git-sha1:")


def test_a_plan_whose_path_leaves_the_folder_is_refused(hub, work, tmp_path):
    hub.add("acme/tiny", MODEL)
    planned(work, open_source("acme/tiny", revision=None))
    plan = json.loads((work / "plan.json").read_text())
    plan["source"]["files"][0]["path"] = "../../evil"
    (work / "plan.json").write_text(json.dumps(plan))
    assert fetch(work) == 4
    assert not (tmp_path / "evil").exists()


# --- a folder --------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "my-model"
    folder.mkdir()
    for path, data in MODEL.items():
        (folder / path).write_bytes(data)
    return folder


def test_the_tree_of_a_folder_is_its_revision(work, model):
    pinned = planned(work, open_source(model, revision=None))
    assert fetch(work) == 0
    assert snapshot(work) == MODEL
    source = document(work)
    assert f"sha256:{source.tree}" == pinned.revision == source.revision
    assert {file.hub_digest for file in source.files} == {None}


def test_a_folder_that_changed_since_the_plan_is_exit_7(work, model, capsys):
    planned(work, open_source(model, revision=None))
    (model / "config.json").write_bytes(b"{}")
    assert fetch(work) == 7
    assert "has changed" in capsys.readouterr().err
    assert not (work / "source.json").exists()


def test_a_work_folder_that_was_sent_elsewhere_needs_no_folder_of_the_user(work, model, tmp_path):
    planned(work, open_source(model, revision=None))
    assert fetch(work) == 0
    first = (work / "source.json").read_bytes()
    (work / "location.json").unlink()
    sent = tmp_path / "sent"
    work.rename(sent)
    for path in MODEL:
        (model / path).unlink()
    assert fetch(sent) == 0
    assert (sent / "source.json").read_bytes() == first


# --- kill -9 ---------------------------------------------------------------------------------------------------------


def test_a_fetch_that_was_killed_goes_on_where_it_stopped(hub, work):
    hub.add("acme/tiny", MODEL)
    planned(work, open_source("acme/tiny", revision=None))
    hub.forget()
    hub.fault("/store/", slow=0.05)
    part = work / "snapshot" / INCOMPLETE / hashlib.sha256(WEIGHTS).hexdigest()
    process = started(work)
    try:
        wait_for(lambda: part.is_file() and part.stat().st_size > 500_000, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    arrived = part.stat().st_size
    assert 500_000 < arrived < len(WEIGHTS)
    assert not (work / "source.json").exists()
    assert "model.safetensors" not in snapshot(work)
    hub.forget()
    assert fetch(work) == 0
    assert [request.range for request in hub.asked("/store/")] == [f"bytes={arrived}-"]
    assert snapshot(work) == MODEL


def started(work):
    """Start a real fetch in a process of its own, against the hub of this test."""
    package = Path(release_tool.__file__).resolve().parent.parent
    return subprocess.Popen(
        [sys.executable, "-m", "release_tool", "--work", str(work), "fetch"],
        env={**os.environ, "PYTHONPATH": str(package)},
        stderr=subprocess.DEVNULL,
    )


def wait_for(true, process, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, "the process ended before it could be killed"
        assert time.monotonic() < end, "nothing arrived"
        time.sleep(0.01)


def test_a_snapshot_folder_of_somebody_else_is_not_cleared(work, model, capsys):
    """fetch deletes what the plan does not name, so it must have made the folder itself."""
    assert run(["--work", str(work), "plan", str(model), "--version", "1.0.0", "--kind", "dense"]) == 0
    (work / "snapshot").mkdir()
    (work / "snapshot" / "thesis.txt").write_text("precious")
    assert run(["--work", str(work), "fetch"]) == 2
    assert "was not made by release-tool" in capsys.readouterr().err
    assert (work / "snapshot" / "thesis.txt").read_text() == "precious"


def test_editing_the_snapshot_does_not_edit_the_model(work, model):
    assert run(["--work", str(work), "plan", str(model), "--version", "1.0.0", "--kind", "dense"]) == 0
    assert run(["--work", str(work), "fetch"]) == 0
    before = (model / "config.json").read_text()
    with (work / "snapshot" / "config.json").open("a") as stream:
        stream.write("x")
    assert (model / "config.json").read_text() == before
    assert run(["--work", str(work), "fetch"]) == 0
    assert (work / "snapshot" / "config.json").read_text() == before
