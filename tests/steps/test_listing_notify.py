"""``listing publish`` and Jenkins: one build each time the listings were written, whatever is killed or run again."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from jenkins_double.server import RELEASE, TOKEN, USER, WEBHOOK_TOKEN, Jenkins, JobConfig
from killed_builds import LIMIT, job_name, killed_at_every_call

from release_tool.cli import run
from release_tool.core.codec import decode_text
from release_tool.core.digest import sha256_bytes
from release_tool.core.notice import BuildNotice, Way
from release_tool.services import clock
from release_tool.services.bucket_folder import FolderBucket

JOB = "ml-models-release"
ALL = "model_listing/pretrained_models_all_versions.json"
SERVED = "model_listing/pre_trained_models.json"
WANTED = {"BASE_DOWNLOAD_PATH": "ml-models/model_listing"}
VARIABLES = {
    "RELEASE_TOOL_JENKINS_USER": USER,
    "RELEASE_TOOL_JENKINS_TOKEN": TOKEN,
    "RELEASE_TOOL_WEBHOOK_TOKEN": WEBHOOK_TOKEN,
}


class SharedClock(clock.Clock):
    """Waits in no time, and takes Jenkins and the ages of objects along."""

    def __init__(self, jenkins):
        self.jenkins = jenkins
        self.slept = 0.0

    def now(self):
        return datetime.now(UTC) + timedelta(seconds=self.slept)

    def elapsed(self):
        return time.monotonic() + self.slept

    def sleep(self, seconds):
        self.slept += seconds
        self.jenkins.skew += seconds


class Aged(FolderBucket):
    """A folder whose objects grow old by the clock of the test."""

    clock = None
    written = None
    """(Address, key) → when."""

    def write(self, key, data, **more):
        stored = super().write(key, data, **more)
        self.written[self.address, key] = self.clock.now()
        return stored

    def head(self, key):
        found = super().head(key)
        at = self.written.get((self.address, key))
        if found is not None and at is not None:
            object.__setattr__(found, "age", (self.clock.now() - at).total_seconds())
        return found


@pytest.fixture
def jenkins(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    with Jenkins() as running:
        yield running


@pytest.fixture
def ticking(jenkins, monkeypatch):
    fake = SharedClock(jenkins)
    monkeypatch.setattr(clock, "Clock", lambda: fake)
    monkeypatch.setattr(Aged, "clock", fake)
    monkeypatch.setattr(Aged, "written", {})
    monkeypatch.setattr("release_tool.services.bucket_folder.FolderBucket", Aged)
    return fake


@pytest.fixture
def place(tmp_path, ticking):
    write_listings(tmp_path / "repo", "1.0.0")
    return tmp_path


def write_listings(repo, *versions):
    (repo / "model_listing").mkdir(parents=True, exist_ok=True)
    name = "huggingface/acme/tiny"
    facts = {version: {"format": ["onnx"], "description": "A model."} for version in versions}
    (repo / ALL).write_text(json.dumps([{"name": name, "versions": facts}], indent=2) + "\n")
    served = [{"name": name, "version": list(versions), "format": ["onnx"]}]
    (repo / SERVED).write_text(json.dumps(served, indent=2) + "\n")


def publish(place, jenkins, *more, work="work", to="bucket"):
    server = () if jenkins is None else ("--server", jenkins.address)
    folders = ["--work", str(place / work), "--repo", str(place / "repo")]
    return run([*folders, "listing", "publish", "--to", (place / to).as_uri(), *server, *map(str, more)])


def notice_of(place, work="work"):
    return decode_text(BuildNotice, (place / work / "listing-notice.json").read_text())


def there(place):
    return {name: (place / "bucket" / "ml-models" / name).read_bytes() for name in (ALL, SERVED)}


def posts(jenkins):
    return [request for request in jenkins.requests if request.method == "POST"]


@pytest.mark.parametrize("way", list(Way))
def test_listings_are_written_and_a_build_of_them_is_followed(place, jenkins, way, capsys):
    assert publish(place, jenkins, "--way", way) == 0
    (build,) = notice_of(place).builds
    assert (build.parameters, build.result, build.build_number) == (WANTED, "SUCCESS", 1)
    assert jenkins.builds[JOB][0].parameters == {**WANTED, "VERSION": "", "FORMAT": ""}
    assert notice_of(place).uses == {
        f"{(place / 'bucket').as_uri()}/ml-models/{name}": sha256_bytes(data) for name, data in there(place).items()
    }
    out = capsys.readouterr().out
    assert out.count("written") == 2
    assert f"SUCCESS  ml-models/model_listing  {build.url}" in out


def test_without_a_server_only_the_bucket_is_written(place, jenkins, capsys):
    assert publish(place, None, "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert done["notice"] is None
    assert [one["written"] for one in done["listings"]] == [True, True]
    assert not (place / "work").exists()
    assert jenkins.requests == []
    # Set for every command of a job: they count for nothing here.
    with pytest.MonkeyPatch.context() as env:
        env.setenv("RELEASE_TOOL_LISTING_PUBLISH_SECRET", "releases/jenkins")
        env.setenv("RELEASE_TOOL_LISTING_PUBLISH_SERVER", "")
        assert publish(place, None) == 0


def settle(place, jenkins):
    targets = [f'[targets.{name}]\nto = "{(place / name).as_uri()}"' for name in ("trial", "served")]
    lines = [targets[0], "serves = false", targets[1], "[jenkins]", f'server = "{jenkins.address}"', 'job = "stage"']
    (place / "repo" / "release-tool.toml").write_text("\n".join(lines))
    jenkins.jobs["stage"] = JobConfig(declared=dict(RELEASE))


def publish_to(place, to, *more):
    return run(["--work", str(place / "work"), "--repo", str(place / "repo"), "listing", "publish", "--to", to, *more])


@pytest.mark.parametrize("by", ["name", "address"])
def test_the_jenkins_of_the_settings_serves_what_lies_at_a_target_that_serves(place, jenkins, by):
    settle(place, jenkins)
    assert publish_to(place, "served" if by == "name" else f"{(place / 'served').as_uri()}/") == 0
    assert {job: len(builds) for job, builds in jenkins.builds.items()} == {"stage": 1}


@pytest.mark.parametrize("to", ["trial", "elsewhere"])
def test_of_what_nobody_is_served_from_jenkins_is_told_only_where_it_is_named(place, jenkins, monkeypatch, to):
    settle(place, jenkins)
    name = to if to == "trial" else (place / to).as_uri()
    monkeypatch.setenv("RELEASE_TOOL_LISTING_PUBLISH_AGAIN", "true")  # as the workflow says it
    assert publish_to(place, name) == 0
    assert jenkins.requests == []
    assert len(list((place / to).rglob("*.json"))) == 2
    assert publish_to(place, name, "--job", "stage") == 2  # typed, and it means nothing
    assert publish_to(place, name, "--server", jenkins.address) == 0
    assert {job: len(builds) for job, builds in jenkins.builds.items()} == {"stage": 1}


@pytest.mark.parametrize("typed", [("--again",), ("--no-wait",), ("--job", "other"), ("--timeout", "3")])
def test_an_option_that_means_nothing_without_a_server_is_refused(place, typed, capsys):
    assert publish(place, None, *typed) == 2
    assert f"{typed[0]} means nothing without a Jenkins" in capsys.readouterr().err
    assert not (place / "bucket").exists()


def test_without_credentials_nothing_is_written(place, jenkins, monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name)
    assert publish(place, jenkins) == 2
    assert not (place / "bucket").exists()
    assert jenkins.requests == []


def test_what_can_not_be_published_starts_nothing(place, jenkins):
    assert publish(place, jenkins) == 0
    write_listings(place / "repo", "2.0.0")
    before = there(place)
    assert publish(place, jenkins) == 9
    assert there(place) == before
    assert jenkins.started == 1


def test_a_dry_run_prints_both_and_sends_nothing(place, jenkins, capsys):
    assert publish(place, jenkins, "--dry-run") == 0
    out = capsys.readouterr().out
    assert out.count("would write") == 2
    assert f"would send  POST {jenkins.address}/job/{JOB}/buildWithParameters" in out
    assert "BASE_DOWNLOAD_PATH  ml-models/model_listing" in out
    assert publish(place, jenkins, "--dry-run", "--json", "--way", "webhook") == 0
    assert json.loads(capsys.readouterr().out)["planned"]["builds"] == [WANTED]
    assert jenkins.requests == []
    assert not (place / "bucket").exists()
    assert not (place / "work").exists()


def test_while_another_command_writes_into_the_work_folder_it_is_refused(place, jenkins):
    from release_tool.lock import hold

    with hold(place / "work", "publish"):
        assert publish(place, jenkins) == 2
    assert not (place / "bucket").exists()
    assert jenkins.requests == []


# ---------------------------------------------------------------------------------------------------------------------
# Again


def test_unchanged_listings_with_a_build_that_succeeded_ask_nothing(place, jenkins, capsys):
    assert publish(place, jenkins) == 0
    asked = len(jenkins.requests)
    assert publish(place, jenkins) == 0
    assert len(jenkins.requests) == asked
    assert capsys.readouterr().out.count("unchanged") == 2


def test_in_another_work_folder_the_build_is_found_by_its_time(place, jenkins):
    assert publish(place, jenkins) == 0
    assert publish(place, jenkins, work="another") == 0
    assert jenkins.started == 1
    assert notice_of(place, "another").builds[0].build_number == 1


def test_changed_listings_start_another_build(place, jenkins):
    assert publish(place, jenkins) == 0
    write_listings(place / "repo", "1.0.0", "1.1.0")
    assert publish(place, jenkins) == 0
    assert (jenkins.started, notice_of(place).builds[0].build_number) == (2, 2)


@pytest.mark.parametrize("seconds", [-1, 1])
def test_a_build_that_began_about_when_they_were_written_counts_for_nothing(place, jenkins, seconds):
    """It may have copied the listings before them, and nobody's clock is that exact."""
    jenkins.skew += seconds
    jenkins.begin(jenkins.items[jenkins.enqueue(JOB, {**WANTED, "VERSION": "", "FORMAT": ""})])
    jenkins.skew -= seconds
    assert publish(place, jenkins) == 0
    assert notice_of(place).builds[0].build_number == 2


