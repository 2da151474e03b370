"""``release-tool bench``: every kind that is timed, what is written and refused, and that a kill leaves nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from functools import cache
from pathlib import Path

import pytest
from interrupts import heard
from tiny_models import make

from release_tool.cli import run
from release_tool.core.certificate import Certificate
from release_tool.core.speed import Speed
from release_tool.documents import WorkFolder
from release_tool.services import speed_ring
from release_tool.services.cache import cache_folder
from release_tool.services.processes import carrying

QUICK = ("--rounds", "8", "--lengths", "8,16")
ONNX = "onnx"


@pytest.fixture(autouse=True)
def one_start(monkeypatch):
    """Start each process once: what follows from three starts is the same three times."""
    monkeypatch.setattr(speed_ring, "STARTS", 1)


def trace(folder, kind, *more, family="bert", **options):
    model = make(folder / "tiny", family, kind, max_length=64, **options)
    work = folder / "work"
    assert run(["-q", "--work", str(work), "trace", str(model), "--version", "1.0.0", "--no-answers", *more]) == 0
    return work


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """Return a work folder with both formats of a dense model; tests work on copies."""
    return trace(tmp_path_factory.mktemp("dense"), "dense")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Return a function that traces a tiny model, once a family, kind and format."""

    @cache
    def of(kind, family, format_):
        return trace(tmp_path_factory.mktemp(kind), kind, "--format", format_, family=family)

    return of


@pytest.fixture
def work(traced, tmp_path):
    return shutil.copytree(traced, tmp_path / "work")


@pytest.fixture
def elsewhere(tmp_path):
    """Return a folder for --work in which there is nothing."""
    return tmp_path / "none"


def bench(work, *arguments):
    return run(["--work", str(work), "bench", *map(str, arguments)])


def archive(work, artifact=ONNX):
    (found,) = (work / "archives").glob(f"*-{artifact}.zip")
    return found


def document(work, artifact=ONNX):
    return WorkFolder(work).read(Speed, f"speed-{artifact}.json", made_by="bench")


# --- what comes out ---------------------------------------------------------------------------------------------------


def test_the_archives_of_the_work_folder_are_timed_and_written_down(work, capsys):
    assert bench(work, *QUICK) == 0
    said = capsys.readouterr().out
    for artifact in ("torch_script", ONNX):
        speed = document(work, artifact)
        (measured,) = speed.measured
        assert speed.size == archive(work, artifact).stat().st_size
        assert [(times.tokens, times.answers >= 8) for times in measured.times] == [(8, True), (16, True)]
        assert all(0 < times.p50_ms <= times.p95_ms for times in measured.times)
        # A process with a runtime in it, and not this one.
        assert 20e6 < measured.loaded_bytes <= measured.peak_bytes < 3e9
        assert (measured.ring, measured.rounds, measured.beside) == ("runtime", 8, None)
        assert archive(work, artifact).name in said
    assert "onnxruntime" in document(work).measured[0].versions
    assert "torch" in document(work, "torch_script").measured[0].versions
    assert set(document(work).uses) == {"plan.json", "source.json", "bundle-onnx.json"}


def test_the_certificate_holds_it_whichever_comes_first(tmp_path):
    work = trace(tmp_path, "dense", "--format", ONNX)
    assert bench(work, *QUICK) == 0
    assert run(["-q", "--work", str(work), "validate"]) == 0
    read = WorkFolder(work).read(Certificate, "certificate-onnx.json", made_by="validate")
    assert read.speed == document(work)
    assert bench(work, "--rounds", "9", "--lengths", "8") == 0
    again = WorkFolder(work).read(Certificate, "certificate-onnx.json", made_by="validate")
    assert again.speed == document(work) != read.speed
    assert run(["-q", "--work", str(work), "review"]) == 0
    assert "8 tokens: " in (work / "review.md").read_text(encoding="utf-8")


