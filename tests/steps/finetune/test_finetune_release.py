"""``finetune release``: what is sent to GitHub, and everything for which nothing is sent."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from finetuned import evaluated_set, evaluation, finish_evaluate, measures, write_run
from github_double.git import Git
from github_double.server import GitHubDouble

from release_tool.cli import run
from release_tool.core.codec import decode_text
from release_tool.core.finetune.stages import Stage
from release_tool.core.plan import ReleasePlan
from release_tool.run_folder import RunFolder
from release_tool.services.folder import FolderSource

ROOT = Path(__file__).resolve().parents[3]
FLOW = ".github/workflows/release-model.yml"
REPOSITORY = "octo-org/models"
REASON = "the old base is withdrawn; $(touch executed)"
FORM = {"model": "acme/search", "version": "1.0.0", "upload_target": "staging"}


@pytest.fixture(scope="module")
def handed(tmp_path_factory):
    """Return a function: name → work folder of a run that handed over a better model, or one that is not."""

    def write(name, evaluated, *more):
        found = write_run(tmp_path_factory.mktemp(name) / "project", better=name == "green")
        finish_evaluate(found, evaluation(evaluated))
        assert run(["-q", "--work", str(found.work), "finetune", "hand-over", *more]) == 0
        return found.work

    return {
        "green": write("green", evaluated_set()),
        "red": write("red", evaluated_set(after=measures(0.5), p=1.0), "--accept-worse", REASON),
    }


@pytest.fixture
def work(handed, tmp_path):
    return shutil.copytree(handed["green"], tmp_path / "work")


@pytest.fixture
def red(handed, tmp_path):
    return shutil.copytree(handed["red"], tmp_path / "work")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    git = Git.made(tmp_path_factory.mktemp("github") / "git", {FLOW: (ROOT / FLOW).read_bytes()})
    with GitHubDouble(git, REPOSITORY) as running:
        yield running


@pytest.fixture
def github(server, monkeypatch):
    server.runs.clear()
    server.requests.clear()
    server.faults.clear()
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return server


def model(work):
    return RunFolder.below(work).folder(Stage.HAND_OVER) / "model"


def revision(work):
    return FolderSource(model(work)).pin().revision


def release(work, *more, form=FORM, at=None):
    said = [word for name, value in form.items() for word in (f"--{name.replace('_', '-')}", value)]
    own = ["--tune-run-id", "4712", "--revision", revision(work) if at is None else at]
    return run(["--work", str(work), "--repo", str(ROOT), "finetune", "release", *said, *own, *more])


def dispatched(github):
    return [one for one in github.requests if one.method == "POST"]


def test_the_form_that_is_sent_is_planned_with_the_folder_and_shows_its_revision(work, github, tmp_path):
    described = {**FORM, "kind": "dense", "format": "torch_script", "name": "search", "description": "Finds `things`."}
    assert release(work, form=described) == 0
    (sent,) = dispatched(github)
    inputs = sent.data["inputs"]
    assert sent.data["ref"] == "main"
    assert inputs == {**described, "tune_run_id": "4712", "revision": revision(work)}
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"inputs": inputs, "sender": {"login": "github-actions[bot]"}}))
    planning = ["-q", "--work", str(tmp_path / "release"), "--repo", str(ROOT), "plan", "--event", str(event)]
    assert run([*planning, "--tuned-model", str(model(work))]) == 0
    plan = decode_text(ReleasePlan, (tmp_path / "release" / "plan.json").read_text())
    assert (plan.source.model_id, plan.source.revision) == ("acme/search", revision(work))
    assert plan.lineage["verdict"] == "better"


def test_a_release_of_another_folder_than_was_handed_over_is_not_planned(work, github, tmp_path, capsys):
    assert release(work) == 0
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"inputs": dispatched(github)[0].data["inputs"]}))
    (model(work) / "config.json").write_bytes((model(work) / "config.json").read_bytes() + b"\n")
    planning = ["-q", "--work", str(tmp_path / "release"), "--repo", str(ROOT), "plan", "--event", str(event)]
    assert run([*planning, "--tuned-model", str(model(work))]) == 7
    assert "has changed" in capsys.readouterr().err


def test_without_a_version_nothing_is_asked_of_anybody(tmp_path, github, capsys):
    assert release(tmp_path / "none", form={"upload_target": "staging", "kind": "auto"}, at="") == 0
    assert "no release is started" in capsys.readouterr().out
    assert github.requests == []


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"version": "1.0.0", "upload_target": "staging"}, "--model: is needed"),
        ({"model": "acme/search", "upload_target": "staging"}, "--version: is needed"),
        ({"model": "acme/search", "version": "1.0.0"}, "--upload-target: is needed"),
        ({**FORM, "version": "one"}, "--version: 'one' is no version"),
        ({**FORM, "model": "search"}, "--model: 'search' is no model id"),
        ({**FORM, "model": "../etc/passwd"}, "--model: '../etc/passwd' is no model id"),
        ({**FORM, "upload_target": "stagin"}, "--upload-target: 'stagin' is no target (did you mean staging?)"),
        ({**FORM, "kind": "dens"}, "--kind: 'dens' is none that is known here"),
        ({**FORM, "format": "onx"}, "--format: 'onx' is none that is known here"),
        ({**FORM, "name": "a b"}, "--name: 'a b' can't stand in an object key"),
        ({**FORM, "description": "x" * 2001}, "--description: longer than"),
    ],
)
def test_a_form_that_a_release_would_refuse_is_refused_before_anything_is_tuned(tmp_path, github, capsys, form, says):
    assert release(tmp_path / "none", "--dry-run", form=form, at="") == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("  - ") == 1
    assert github.requests == []


def test_a_right_form_is_looked_at_without_a_model_a_token_or_github(tmp_path, monkeypatch, capsys):
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    assert release(tmp_path / "none", "--dry-run", at="") == 0
    assert "The form of the release is right." in capsys.readouterr().out


def test_everything_that_is_wrong_is_said_at_once(work, github, capsys):
    form = {**FORM, "version": "x", "upload_target": "y"}
    assert release(work, "--tune-run-id", "4712; id", form=form, at="main") == 2
    said = capsys.readouterr().err
    assert [flag for flag in ("--version:", "--upload-target:", "--tune-run-id:", "--revision:") if flag in said] == [
        "--version:", "--upload-target:", "--tune-run-id:", "--revision:",
    ]  # fmt: skip
    assert dispatched(github) == []


def test_where_nothing_was_handed_over_nothing_is_started(work, github, capsys):
    at = revision(work)
    shutil.rmtree(model(work))
    assert release(work, at=at) == 2
    assert "Nothing was handed over" in capsys.readouterr().err
    assert github.requests == []


@pytest.mark.parametrize("name", ["config.json", "lineage.json", "model.safetensors"])
def test_another_folder_than_was_handed_over_is_not_released(work, github, capsys, name):
    at = revision(work)
    path = model(work) / name
    path.write_bytes(path.read_bytes() + b" ")
    assert release(work, at=at) == 7
    assert f"that was {at}, this is sha256:" in capsys.readouterr().err
    assert github.requests == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: (folder / "lineage.json").unlink(), "has no lineage.json"),
        (lambda folder: (folder / "lineage.json").write_text("{}"), "has no lineage.json"),
        (lambda folder: (folder / "lineage.json").write_text("{"), "has no lineage.json"),
        (lambda folder: (folder / "more.txt").write_text("more"), "its files are not those that lineage.json tells of"),
    ],
)
def test_a_folder_whose_lineage_does_not_tell_of_it_is_not_released(work, github, capsys, change, says):
    change(model(work))
    assert release(work) == 7
    assert says in capsys.readouterr().err
    assert github.requests == []


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ((), "was not found better than its base"),
        (("--accept-worse", " "), "nobody accepted that"),
        (("--accept-worse", "another reason altogether"), "accepted for another reason than this one"),
    ],
)
def test_a_model_that_is_not_better_is_released_for_the_accepted_reason_alone(red, github, capsys, reason, says):
    assert release(red, *reason) == 6
    assert says in capsys.readouterr().err
    assert github.requests == []
    assert release(red, "--accept-worse", REASON) == 0
    assert len(dispatched(github)) == 1


def test_a_lineage_that_lost_its_reason_is_not_released_for_any(red, github, capsys):
    path = model(red) / "lineage.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "accepted": None}))
    assert release(red, "--accept-worse", REASON) == 6
    assert "nobody accepted that" in capsys.readouterr().err
    assert github.requests == []


def test_the_same_release_is_started_once(work, github, capsys):
    assert release(work) == 0
    assert release(work) == 0
    assert "was started before" in capsys.readouterr().out
    assert len(github.runs) == 1
    # One that came to nothing is started again, and so is one of another model.
    github.runs[0]["conclusion"] = "failure"
    assert release(work) == 0
    github.runs[1]["conclusion"] = "success"
    assert release(work) == 0
    assert len(github.runs) == 2
    assert release(work, form={**FORM, "version": "1.0.1"}) == 0
    assert [one["inputs"]["version"] for one in github.runs] == ["1.0.0", "1.0.0", "1.0.1"]


def test_a_repository_without_the_workflow_of_a_release_says_what_to_do(work, github, capsys):
    github.fault("POST .*release-model.yml/dispatches", status=404, data={"message": "Not Found"})
    assert release(work) == 10
    said = capsys.readouterr().err
    assert "release-model.yml can't be started on main of octo-org/models" in said
    assert "Then run this job again" in said


@pytest.mark.parametrize(
    ("status", "message"),
    [(403, "Resource not accessible by integration"), (422, 'Unexpected inputs provided: ["revision"]')],
)  # fmt: skip
def test_what_github_refuses_is_said_with_its_words(work, github, capsys, status, message):
    github.fault("POST .*/dispatches", status=status, data={"message": message})
    assert release(work) == 10
    said = capsys.readouterr().err
    assert message in said
    assert "actions: write" in said
    assert github.runs == []


def test_an_answer_that_was_lost_starts_no_second_release(work, github):
    github.fault("POST .*/dispatches", cut="after")
    assert release(work) == 11
    assert release(work) == 0
    assert len(github.runs) == 1


def test_a_token_and_a_repository_are_needed(work, github, monkeypatch, capsys):
    monkeypatch.delenv("GITHUB_REPOSITORY")
    assert release(work) == 2
    assert "No repository" in capsys.readouterr().err
    monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
    monkeypatch.delenv("GITHUB_TOKEN")
    assert release(work) == 2
    assert "There is no token for GitHub" in capsys.readouterr().err