def test_another_s_build_after_they_were_written_will_do(place, jenkins, ticking):
    assert publish(place, None) == 0
    ticking.sleep(60)
    jenkins.begin(jenkins.items[jenkins.enqueue(JOB, {**WANTED, "VERSION": "", "FORMAT": ""})])
    assert publish(place, jenkins) == 0
    assert jenkins.started == 1
    assert notice_of(place).builds[0].build_number == 1


@pytest.mark.parametrize("lost", [False, True])
def test_the_same_bytes_written_anew_need_a_build_of_their_own(place, jenkins, ticking, lost):
    """Elsewhere other listings were published in between, and a run of ours was killed after it had written."""
    write_listings(place / "repo", "1.0.0", "1.1.0")
    assert publish(place, jenkins) == 0
    for name in (ALL, SERVED):
        key, bucket = f"ml-models/{name}", Aged(place / "bucket")
        first = bucket.read(key, 1 << 20)[0]
        for data in (b"[]", first):
            bucket.write(key, data, match=bucket.head(key).etag, content_type="application/json")
    if lost:
        (place / "work" / "listing-notice.json").unlink()
    assert publish(place, jenkins) == 0
    assert (jenkins.started, notice_of(place).builds[0].build_number) == (2, 2)


def test_another_bucket_server_or_job_needs_a_build_of_its_own(place, jenkins):
    jenkins.jobs["stage"] = JobConfig(declared=dict(RELEASE))
    assert publish(place, jenkins) == 0
    assert publish(place, jenkins, "--job", "stage") == 0
    assert publish(place, jenkins, to="elsewhere") == 0
    assert [len(jenkins.builds[JOB]), len(jenkins.builds["stage"])] == [2, 1]


