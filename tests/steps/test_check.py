"""``release-tool check`` on a folder: who has the version, and what would be replaced."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from factories import make_facts, make_plan, make_request
from github_double.git import Git
from github_double.server import GitHubDouble, tuning_run
from publications import another, reviewed

from release_tool.cli import run
from release_tool.core.codec import decode_text, encode_text
from release_tool.core.plan import ReleasePlan
from release_tool.core.publication import GivenUp, marker_key
from release_tool.documents import WorkFolder, file_sha256
from release_tool.lock import hold
from release_tool.steps import tuning

REPOSITORY = "octo-org/models"


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    return folder, reviewed(folder)


@pytest.fixture
def work(release, tmp_path):
    return shutil.copytree(release[0], tmp_path / "work")


@pytest.fixture
def approved(release):
    return release[1]


@pytest.fixture
def bucket(tmp_path):
    return tmp_path / "bucket"


def publish(work, bucket, approved):
    return run(["--work", str(work), "publish", "--approved", approved, "--to", bucket.as_uri()])


def check(work, bucket, *more):
    return run(["--work", str(work), "check", "--to", bucket.as_uri(), *more])


def test_check_finds_the_keys_free_or_says_who_has_them(work, bucket, approved, capsys):
    assert check(work, bucket) == 0
    assert capsys.readouterr().out.count("free") == 4
    assert not bucket.exists()
    assert publish(work, bucket, approved) == 0
    capsys.readouterr()
    before = (work / "plan.json").read_bytes()
    assert check(work, bucket) == 3
    err = capsys.readouterr().err
    for artifact in make_plan().artifacts:
        assert file_sha256(bucket / artifact.key) in err
    assert f"as {approved}" in err
    assert (work / "plan.json").read_bytes() == before


def test_overwrite_writes_what_lies_there_into_the_plan(work, bucket, approved, capsys):
    assert publish(work, bucket, approved) == 0
    before = (work / "plan.json").read_bytes()
    assert check(work, bucket, "--overwrite", "--dry-run") == 0
    assert (work / "plan.json").read_bytes() == before
    assert check(work, bucket, "--overwrite") == 0
    plan = decode_text(ReleasePlan, (work / "plan.json").read_text())
    keys = [key for artifact in plan.artifacts for key in (artifact.key, artifact.config_key)]
    assert plan.replaces == {key: file_sha256(bucket / key) for key in keys}
    assert check(work, bucket) == 0
    # What was made from the plan before is no longer of this plan.
    assert publish(work, bucket, approved) == 7


def test_overwriting_what_is_not_there_plans_nothing(work, bucket, approved):
    before = (work / "plan.json").read_bytes()
    assert check(work, bucket, "--overwrite") == 0
    assert (work / "plan.json").read_bytes() == before


def test_what_the_plan_replaces_and_is_not_there_is_refused_before_anything_is_traced(work, bucket, approved, capsys):
    assert publish(work, bucket, approved) == 0
    assert check(work, bucket, "--overwrite") == 0
    key = make_plan().artifacts[0].config_key
    (bucket / key).unlink()
    assert check(work, bucket) == 8
    assert f"{key} is not in {bucket.as_uri()}; the plan replaces" in capsys.readouterr().err
    # To plan again for what lies there is the way out that the hint names.
    assert check(work, bucket, "--overwrite") == 0
    assert key not in decode_text(ReleasePlan, (work / "plan.json").read_text()).replaces
    assert check(work, bucket) == 0


def test_who_holds_an_unfinished_claim_can_not_be_overwritten_and_the_hint_says_what_can_be_done(
    work, bucket, approved, capsys
):
    assert publish(work, bucket, approved) == 0
    (bucket / marker_key(approved)).unlink()
    capsys.readouterr()
    assert check(work, bucket) == 3
    err = capsys.readouterr().err
    assert f"by {approved}, which is not complete" in err
    assert f"Let it end, or publish it again; if it is dead for good, add --take-over {approved} to publish" in err
    assert "--overwrite" not in err


def test_what_a_release_that_was_given_up_has_left_is_not_in_the_way(work, bucket, approved, tmp_path, capsys):
    """Killed while it took over: the dead one can't come back, and its bytes may be overwritten."""
    dead = tmp_path / "dead"
    dead_digest = another(dead, pages=False)
    assert publish(dead, bucket, dead_digest) == 0
    (bucket / marker_key(dead_digest)).write_text(
        encode_text(GivenUp(approved=dead_digest, by=approved, at="2026-01-01T00:00:00Z"))
    )
    capsys.readouterr()
    assert check(work, bucket) == 0
    assert capsys.readouterr().out.count("of a release that was given up") == 4
    # Bytes that it did not send are somebody else's.
    foreign = bucket / make_plan().artifacts[0].config_key
    sent = foreign.read_bytes()
    foreign.write_text("{}")
    assert check(work, bucket) == 3
    assert f"by others than {dead_digest}" in capsys.readouterr().err
    foreign.write_bytes(sent)
    assert publish(work, bucket, approved) == 0


