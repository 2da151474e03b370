"""``release-tool check`` on a folder: who has the version, and what would be replaced."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from factories import make_plan
from publications import another, reviewed

from release_tool.cli import run
from release_tool.core.codec import decode_text, encode_text
from release_tool.core.plan import ReleasePlan
from release_tool.core.publication import GivenUp, marker_key
from release_tool.documents import file_sha256
from release_tool.lock import hold


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