@pytest.mark.parametrize("lost", [False, True])
def test_a_build_that_failed_is_told_again_and_only_again_starts_another(place, jenkins, lost, capsys):
    jenkins.job.fates = ["FAILURE", "SUCCESS"]
    for _ in range(2):
        assert publish(place, jenkins) == 10
        if lost:
            (place / "work" / "listing-notice.json").unlink()
    said = capsys.readouterr().err
    assert "listing-notice.json" in said
    assert "--again" in said
    assert jenkins.started == 1
    assert publish(place, jenkins, "--again") == 0
    assert publish(place, jenkins, "--again") == 0
    assert jenkins.started == 2


def test_with_no_wait_it_ends_in_the_queue_and_the_next_run_waits(place, jenkins):
    assert publish(place, jenkins, "--no-wait") == 0
    assert notice_of(place).builds[0].build_number is None
    assert publish(place, jenkins) == 0
    assert (jenkins.started, notice_of(place).result) == (1, "SUCCESS")


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_start_whose_answer_is_lost_is_looked_for_before_it_is_sent_again(place, jenkins, cut):
    jenkins.fault("POST", cut=cut)
    assert publish(place, jenkins) == 0
    assert jenkins.started == 1


def test_a_jenkins_that_is_down_leaves_the_listings_there_and_the_next_run_goes_on(place, jenkins):
    jenkins.down = 10_000
    assert publish(place, jenkins) == 11
    assert there(place)[SERVED] == (place / "repo" / SERVED).read_bytes()
    jenkins.down = 0
    assert publish(place, jenkins) == 0
    assert jenkins.started == 1