def test_json_says_what_is_there_also_where_it_is_refused(work, bucket, approved, capsys):
    assert publish(work, bucket, approved) == 0
    capsys.readouterr()
    assert check(work, bucket, "--json") == 3
    found = json.loads(capsys.readouterr().out)
    assert {item["key"]: item["sha256"] for item in found["existing"]} == {
        key: file_sha256(bucket / key) for key in found["keys"]
    }
    assert {item["owner"]["approved"] for item in found["existing"]} == {approved}
    assert found["replaces"] is None


def test_only_a_look_that_may_write_waits_for_others(work, bucket):
    """Where nothing is to be replaced, nothing is written: neither a lock nor the plan."""
    with hold(work, "trace"):
        assert check(work, bucket) == 0
        assert check(work, bucket, "--overwrite") == 2
        assert check(work, bucket, "--overwrite", "--dry-run") == 0
        plan = decode_text(ReleasePlan, (work / "plan.json").read_text())
        (work / "plan.json").write_text(encode_text(replace(plan, request=replace(plan.request, overwrite=True))))
        assert check(work, bucket) == 2


def test_a_bucket_that_can_not_say_is_an_error_and_no_free_key(work, bucket, approved, capsys):
    bucket.write_text("a file")
    assert check(work, bucket) != 0
    assert "free" not in capsys.readouterr().out
    assert publish(work, bucket, approved) not in {0, 1}


# --- weights of a fine-tuning run -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def github(tmp_path_factory):
    git = Git.made(tmp_path_factory.mktemp("github") / "git", {"README.md": b"x"})
    with GitHubDouble(git, REPOSITORY) as server:
        yield server


@pytest.fixture
def tuned(tmp_path, github, monkeypatch):
    """Return a work folder with the plan of a model of run 4712, and GitHub in the environment."""
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in github.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tuning, "WAIT_SECONDS", 0.3)
    monkeypatch.setattr(tuning, "PAUSE_SECONDS", 0.1)
    github.runs.clear()
    github.requests.clear()
    facts = make_facts(origin="folder", model_id="acme/tuned")
    WorkFolder(tmp_path / "tuned").write("plan.json", make_plan(source=facts, request=make_request(tune_run_id="4712")))
    return tmp_path / "tuned"


def test_a_run_of_this_repositorys_own_fine_tuning_is_taken(tuned, bucket, github, capsys):
    github.runs.append(tuning_run(REPOSITORY, 4712))
    assert check(tuned, bucket) == 0
    assert [one.path for one in github.requests] == [f"/repos/{REPOSITORY}/actions/runs/4712"]
    assert "warning" not in capsys.readouterr().err


