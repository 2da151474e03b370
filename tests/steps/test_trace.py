"""The trace step: children, resume, and archives that come out the same whoever makes them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_models import make
from work_folders import make_work

from release_tool.cli import run
from release_tool.core.variants import Variant
from release_tool.documents import file_sha256


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("model") / "tiny", "bert", "dense")


def digests(work: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted((work / "archives").iterdir())}


def tool(
    work: Path, *arguments: str, env: dict[str, str] | None = None, umask: int = 0o022
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "release_tool", "--work", str(work), *arguments],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.umask(umask),
    )


def test_two_processes_write_the_same_bytes_wherever_and_whoever_they_are(tmp_path: Path, model: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "another" / "place"
    for place in (first, second):
        make_work(model, place, variants=(Variant.FUSED, Variant.INT8))
    one = tool(first, "trace", "--no-answers", env={"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "1"})
    two = tool(
        second,
        "trace",
        "--no-answers",
        env={"TZ": "America/Lima", "PYTHONHASHSEED": "77", "LC_ALL": "C", "HOME": str(tmp_path)},
        umask=0o077,
    )
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    assert digests(first) == digests(second)
    assert len(digests(first)) == 6
    # One artifact alone gives the same bytes as both together.
    archive = next(path for path in (second / "archives").iterdir() if path.name.endswith("onnx.zip"))
    archive.unlink()
    alone = tool(second, "trace", "--no-answers")
    assert alone.returncode == 0, alone.stderr
    assert "torch_script is traced already" in alone.stderr
    assert digests(first) == digests(second)


def test_a_killed_trace_leaves_nothing_that_is_taken_and_the_next_run_completes(tmp_path: Path, model: Path) -> None:
    work = tmp_path / "work"
    make_work(model, work)
    whole = tmp_path / "whole"
    make_work(model, whole)
    started = time.monotonic()
    assert tool(whole, "trace", "--no-answers").returncode == 0
    taken = time.monotonic() - started
    for part in (0.7, 0.95):
        child = subprocess.Popen(
            [sys.executable, "-m", "release_tool", "--work", str(work), "trace", "--no-answers"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(taken * part)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for bundle in work.glob("bundle-*.json"):
            named = json.loads(bundle.read_text())
            assert file_sha256(work / named["archive"]["path"]) == named["archive"]["sha256"]
    done = tool(work, "trace", "--no-answers")
    assert done.returncode == 0, done.stderr
    assert digests(work) == digests(whole)


def test_a_changed_snapshot_is_not_traced(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = tmp_path / "work"
    make_work(model, work)
    path = work / "snapshot" / "config.json"
    text = path.read_text()
    path.unlink()  # it is a hard link to the model's own file
    path.write_text(text.replace('"gelu"', '"relu"'))
    assert run(["--work", str(work), "trace", "--no-answers"]) == 7
    assert "config.json of the snapshot is not what was fetched" in capsys.readouterr().err
    assert not list(work.glob("bundle-*"))


def test_a_stranger_in_the_snapshot_is_not_traced(tmp_path: Path, model: Path) -> None:
    work = tmp_path / "work"
    make_work(model, work)
    (work / "snapshot" / "extra.json").write_text("{}")
    assert run(["--work", str(work), "trace", "--no-answers"]) == 7


def test_another_plan_breaks_the_chain(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = tmp_path / "work"
    make_work(model, work)
    path = work / "plan.json"
    path.write_text(path.read_text().replace('"version": "1.0.0"', '"version": "1.0.1"'))
    assert run(["--work", str(work), "trace"]) == 7
    assert "made from another plan.json" in capsys.readouterr().err


def test_an_artifact_that_is_not_planned_is_named(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "work"
    make_work(model, work)
    assert run(["--work", str(work), "trace", "--artifact", "onxx"]) == 2
    assert "no artifact 'onxx'" in capsys.readouterr().err


def test_without_a_plan_the_step_before_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--work", str(tmp_path), "trace"]) == 2
    assert "release-tool plan first" in capsys.readouterr().err


def test_a_model_that_is_broken_is_reported_as_the_childs_own_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    model = make(tmp_path / "model", "bert", "dense")
    weights = load_file(model / "model.safetensors")
    weights["encoder.layer.0.output.dense.bias"][0] = torch.inf
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    assert run(["--work", str(tmp_path / "work"), "trace", str(model), "--version", "1.0.0"]) == 5
    error = capsys.readouterr().err
    assert "NaN or infinite" in error
    assert "hint:" in error
    assert not list((tmp_path / "work").glob("bundle-*"))


def test_the_export_process_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    from release_tool.workers import clean_environment

    env = clean_environment(
        {
            "PATH": "/bin",
            "HF_TOKEN": "x",
            "AWS_SESSION_TOKEN": "x",
            "AWS_REGION": "x",
            "ACTIONS_ID_TOKEN_REQUEST_URL": "x",
            "GITHUB_TOKEN": "x",
            "MY_API_KEY": "x",
            "JENKINS_USER": "x",
        }
    )
    assert env["PATH"] == "/bin"
    assert "x" not in env.values()
    assert env["HF_HUB_OFFLINE"] == "1"


def test_a_killed_parent_leaves_no_child_that_goes_on_writing(tmp_path: Path, model: Path) -> None:
    work = tmp_path / "work"
    make_work(model, work)
    command = [sys.executable, "-m", "release_tool", "--work", str(work), "trace"]
    parent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def children() -> list[int]:
        path = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    deadline = time.monotonic() + 30
    while len(found := children()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(found) == 2
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in found) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in found if Path(f"/proc/{pid}").exists()]


def test_an_export_that_was_started_before_the_plan_writes_the_same_bytes(tmp_path: Path, model: Path) -> None:
    """``trace FOLDER`` imports the libraries while it plans; ``trace`` alone does not."""
    early, late = tmp_path / "early", tmp_path / "late"
    assert tool(early, "trace", str(model), "--version", "1.0.0").returncode == 0
    assert tool(late, "plan", str(model), "--version", "1.0.0").returncode == 0
    assert tool(late, "fetch").returncode == 0
    assert tool(late, "trace").returncode == 0
    assert digests(early) == digests(late)
    assert (early / "answers-dense.safetensors").read_bytes() == (late / "answers-dense.safetensors").read_bytes()


@pytest.mark.parametrize("command", ["trace", "run"])
def test_a_request_that_is_refused_leaves_no_process_behind(tmp_path: Path, model: Path, command: str) -> None:
    mark = f"mark of {tmp_path}"
    done = tool(tmp_path / "work", command, str(model), "--version", "one", "--kind", "sparse", env={"MARK": mark})
    assert done.returncode == 2, done.stderr
    assert "--version" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [at for at in Path("/proc").iterdir() if at.name.isdecimal() and mark in environment(at)]


def environment(process: Path) -> str:
    try:
        return (process / "environ").read_text(errors="replace")
    except OSError:  # it has ended
        return ""