@pytest.mark.parametrize("skew", [-86_400, 86_400])
def test_a_jenkins_whose_clock_is_wrong_is_understood(place, jenkins, skew):
    jenkins.skew = skew
    assert publish(place, jenkins) == 0
    assert publish(place, jenkins) == 0
    assert publish(place, jenkins, work="another") == 0
    assert jenkins.started == 1
    write_listings(place / "repo", "1.0.0", "1.1.0")
    assert publish(place, jenkins) == 0
    assert jenkins.started == 2


def test_a_notice_that_is_none_is_an_error(place, jenkins):
    (place / "work").mkdir()
    (place / "work" / "listing-notice.json").write_text("{}")
    assert publish(place, jenkins) == 7
    assert jenkins.started == 0


def test_a_job_that_does_not_take_a_folder_is_not_started(place, jenkins, capsys):
    del jenkins.job.declared["BASE_DOWNLOAD_PATH"]
    assert publish(place, jenkins) == 10
    assert "BASE_DOWNLOAD_PATH" in capsys.readouterr().err
    assert posts(jenkins) == []


# ---------------------------------------------------------------------------------------------------------------------
# Killed anywhere


@pytest.mark.parametrize("keep", [True, False], ids=["with-notice", "notice-lost"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("way", list(Way))
def test_killed_at_any_request_or_write_and_run_again_one_build_is_started(tmp_path, jenkins, way, when, keep):
    repo = tmp_path / "repo"
    write_listings(repo, "1.0.0")
    for point in range(LIMIT):
        jenkins.jobs[job_name(point)] = JobConfig(
            declared=dict(RELEASE), webhook_token=f"{WEBHOOK_TOKEN}{job_name(point)}"
        )
    command = ["--repo", str(repo), "listing", "publish", "--to", "file://{place}/bucket", "--server", jenkins.address]
    lost = None if keep else "listing-notice.json"
    codes = killed_at_every_call([*command, "--way", way], tmp_path, when=when, lost=lost)
    assert len(codes) > 14
    for point in range(len(codes)):
        job = job_name(point)
        assert len([item for item in jenkins.items.values() if item.job == job]) == 1, point
        assert len(jenkins.builds[job]) == 1
        notice = decode_text(BuildNotice, (tmp_path / str(point) / "work" / "listing-notice.json").read_text())
        assert (notice.result, notice.builds[0].build_number) == ("SUCCESS", 1)
        for name in (ALL, SERVED):
            assert (tmp_path / str(point) / "bucket" / "ml-models" / name).read_bytes() == (repo / name).read_bytes()