def test_github_may_write_the_reference_behind_the_path(tuned, bucket, github):
    github.runs.append(tuning_run(REPOSITORY.upper(), 4712, path=".github/workflows/tune-model.yml@main"))
    assert check(tuned, bucket) == 0


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"head_repository": {"full_name": "mallory/models"}}, "it ran code of mallory/models, not octo-org/models"),
        ({"head_repository": None}, "it ran code of unknown"),
        ({"repository": {"full_name": "mallory/models"}}, "it belongs to mallory/models"),
        ({"path": ".github/workflows/ci.yml"}, "its workflow is .github/workflows/ci.yml"),
        ({"path": "mallory/x/.github/workflows/tune-model.yml@main"}, "its workflow is mallory/x/"),
        ({"head_branch": "feature"}, "it ran on feature, not main"),
        ({"head_branch": None}, "it ran on unknown"),
        ({"conclusion": "failure"}, "it has not ended well, but is failure"),
        ({"conclusion": None, "status": "in_progress"}, "it has not ended well, but is in_progress"),
        ({"path": "\x1b[31m::error::" + "n" * 5000}, "its workflow is"),
    ],
)
def test_any_other_run_is_refused_before_the_bucket_is_asked(tuned, bucket, github, capsys, over, says):
    bucket.write_text("a file: asking it is another error")
    github.runs.append(tuning_run(REPOSITORY, 4712, **over))
    assert check(tuned, bucket) == 2
    said = capsys.readouterr().err
    assert f"--tune-run-id: 4712: {says}" in said
    assert said.count("--tune-run-id: ") == 1
    assert "\x1b" not in said
    assert len(said) < 2000


def test_a_run_that_is_about_to_end_is_waited_for(tuned, bucket, github):
    """A tuning run starts its release in its last job, and that release may be quicker than GitHub's own books."""
    going = tuning_run(REPOSITORY, 4712, conclusion=None, status="in_progress")
    github.runs.append(going)
    github.fault("GET .*runs/4712", after=1, action=lambda _: going.update(conclusion="success", status="completed"))
    assert check(tuned, bucket) == 0
    assert len(github.requests) == 2


@pytest.mark.parametrize("over", [{"conclusion": "failure"}, {"head_branch": "x"}, {"status": "completed"}])
def test_a_run_that_waiting_makes_no_better_is_not_waited_for(tuned, bucket, github, over):
    github.runs.append(tuning_run(REPOSITORY, 4712, **{"conclusion": None, "status": "in_progress", **over}))
    assert check(tuned, bucket) == 2
    assert len(github.requests) == 1


def test_everything_that_speaks_against_a_run_is_said_at_once(tuned, bucket, github, capsys):
    github.runs.append(tuning_run(REPOSITORY, 4712, head_branch="x", conclusion="cancelled", path=""))
    assert check(tuned, bucket) == 2
    assert capsys.readouterr().err.count("--tune-run-id: ") == 3


def test_a_run_that_is_not_there_is_refused(tuned, bucket, github, capsys):
    github.runs.append(tuning_run(REPOSITORY, 4713))
    assert check(tuned, bucket) == 2
    assert "octo-org/models has no such run" in capsys.readouterr().err


def test_another_run_than_was_asked_for_is_refused(tuned, bucket, github, capsys):
    github.fault("GET .*runs/4712", status=200, data=tuning_run(REPOSITORY, 4713))
    assert check(tuned, bucket) == 2
    assert "something else than this run" in capsys.readouterr().err


def test_a_github_that_does_not_say_is_an_error_and_no_yes(tuned, bucket, github, monkeypatch):
    github.runs.append(tuning_run(REPOSITORY, 4712))
    github.fault("GET .*runs/4712", status=403, data={"message": "Resource not accessible by integration"})
    assert check(tuned, bucket) == 10
    monkeypatch.delenv("GITHUB_TOKEN")
    assert check(tuned, bucket) == 2


def test_where_there_is_no_repository_of_github_nobody_looked_and_that_is_said(
    tuned, bucket, github, monkeypatch, capsys
):
    monkeypatch.delenv("GITHUB_REPOSITORY")
    assert check(tuned, bucket) == 0
    assert "Nobody looked whether 4712 is a fine-tuning run" in capsys.readouterr().err
    assert not github.requests


def test_a_model_of_the_hub_asks_github_nothing(work, bucket, github, monkeypatch):
    for name, value in github.environment().items():
        monkeypatch.setenv(name, value)
    github.requests.clear()
    assert check(work, bucket) == 0
    assert not github.requests