def test_a_ratio_is_told_with_its_interval_and_the_archive_against_is_no_part_of_the_release(work, tmp_path, capsys):
    other = shutil.copytree(work, tmp_path / "released")
    assert run(["--json", "--work", str(work), "bench", *QUICK, "--against", str(archive(other))]) == 0
    rows = json.loads(capsys.readouterr().out)["archives"]
    assert [row["against"] for row in rows] == [False, False, True]
    for artifact in ("torch_script", ONNX):
        beside = document(work, artifact).measured[0].beside
        assert beside.file_name == archive(other).name
        assert [ratio.tokens for ratio in beside.ratios] == [8, 16]
        assert all(0 < ratio.low <= ratio.ratio <= ratio.high for ratio in beside.ratios)
    assert not list(other.glob("speed-*"))


@pytest.mark.parametrize(
    ("family", "kind", "format_"),
    [
        ("bert", "cross-encoder", "torch_script"),
        ("distilbert", "question-answering", "torch_script"),
        ("xlm-roberta", "dense", "torch_script"),
        ("distilbert", "sparse-st", ONNX),
    ],
)
def test_every_kind_that_is_timed_gets_inputs_of_exactly_the_wanted_length(released, family, kind, format_):
    work = released(kind, family, format_)
    # 64 is the model's own limit, where a text that is too long would not be seen.
    assert bench(work, "--rounds", "8", "--lengths", "9,33,64") == 0
    assert [times.tokens for times in document(work, format_).measured[0].times] == [9, 33, 64]


def test_lengths_above_the_models_limit_are_left_out_where_nobody_named_them(work):
    assert bench(work, "--rounds", "8") == 0
    assert [times.tokens for times in document(work).measured[0].times] == [8, 64]


def test_archives_of_elsewhere_are_timed_beside_a_work_folder_that_was_only_planned(work, tmp_path, capsys):
    planned = tmp_path / "planned"
    planned.mkdir()
    shutil.copy(work / "plan.json", planned)
    assert bench(planned, archive(work), "--rounds", "8", "--lengths", "8") == 0
    assert "Nothing of the work folder is measured: source.json" in capsys.readouterr().err


# --- budgets ----------------------------------------------------------------------------------------------------------


def test_over_its_budget_an_archive_fails_with_the_numbers(work, tmp_path, capsys):
    slow = trace(tmp_path / "slow", "dense", "--format", ONNX, "--budget", "slower=1.05", layers=12)
    size = archive(slow).stat().st_size
    assert bench(slow, *QUICK, "--against", archive(work), "--budget", "bytes=1000") == 6
    said = capsys.readouterr().err
    assert f"{size:,} bytes, 1,000 bytes are allowed" in said
    assert "times as long as with" in said
    # Of the plan and of the flag.
    assert document(slow).budgets == {"slower": 1.05, "bytes": 1000.0}
    assert len(document(slow).failures()) >= 2


def test_an_archive_beside_itself_keeps_its_budget(work, tmp_path):
    other = shutil.copytree(work, tmp_path / "released")
    # Half as much again: these models answer in a tenth of a millisecond, and other tests may run beside.
    budgets = ("--budget", "slower=1.5", "--budget", "larger=1")
    assert (
        run(["--work", str(tmp_path), "bench", str(archive(work)), "--against", str(archive(other)), *QUICK, *budgets])
        == 0
    )


def test_a_budget_of_the_plan_that_nothing_was_measured_for_is_told(tmp_path, capsys):
    work = trace(tmp_path, "dense", "--format", ONNX, "--budget", "slower=1.05")
    assert bench(work, *QUICK) == 0
    assert "the budget slower was not judged; name --against" in capsys.readouterr().err


# --- what is refused --------------------------------------------------------------------------------------------------


def test_archives_of_different_kinds_are_refused(work, released, elsewhere, capsys):
    other = released("cross-encoder", "bert", "torch_script")
    assert bench(elsewhere, archive(work), archive(other, "torch_script")) == 2
    assert "their times can't be compared" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lengths", "words"),
    [("8,65", "takes 64 tokens at most, 65 were asked for"), ("2,8", "has inputs of 3 tokens at least, 2 were asked")],
)
def test_a_length_that_the_model_can_not_be_asked_is_named(work, capsys, lengths, words):
    assert bench(work, "--lengths", lengths) == 2
    assert words in capsys.readouterr().err
    assert not list(work.glob("speed-*"))


