"""``release-tool run``: every step up to the review in one go, kept where it fits, never a publish."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tiny_models import make

from release_tool.cli import run
from release_tool.core.codec import decode_text
from release_tool.core.review import Review
from release_tool.steps import measuring

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make(tmp_path_factory.mktemp("models") / "tiny", "bert", "dense")


@pytest.fixture(scope="module")
def first(tmp_path_factory, model):
    """Run once, in a process of its own as a person does; return the work folder and what was said."""
    work = tmp_path_factory.mktemp("release") / "work"
    done = tool(work, "--json", "run", str(model), "--version", "1.0.0")
    assert done.returncode == 0, done.stderr
    return work, done


def tool(work, *arguments):
    command = [sys.executable, "-m", "release_tool", "--work", str(work), *arguments]
    return subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False, cwd=work.parent)


@pytest.fixture
def work(first, tmp_path):
    """Return a copy of the release that may be spoilt."""
    return shutil.copytree(first[0], tmp_path / "work", copy_function=shutil.copy2)


def review_of(work: Path) -> Review:
    return decode_text(Review, (work / "review.json").read_text())


def stamps(work):
    return {
        path.relative_to(work).as_posix(): path.stat().st_mtime_ns
        for path in sorted(work.rglob("*"))
        if path.is_file() and not path.name.startswith(("plan.", "source.", "review.", "location.", "certificate-"))
    }


def test_one_command_leads_from_a_folder_to_a_digest(first):
    work, done = first
    said = json.loads(done.stdout)
    review = review_of(work)
    assert said["digest"] == review.digest
    assert review.digest is not None
    assert said["page"] == str(work / "review.html")
    assert len(said["archives"]) == 2
    assert all(path.endswith(".zip") and path.startswith(str(work)) for path in said["archives"])
    assert list(said["seconds"]) == ["plan", "fetch", "trace", "validate", "review"]
    assert all(taken >= 0 for taken in said["seconds"].values())
    assert said["seconds"]["trace"] > 0.1
    assert "not served by a real node" in (work / "review.md").read_text().lower()


def test_the_same_command_again_keeps_everything_and_gives_the_same_digest(work, model, first, capsys):
    before, digest = stamps(work), review_of(work).digest
    assert run(["--work", str(work), "run", str(model), "--version", "1.0.0"]) == 0
    out = capsys.readouterr().out
    assert stamps(work) == before
    assert review_of(work).digest == digest
    assert f"digest   {digest}" in out
    assert out.count("archive  ") == 2
    assert all(f"{step} " in out.splitlines()[-1] for step in ("plan", "fetch", "trace", "validate", "review"))


def test_without_a_model_it_goes_on_from_the_plan(work, capsys):
    digest = review_of(work).digest
    (work / "review.json").unlink()
    assert run(["--work", str(work), "--json", "run"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["digest"] == digest
    assert "plan" not in said["seconds"]


def test_without_a_model_and_without_a_plan_it_says_what_to_do(tmp_path, capsys):
    assert run(["--work", str(tmp_path / "none"), "run"]) == 2
    assert "release-tool plan" in capsys.readouterr().err


def test_faults_of_the_request_end_it_before_anything_is_done(tmp_path, model, capsys):
    work = tmp_path / "work"
    assert run(["--work", str(work), "run", str(model), "--version", "one", "--kind", "dnse"]) == 2
    err = capsys.readouterr().err
    assert "--version" in err
    assert "--kind" in err
    assert not work.exists()


def test_an_interrupted_run_is_taken_up_where_it_stopped(work, model, first):
    """As if the power went while validate wrote: no certificate, half of the proofs, an archive gone."""
    digest = review_of(work).digest
    before = stamps(work)
    for name in ("certificate-onnx.json", "certificate-torch_script.json", "review.json", "proof-runtime-onnx.json"):
        (work / name).unlink()
    assert run(["--work", str(work), "-q", "run", str(model), "--version", "1.0.0"]) == 0
    assert review_of(work).digest == digest, "the same bytes are measured the same"
    after = stamps(work)
    assert {name for name in before if before[name] != after[name]} == {"proof-runtime-onnx.json"}


def test_a_red_proof_ends_with_its_page_and_its_cause(work, capsys, monkeypatch):
    measured = measuring.prove

    def red(*given):
        proof = measured(*given)
        return replace(proof, comparisons=(replace(proof.comparisons[0], max_abs=0.5), *proof.comparisons[1:]))

    monkeypatch.setattr(measuring, "prove", red)
    (work / "proof-runtime-onnx.json").unlink()
    assert run(["--work", str(work), "run"]) == 6
    captured = capsys.readouterr()
    assert "onnx in the runtime ring" in captured.err
    assert "review.html" in captured.err
    assert captured.out == ""
    assert review_of(work).digest is None
    assert (work / "review.html").read_text().count("NOT RELEASABLE") >= 2
