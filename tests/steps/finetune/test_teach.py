"""Stage teach as a whole: processes without credentials, killed and run again, several of them or one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import mined_runs
import pytest

from release_tool.core.finetune.stages import Stage


@pytest.fixture(scope="session")
def teachers(tmp_path_factory):
    """Two of them: with token types and without."""
    folder = tmp_path_factory.mktemp("teachers")
    return mined_runs.teacher(folder / "bert"), mined_runs.teacher(folder / "roberta", "roberta", seed=3)


@pytest.fixture(scope="session")
def scored(tmp_path_factory, teachers):
    """A run whose teachers have scored."""
    made = mined_runs.make(tmp_path_factory.mktemp("scored"), teachers)
    assert made.go("teach") == 0
    return made


def test_the_state_counts_what_was_scored(scored):
    state = scored.folder.finished(Stage.TEACH)
    assert state.counts == {"teachers": 2, "queries": 12, "pairs": 144}
    assert set(state.files) == {f"teacher-{teacher}/logits-0000{part}.jsonl" for teacher in (0, 1) for part in range(3)}
    assert {"torch", "sentence-transformers"} <= set(state.versions)


def test_several_processes_without_credentials_make_the_same_files(scored, teachers, tmp_path, monkeypatch):
    from release_tool import workers

    asked = []
    real = workers.subprocess.Popen

    def popen(command, **words):
        asked.append(words["env"])
        return real(command, **words)

    monkeypatch.setattr(workers.subprocess, "Popen", popen)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    monkeypatch.setenv("HF_TOKEN", "hf_s3cr3t")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    other = mined_runs.make(tmp_path, teachers, more="[engine]\nprocesses = 2")
    assert other.go("teach") == 0
    assert other.digest(Stage.TEACH) == scored.digest(Stage.TEACH)
    assert len(asked) == 2
    assert "s3cr3t" not in json.dumps(asked)
    assert [env["CUDA_VISIBLE_DEVICES"] for env in asked] == ["0,1"] * 2


def test_killed_half_way_it_goes_on_and_makes_the_same_files(scored, teachers, tmp_path):
    made = mined_runs.make(tmp_path, teachers)
    folder = made.folder.folder(Stage.TEACH)
    command = [sys.executable, "-P", "-m", "release_tool", "-q", "--work", str(made.work), "finetune", "teach"]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    until = time.monotonic() + 120
    while len(list(folder.rglob("logits-*.jsonl"))) < 2 and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "stage.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("logits-*.jsonl")}
    assert len(kept) >= 2
    assert made.go("teach") == 0
    assert made.digest(Stage.TEACH) == scored.digest(Stage.TEACH)
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items()), "a finished part is kept"


def test_without_a_teacher_nothing_is_written_and_that_is_said(tmp_path, capfd):
    made = mined_runs.make(tmp_path, [])
    assert mined_runs.run(["--work", str(made.work), "finetune", "teach"]) == 0
    assert "without one" in capfd.readouterr().err
    state = made.folder.finished(Stage.TEACH)
    assert (state.counts, state.files) == ({"teachers": 0}, {})


FAILING = """
import sys, time
from release_tool.errors import UnsupportedModel
from release_tool.workers import report, run_child

def fail():
    raise UnsupportedModel("The teacher three-labels has 3 labels.", hint="Look at teach.models.")

def main(arguments):
    if "--process 1 --of 3" in " ".join(arguments):
        return run_child(fail)
    report("progress", done=1, total=9)
    time.sleep(300)
"""


def test_one_process_that_fails_ends_the_others_and_its_error_is_told(tmp_path, monkeypatch, capfd):
    from release_tool.steps.finetune import teach

    (tmp_path / "failing_teacher.py").write_text(FAILING, encoding="utf-8")
    monkeypatch.setattr(teach, "MODULE", "failing_teacher")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    teacher = mined_runs.teacher(tmp_path / "bert")
    made = mined_runs.make(tmp_path / "run", [teacher], queries=4, more="[engine]\nprocesses = 3")
    started = time.monotonic()
    assert made.go("teach") == 4
    assert time.monotonic() - started < 60
    said = capfd.readouterr().err
    assert "three-labels has 3 labels" in said
    assert "Look at teach.models" in said