def test_all_that_is_wrong_with_the_flags_is_told_at_once(elsewhere, capsys):
    assert bench(elsewhere, "--rounds", "1", "--lengths", "0", "--budget", "slow=1", "--budget", "larger=2") == 2
    said = capsys.readouterr().err
    assert "has 4 faults" in said
    assert all(flag in said for flag in ("--rounds", "--lengths", "--budget", "name it with --against"))


def test_without_archives_and_without_a_release_there_is_nothing_to_time(elsewhere, capsys):
    assert bench(elsewhere) == 2
    assert "plan.json is not in the work folder" in capsys.readouterr().err
    assert not elsewhere.exists()


def test_an_archive_without_its_request_and_one_that_is_not_there_are_named(work, tmp_path, elsewhere, capsys):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(archive(work), alone / "model.zip")
    assert bench(elsewhere, alone / "model.zip") == 2
    assert "No register request lies beside model.zip" in capsys.readouterr().err
    assert bench(elsewhere, alone / "other.zip") == 2
    assert "There is no archive" in capsys.readouterr().err


def test_kinds_without_a_length_are_refused(tmp_path, capsys):
    work = trace(tmp_path, "sparse-tokenizer")
    assert bench(work) == 2
    assert "Kinds that are: dense, sparse, cross-encoder, question-answering" in capsys.readouterr().err


def test_an_archive_that_the_server_would_refuse_is_refused_by_its_name(work, elsewhere, tmp_path, capsys):
    broken = tmp_path / "broken"
    broken.mkdir()
    with zipfile.ZipFile(archive(work)) as source, zipfile.ZipFile(broken / "model.zip", "w") as target:
        for item in source.infolist():
            data = source.read(item)
            target.writestr(item, data[: len(data) // 2] if item.filename.endswith(".onnx") else data)
    shutil.copy(work / "archives" / "onnx.config.json", broken / "config.json")
    assert bench(elsewhere, broken / "model.zip", *QUICK) == 6
    said = capsys.readouterr().err
    assert "model.zip: " in said
    assert "ONNX Model cannot be loaded" in said


def test_bytes_that_are_not_those_of_the_bundle_are_refused(work, capsys):
    with archive(work).open("ab") as stream:
        stream.write(b"x")
    assert bench(work, *QUICK) == 7
    assert "bytes have changed" in capsys.readouterr().err


# --- interrupted ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_kill_leaves_no_process_and_no_document(work, number):
    command = [sys.executable, "-m", "release_tool", "--work", str(work), "bench", "--rounds", "5000"]
    marker = f"bench-test-{os.getpid()}-{number}"
    with heard():
        started = subprocess.Popen(
            [*command, "--lengths", "8"], stderr=subprocess.DEVNULL, env={**os.environ, "BENCH_TEST": marker}
        )
    try:
        deadline = time.monotonic() + 60
        while sum(timing(pid) for pid in marked(marker)) < 2:
            assert time.monotonic() < deadline
            assert started.poll() is None
            time.sleep(0.1)
        started.send_signal(number)
        code = started.wait(timeout=30)
    finally:
        started.kill()
        started.wait()
    assert code == (130 if number is signal.SIGINT else -number)
    deadline = time.monotonic() + 20
    while marked(marker):
        assert time.monotonic() < deadline, "the processes that hold the models live on"
        time.sleep(0.1)
    assert not list(work.glob("speed-*"))
    assert bench(work, *QUICK) == 0
    assert not [path for path in (cache_folder(os.environ) / "scratch").glob("run-*") if started_by(path, marker)]


def started_by(folder, marker):
    return any(marker in path.read_text(errors="replace") for path in folder.rglob("request-*.json"))


def timing(pid):
    """Tell whether a process is one that answers: it has loaded its runtime and reads what it is asked."""
    try:
        return b"request-time.json" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def marked(marker):
    return [process.pid for process in carrying("BENCH_TEST", marker)]
