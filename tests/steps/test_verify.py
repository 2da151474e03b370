"""``release-tool verify`` and the outputs of steps: what one job makes, the next one can trust."""

from __future__ import annotations

import json
import shutil

import pytest
from model_files import Files, dense

from release_tool.cli import run
from release_tool.core.handover import files_text
from release_tool.documents import file_sha256


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planned")
    model = Files(dense()).write(folder / "tiny")
    assert run(["--work", str(folder / "work"), "plan", str(model), "--version", "1.0.0"]) == 0
    (folder / "work" / "location.json").unlink()
    return folder


@pytest.fixture
def work(planned, tmp_path):
    return shutil.copytree(planned / "work", tmp_path / "work")


def outputs(path) -> dict[str, str]:
    """Return the outputs of a step, as GitHub reads the file."""
    found, lines = {}, iter(path.read_text().splitlines())
    for line in lines:
        name, mark = line.split("<<")
        value = []
        for text in lines:
            if text == mark:
                break
            value.append(text)
        found[name] = "\n".join(value)
    return found


def verify(work, *options, **jobs):
    return run(["--work", str(work), "verify", "--needs", said(**jobs), *options])


def said(**jobs) -> str:
    """Return what GitHub says of jobs: name → the files that it gave out, as a text."""
    outputs = {name.replace("_", "-"): {"outputs": {"files": text}} for name, text in jobs.items()}
    return json.dumps(outputs, indent=2)


def named(work, *names) -> str:
    return files_text({name: file_sha256(work / name) for name in names})


def test_what_a_job_made_is_what_the_next_one_finds(work, capsys):
    assert verify(work, plan=named(work, "plan.json"), trace_onnx="") == 0
    assert "1 files are" in capsys.readouterr().out


def test_the_environment_says_what_the_jobs_gave_out(work, monkeypatch):
    (work / "source.json").write_text("{}")
    monkeypatch.setenv("RELEASE_TOOL_VERIFY_BEFORE", said(plan=named(work, "plan.json")))
    monkeypatch.setenv("RELEASE_TOOL_VERIFY_NEEDS", said(fetch=named(work, "source.json")))
    assert run(["--work", str(work), "verify"]) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda work: (work / "plan.json").write_text("{}"), "plan.json is not what its job made"),
        (lambda work: (work / "plan.json").unlink(), "plan.json is gone"),
        (lambda work: (work / "receipt.json").write_text("{}"), "receipt.json was made by no job"),
        (lambda work: (work / "notice.json").write_text("{}"), "notice.json was made by no job"),
        (lambda work: (work / "location.json").write_text("{}"), "location.json was made by no job"),
        (lambda work: (work / ".hidden").write_text("{}"), ".hidden was made by no job"),
        (lambda work: (work / "snapshot").symlink_to("/etc"), "snapshot was made by no job"),
    ],
)
def test_anything_else_ends_the_job(work, change, words, capsys):
    made = named(work, "plan.json")
    change(work)
    assert verify(work, plan=made) == 7
    assert words in capsys.readouterr().err


def test_the_snapshot_is_where_it_is_wanted_and_nowhere_else(work, capsys):
    (work / "snapshot").mkdir()
    (work / "snapshot" / "config.json").write_text("{}")
    made = named(work, "plan.json")
    assert verify(work, plan=made) == 7
    assert "snapshot/config.json was made by no job" in capsys.readouterr().err
    assert verify(work, "--snapshot", plan=made) == 0


def test_a_job_that_took_only_some_artifacts_says_of_whom(work, capsys):
    jobs = {"plan": named(work, "plan.json"), "fetch": files_text({"source.json": "0" * 64})}
    assert verify(work, **jobs) == 7
    assert verify(work, "--from", "plan", **jobs) == 0
    assert verify(work, "--from", "fetch", **jobs) == 7
    assert "plan.json was made by no job" in capsys.readouterr().err


def test_archives_may_stay_away_where_they_are_not_needed(work, capsys):
    jobs = {"plan": named(work, "plan.json"), "trace_onnx": files_text({"archives/a.zip": "0" * 64})}
    assert verify(work, **jobs) == 7
    assert "archives/a.zip is gone" in capsys.readouterr().err
    assert verify(work, "--lacks", "archives", **jobs) == 0
    (work / "archives").mkdir()
    (work / "archives" / "a.zip").write_bytes(b"another")
    assert verify(work, "--lacks", "archives", **jobs) == 7
    (work / "archives" / "a.zip").rename(work / "archives" / "b.zip")
    assert verify(work, "--lacks", "archives", **jobs) == 7


