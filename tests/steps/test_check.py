"""``release-tool check`` on a folder: who has the version, and what would be replaced."""

from __future__ import annotations

import shutil

import pytest
from factories import make_plan
from publications import reviewed

from release_tool.cli import run
from release_tool.core.codec import decode_text
from release_tool.core.plan import ReleasePlan
from release_tool.documents import file_sha256


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


def test_a_bucket_that_can_not_say_is_an_error_and_no_free_key(work, bucket, approved, capsys):
    bucket.write_text("a file")
    assert check(work, bucket) != 0
    assert "free" not in capsys.readouterr().out
    assert publish(work, bucket, approved) not in {0, 1}