def test_a_notice_of_an_earlier_attempt_is_removed_and_not_believed(work, capsys):
    made = named(work, "plan.json")
    (work / "notice.json").write_text("{}")
    assert verify(work, "--lacks", "notice", plan=made, notify="") == 0
    assert "notice.json is of an attempt that nobody answers for" in capsys.readouterr().err
    assert not (work / "notice.json").exists()
    # One that its job gave out and could not upload is not there; another one in its place is refused.
    gone = files_text({"notice.json": "0" * 64})
    assert verify(work, "--lacks", "notice", plan=made, notify=gone) == 0
    (work / "notice.json").write_text("{}")
    assert verify(work, "--lacks", "notice", plan=made, notify=gone) == 7


@pytest.mark.parametrize(
    "name",
    ["openai/ab/abc.json", "openai/batch-0123.jsonl", "openai/batch-0.answers.jsonl", "bedrock-jobs/a/b.jsonl"],
)
def test_what_was_paid_for_may_be_here_where_that_is_said(work, name):
    made = named(work, "plan.json")
    path = work / "finetune" / "paid" / name
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert verify(work, plan=made) == 7
    assert verify(work, "--paid", plan=made) == 0


@pytest.mark.parametrize("name", ["paid/x.py", "paid/a/.hidden.json", "paidx/a.json", "03-queries/x.jsonl", "x.json"])
def test_nothing_else_comes_along_with_what_was_paid_for(work, name, capsys):
    path = work / "finetune" / name
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert verify(work, "--paid", plan=named(work, "plan.json")) == 7
    assert f"finetune/{name} was made by no job" in capsys.readouterr().err


def test_a_link_is_nothing_that_was_paid_for(work, tmp_path):
    (tmp_path / "elsewhere.json").write_text("{}")
    (work / "finetune" / "paid").mkdir(parents=True)
    (work / "finetune" / "paid" / "a.json").symlink_to(tmp_path / "elsewhere.json")
    assert verify(work, "--paid", plan=named(work, "plan.json")) == 7


def test_stages_may_stay_away_and_those_that_are_here_are_held_against_what_was_said(work):
    path = work / "finetune" / "10-hand-over" / "model" / "config.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    handed = files_text({path.relative_to(work).as_posix(): file_sha256(path), "finetune/10-hand-over/a": "0" * 64})
    jobs = {"plan": named(work, "plan.json"), "hand_over": handed}
    assert verify(work, **jobs) == 7
    assert verify(work, "--lacks", "stages", **jobs) == 0
    path.write_text("{ }")
    assert verify(work, "--lacks", "stages", **jobs) == 7
    path.rename(path.with_name("other.json"))
    assert verify(work, "--lacks", "stages", **jobs) == 7


def test_a_link_to_the_right_bytes_is_not_what_was_made(work, tmp_path, capsys):
    made = named(work, "plan.json")
    (work / "plan.json").rename(tmp_path / "elsewhere")
    (work / "plan.json").symlink_to(tmp_path / "elsewhere")
    assert verify(work, plan=made) == 7
    assert "plan.json is not what its job made" in capsys.readouterr().err


def test_a_step_says_what_it_made_and_where_it_goes(planned, tmp_path, monkeypatch):
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "release-tool.toml").write_text('[targets.staging]\nto = "s3://models-staging"\nserves=false')
    event = tmp_path / "event.json"
    inputs = {"model": "acme/tiny", "version": "1.0.0", "upload_target": "staging", "overwrite": "true"}
    event.write_text(json.dumps({"inputs": inputs, "sender": {"login": "octocat"}}))
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    work = tmp_path / "work"
    command = ["--work", str(work), "--repo", str(tmp_path / "repo"), "plan", str(planned / "tiny")]
    assert run([*command, "--event", str(event)]) == 0
    found = outputs(tmp_path / "output")
    assert json.loads(found["files"]) == {"plan.json": file_sha256(work / "plan.json")}
    assert (found["target"], found["publish_environment"]) == ("staging", "overwrite-staging")
    assert (found["serves"], found["jenkins"]) == ("false", "false")
    assert (found["torch_script_artifacts"], found["onnx_artifacts"]) == ("torch_script", "onnx")
    plan = json.loads((work / "plan.json").read_text())
    assert plan["to"] == "s3://models-staging"
    # A command that makes nothing says nothing, and a failed one hands on what is there.
    (tmp_path / "output").write_text("")
    assert run(["--work", str(work), "verify", "--needs", "{}"]) == 7
    assert (tmp_path / "output").read_text() == ""
    assert run(["--work", str(work), "review"]) == 2
    assert outputs(tmp_path / "output") == {"files": "{}"}


def test_a_command_that_fails_on_a_document_says_so_and_is_not_outdone_by_its_outputs(
    work, tmp_path, monkeypatch, capsys
):
    (work / "plan.json").write_text("{}")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    assert run(["--work", str(work), "check"]) == 7
    assert "plan.json" in capsys.readouterr().err
    assert list(outputs(tmp_path / "output")) == ["files"]


@pytest.mark.parametrize(
    ("target", "named", "asked"),
    [("served", True, "true"), ("served", False, "false"), ("trial", True, "false"), (None, True, "false")],
)
def test_the_plan_says_whether_jenkins_is_asked(planned, tmp_path, monkeypatch, target, named, asked):
    settings = '[targets.served]\nto = "s3://models"\n[targets.trial]\nto = "s3://trial"\nserves = false\n'
    settings += '[jenkins]\nserver = "https://ci.example.org"\n' if named else ""
    (tmp_path / "release-tool.toml").write_text(settings)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    command = ["--work", str(tmp_path / "work"), "--repo", str(tmp_path), "plan", str(planned / "tiny")]
    more = ["--upload-target", target] if target else []
    assert run([*command, "--version", "1.0.0", *more]) == 0
    assert outputs(tmp_path / "output")["jenkins"] == asked


def test_a_target_that_the_settings_do_not_name_is_a_fault_of_the_request(planned, tmp_path, capsys):
    (tmp_path / "release-tool.toml").write_text('[targets.staging]\nto = "s3://models-staging"\n')
    command = ["--work", str(tmp_path / "work"), "--repo", str(tmp_path), "plan", str(planned / "tiny")]
    assert run([*command, "--version", "x", "--upload-target", "stagign"]) == 2
    err = capsys.readouterr().err
    assert "--version" in err
    assert "did you mean staging?" in err


def test_a_plan_goes_where_it_says_and_nowhere_else(planned, tmp_path, capsys):
    bucket = tmp_path / "bucket"
    (tmp_path / "release-tool.toml").write_text(f'[targets.desk]\nto = "{bucket.as_uri()}"\n')
    globals_ = ["--work", str(tmp_path / "work"), "--repo", str(tmp_path)]
    plan = ["plan", str(planned / "tiny"), "--version", "1.0.0", "--upload-target", "desk"]
    assert run([*globals_, *plan]) == 0
    assert run([*globals_, "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))["to"] == bucket.as_uri()
    assert run([*globals_, "check", "--to", "desk"]) == 0
    assert run([*globals_, "check", "--to", (tmp_path / "other").as_uri()]) == 2
    assert "The plan goes to desk" in capsys.readouterr().err


def test_the_model_of_a_tuning_run_is_called_as_the_form_says(planned, tmp_path):
    event = tmp_path / "event.json"
    inputs = {"model": "acme/tuned", "version": "1.0.0", "tune_run_id": "17", "upload_target": "desk"}
    event.write_text(json.dumps({"inputs": inputs}))
    (tmp_path / "release-tool.toml").write_text(f'[targets.desk]\nto = "{(tmp_path / "bucket").as_uri()}"\n')
    tuned = shutil.copytree(planned / "tiny", tmp_path / "tuned")
    globals_ = ["--work", str(tmp_path / "work"), "--repo", str(tmp_path)]
    assert run([*globals_, "plan", "--event", str(event), "--tuned-model", str(tuned)]) == 0
    plan = json.loads((tmp_path / "work" / "plan.json").read_text())
    assert plan["source"]["model_id"] == "acme/tuned"
    assert plan["request"]["tune_run_id"] == "17"
    # Another job has the folder in another place.
    tuned.rename(tmp_path / "moved")
    (tmp_path / "work" / "location.json").unlink()
    assert run([*globals_, "fetch"]) != 0
    assert run([*globals_, "fetch", "--model", str(tmp_path / "moved")]) == 0
