"""``release-tool notify``: one build a folder, whatever is killed, cut or restarted; nothing secret is said."""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from jenkins_double.secrets_manager import SecretsManager
from jenkins_double.server import RELEASE, TOKEN, USER, WEBHOOK_TOKEN, Jenkins, JobConfig
from killed_builds import LIMIT, job_name, killed_at_every_call
from releases import write_release

from release_tool.cli import run
from release_tool.core.codec import decode_text, encode_text
from release_tool.core.notice import Build, BuildNotice, Way
from release_tool.core.receipt import Receipt
from release_tool.core.review import Review
from release_tool.services import clock

JOB = "ml-models-release"


class FakeClock(clock.Clock):
    """Waits in no time."""

    def __init__(self):
        self.slept = 0.0
        self.pauses = []
        self.during = []
        """Called at the first sleep of more than nothing, one after the other."""

    def now(self):
        return datetime.now(UTC) + timedelta(seconds=self.slept)

    def elapsed(self):
        return time.monotonic() + self.slept

    def sleep(self, seconds):
        self.slept += seconds
        if seconds:
            self.pauses.append(seconds)
            if self.during:
                self.during.pop(0)()


@pytest.fixture
def ticking(monkeypatch):
    fake = FakeClock()
    monkeypatch.setattr(clock, "Clock", lambda: fake)
    return fake


@pytest.fixture
def credentials(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("RELEASE_TOOL_JENKINS_USER", USER)
    monkeypatch.setenv("RELEASE_TOOL_JENKINS_TOKEN", TOKEN)
    monkeypatch.setenv("RELEASE_TOOL_WEBHOOK_TOKEN", WEBHOOK_TOKEN)


@pytest.fixture
def jenkins(credentials, ticking):
    with Jenkins() as running:
        yield running


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Return a work folder up to receipt.json."""
    folder = tmp_path_factory.mktemp("published") / "work"
    write_release(folder)
    assert run(["--work", str(folder), "--repo", str(folder), "-q", "review"]) == 0
    digest = decode_text(Review, (folder / "review.json").read_text()).digest
    assert run(["--work", str(folder), "-q", "publish", "--approved", digest]) == 0
    return folder


@pytest.fixture
def work(published, tmp_path):
    return Path(shutil.copytree(published, tmp_path / "work"))


def notify(work, jenkins, *more):
    return run(["--work", str(work), "notify", "--server", jenkins.address, *map(str, more)])


def notice_of(work):
    return decode_text(BuildNotice, (work / "notice.json").read_text())


def build_of(work):
    (build,) = notice_of(work).builds
    return build


def receipt_of(work):
    return decode_text(Receipt, (work / "receipt.json").read_text())


@contextmanager
def secrets_manager(monkeypatch, secrets):
    """Run a Secrets Manager and let boto3 ask it."""
    values = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "eu-west-1"}
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with SecretsManager(secrets) as manager:
        for name, value in {**values, "AWS_ENDPOINT_URL_SECRETS_MANAGER": manager.address}.items():
            monkeypatch.setenv(name, value)
        yield manager


def posts(jenkins):
    return [request for request in jenkins.requests if request.method == "POST"]


# ---------------------------------------------------------------------------------------------------------------------
# The usual course


@pytest.mark.parametrize("way", list(Way))
def test_a_build_is_started_followed_and_written_down(work, jenkins, capsys, way):
    before = datetime.now(UTC).replace(microsecond=0)
    assert notify(work, jenkins, "--way", way) == 0
    notice, build = notice_of(work), build_of(work)
    assert (notice.server, notice.job, notice.way, notice.result) == (jenkins.address, JOB, way, "SUCCESS")
    assert set(notice.uses) == {"receipt.json"}
    plan = json.loads((work / "plan.json").read_text())
    assert build.parameters == {
        "BASE_DOWNLOAD_PATH": "ml-models/" + plan["artifacts"][0]["registered_name"],
        "VERSION": plan["request"]["version"],
        "FORMAT": "BOTH",
    }
    assert (build.queue_id, build.build_number, build.url) == (1, 1, f"{jenkins.address}/job/{JOB}/1/")
    for text in (build.requested_at, build.ended_at):
        assert datetime.fromisoformat(text) >= before
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    (record,) = jenkins.builds[JOB]
    assert record.parameters == build.parameters
    assert f"SUCCESS  {build.parameters['BASE_DOWNLOAD_PATH']}" in capsys.readouterr().out


def test_with_json_the_document_is_printed(work, jenkins, capsys):
    assert notify(work, jenkins, "--json") == 0
    assert decode_text(BuildNotice, capsys.readouterr().out) == notice_of(work)


def test_with_json_the_document_is_printed_also_where_the_build_has_failed(work, jenkins, capsys):
    jenkins.job.fates = ["FAILURE"]
    assert notify(work, jenkins, "--json") == 10
    printed = decode_text(BuildNotice, capsys.readouterr().out)
    assert printed == notice_of(work)
    assert printed.builds[0].result == "FAILURE"


def test_a_job_that_declares_the_digest_gets_it(work, jenkins):
    jenkins.job.declared["APPROVED_DIGEST"] = None
    assert notify(work, jenkins) == 0
    assert jenkins.builds[JOB][0].parameters["APPROVED_DIGEST"] == receipt_of(work).approved


def test_every_folder_of_a_release_gets_a_build_of_its_own(work, jenkins):
    """An encoder and its query tokenizer lie in two folders; the job takes one."""
    receipt = receipt_of(work)
    more = [
        replace(item, key=re.sub(r"^(ml-models/[^/]+/[^/]+/[^/]+)/", r"\1-tokenizer/", item.key))
        for item in receipt.objects
        if item.key.startswith("ml-models/") and "/torch_script/" in item.key
    ]
    (work / "receipt.json").write_text(encode_text(replace(receipt, objects=(*receipt.objects, *more))))
    jenkins.job.fates = ["UNSTABLE", "SUCCESS"]
    assert notify(work, jenkins) == 10
    assert [(one.parameters["FORMAT"], one.result) for one in notice_of(work).builds] == [
        ("BOTH", "UNSTABLE"),
        ("TORCH_SCRIPT", "SUCCESS"),
    ]
    assert notify(work, jenkins, "--again") == 0
    assert [len(jenkins.builds[JOB]), jenkins.started] == [3, 3]


def test_pauses_grow_up_to_a_limit_and_the_queues_reason_is_told_once(work, jenkins, ticking, capsys):
    jenkins.job.waits, jenkins.job.runs = 20, 20
    assert notify(work, jenkins) == 0
    waits = ticking.pauses[:20]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1.0, 30.0)
    assert capsys.readouterr().err.count("quiet period") == 1


def test_a_dry_run_prints_what_would_be_sent_and_sends_nothing(work, jenkins, capsys, monkeypatch):
    for name in ("RELEASE_TOOL_JENKINS_USER", "RELEASE_TOOL_JENKINS_TOKEN", "RELEASE_TOOL_WEBHOOK_TOKEN"):
        monkeypatch.delenv(name)
    assert notify(work, jenkins, "--dry-run") == 0
    out = capsys.readouterr().out
    assert f"POST {jenkins.address}/job/{JOB}/buildWithParameters" in out
    assert notify(work, jenkins, "--dry-run", "--way", "webhook", "--json") == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["url"] == f"{jenkins.address}/generic-webhook-trigger/invoke"
    assert planned["where_declared"] == {"APPROVED_DIGEST": receipt_of(work).approved}
    assert jenkins.requests == []
    assert not (work / "notice.json").exists()
    assert notify(work, jenkins, "--secret", "none", "--dry-run") == 0


# ---------------------------------------------------------------------------------------------------------------------
# Which Jenkins


def settle(repo, server, *lines):
    repo.mkdir(exist_ok=True)
    (repo / "release-tool.toml").write_text("\n".join(["[jenkins]", f'server = "{server}"', *lines]) + "\n")
    return repo


def test_without_a_jenkins_both_ways_to_name_one_are_said(work, tmp_path, capsys):
    (tmp_path / "repo").mkdir()
    assert run(["--work", str(work), "--repo", str(tmp_path / "repo"), "notify", "--dry-run"]) == 2
    err = capsys.readouterr().err
    assert "No Jenkins is named" in err
    assert "--server" in err
    assert "[jenkins] in release-tool.toml" in err


def test_the_settings_name_server_job_and_secret(work, jenkins, tmp_path, monkeypatch):
    jenkins.jobs["models/release"] = JobConfig(declared=dict(RELEASE))
    repo = settle(tmp_path / "repo", jenkins.address + "/", 'job = "models/release"', 'secret = "ci/jenkins"')
    secret = json.dumps({"user": USER, "token": TOKEN})
    monkeypatch.setenv("RELEASE_TOOL_JENKINS_TOKEN", "another")
    with secrets_manager(monkeypatch, {"ci/jenkins": secret}) as manager:
        assert run(["--work", str(work), "--repo", str(repo), "notify"]) == 0
        assert manager.asked == ["ci/jenkins"]
    assert set(jenkins.builds) == {"models/release"}
    assert (notice_of(work).server, notice_of(work).job) == (jenkins.address, "models/release")


def test_an_option_wins_over_the_settings(work, jenkins, tmp_path, monkeypatch):
    jenkins.jobs["stage"] = JobConfig(declared=dict(RELEASE))
    repo = settle(tmp_path / "repo", jenkins.address, 'job = "models/release"', 'secret = "ci/jenkins"')
    with secrets_manager(monkeypatch, {"mine": json.dumps({"user": USER, "token": TOKEN})}) as manager:
        command = ["--work", str(work), "--repo", str(repo), "notify", "--job", "stage"]
        assert run([*command, "--secret", "mine"]) == 0
        assert manager.asked == ["mine"]
        (work / "notice.json").unlink()
        assert run([*command, "--secret", ""]) == 0  # those of the environment
        assert manager.asked == ["mine"]
    assert len(jenkins.builds["stage"]) == 1


def test_the_secret_of_the_settings_goes_to_no_other_server(work, jenkins, tmp_path, monkeypatch):
    """Whoever names another server has credentials of his own for it, or none."""
    repo = settle(tmp_path / "repo", "https://ci.example.org", 'job = "models/release"', 'secret = "ci/jenkins"')
    for name in ("RELEASE_TOOL_JENKINS_USER", "RELEASE_TOOL_JENKINS_TOKEN", "RELEASE_TOOL_WEBHOOK_TOKEN"):
        monkeypatch.delenv(name)
    command = ["--work", str(work), "--repo", str(repo), "notify", "--server", jenkins.address]
    with secrets_manager(monkeypatch, {"ci/jenkins": json.dumps({"user": USER, "token": TOKEN})}) as manager:
        assert run(command) == 2
        assert (manager.asked, jenkins.requests) == ([], [])
        monkeypatch.setenv("RELEASE_TOOL_JENKINS_USER", USER)
        monkeypatch.setenv("RELEASE_TOOL_JENKINS_TOKEN", TOKEN)
        assert run(command) == 0
        assert manager.asked == []
    assert len(jenkins.builds[JOB]) == 1


def test_what_a_dry_run_prints_is_what_is_sent(work, jenkins, capsys, credentials):
    assert notify(work, jenkins, "--dry-run", "--json") == 0
    planned = json.loads(capsys.readouterr().out)
    assert notify(work, jenkins) == 0
    assert [record.parameters for record in jenkins.builds[JOB]] == planned["builds"]


# ---------------------------------------------------------------------------------------------------------------------
# What is refused before anything is sent


def test_without_a_receipt_it_says_to_publish(work, jenkins, capsys):
    (work / "receipt.json").unlink()
    assert notify(work, jenkins) == 2
    assert "release-tool publish" in capsys.readouterr().err
    assert jenkins.requests == []


def test_a_receipt_of_another_review_is_refused(work, jenkins):
    review = json.loads((work / "review.json").read_text())
    (work / "review.json").write_text(json.dumps(review))
    assert notify(work, jenkins) == 7
    assert jenkins.requests == []


@pytest.mark.parametrize("over", [{"objects": ()}, {"released_at": "yesterday"}])
def test_a_receipt_that_can_not_be_is_refused(work, jenkins, over):
    (work / "receipt.json").write_text(encode_text(replace(receipt_of(work), **over)))
    assert notify(work, jenkins) == 7
    assert jenkins.requests == []


@pytest.mark.parametrize("job", ["", "../x", "a//b", "a/", "/a", "a?b", "-a", "a\n"])
def test_what_is_no_name_of_a_job_is_a_usage_error(work, jenkins, job):
    assert notify(work, jenkins, "--job", job) == 2
    assert jenkins.requests == []


def test_while_another_command_writes_it_is_refused(work, jenkins):
    from release_tool.lock import hold

    with hold(work, "publish"):
        assert notify(work, jenkins) == 2
    assert jenkins.requests == []


@pytest.mark.parametrize("missing", ["VERSION", "FORMAT", "BASE_DOWNLOAD_PATH"])
@pytest.mark.parametrize("way", list(Way))
def test_a_job_that_would_drop_a_parameter_is_not_started(work, jenkins, capsys, missing, way):
    del jenkins.job.declared[missing]
    assert notify(work, jenkins, "--way", way) == 10
    assert missing in capsys.readouterr().err
    assert posts(jenkins) == []


def test_a_disabled_job_is_not_started(work, jenkins):
    jenkins.job.enabled = False
    assert notify(work, jenkins) == 10
    assert posts(jenkins) == []


def test_without_credentials_nothing_is_sent(work, jenkins, monkeypatch, capsys):
    monkeypatch.delenv("RELEASE_TOOL_JENKINS_TOKEN")
    assert notify(work, jenkins) == 2
    assert notify(work, jenkins, "--way", "webhook") == 2
    assert "RELEASE_TOOL_JENKINS_TOKEN" in capsys.readouterr().err
    assert jenkins.requests == []


# ---------------------------------------------------------------------------------------------------------------------
# How a build ends


@pytest.mark.parametrize("fate", ["FAILURE", "UNSTABLE", "ABORTED", "NOT_BUILT", "CANCELLED"])
@pytest.mark.parametrize("way", list(Way))
def test_what_is_no_success_ends_with_10_and_is_written_down(work, jenkins, capsys, fate, way):
    jenkins.job.fates = [fate]
    assert notify(work, jenkins, "--way", way) == 10
    build = build_of(work)
    assert build.result == fate
    assert build.ended_at is not None
    assert (build.build_number is None) == (fate == "CANCELLED")
    said = capsys.readouterr().err
    assert fate in said
    assert "--again" in said


@pytest.mark.parametrize("fate", ["FAILURE", "CANCELLED"])
@pytest.mark.parametrize("lost", [False, True])
def test_run_again_a_failure_is_told_again_and_only_again_starts_another(work, jenkins, fate, lost):
    jenkins.job.fates = [fate, "SUCCESS", "FAILURE"]
    assert notify(work, jenkins) == 10
    if lost and fate != "CANCELLED":  # of a cancelled item nothing is left in Jenkins
        (work / "notice.json").unlink()
    assert notify(work, jenkins) == 10
    assert jenkins.started == 1
    if lost and fate != "CANCELLED":
        (work / "notice.json").unlink()
    assert notify(work, jenkins, "--again") == 0
    assert notify(work, jenkins, "--again") == 0
    (work / "notice.json").unlink()
    assert notify(work, jenkins, "--again") == 0
    assert jenkins.started == 2


def test_a_build_with_other_parameters_is_none_of_ours(work, jenkins, capsys):
    """The trigger's own mapping lacks VERSION: the plugin fills in the default and says that all is well."""
    jenkins.job.mapped = ("BASE_DOWNLOAD_PATH", "FORMAT")
    assert notify(work, jenkins, "--way", "webhook") == 10
    assert build_of(work).result == "MISMATCHED"
    assert "MISMATCHED" in capsys.readouterr().err


def test_a_build_that_was_deleted_is_gone(work, jenkins, ticking):
    jenkins.job.runs = 50
    ticking.during = [lambda: None, lambda: None, lambda: None, lambda: jenkins.builds[JOB].__setitem__(0, None)]
    assert notify(work, jenkins) == 10
    assert build_of(work).result == "GONE"


def test_the_time_limit_is_kept_and_the_next_run_goes_on(work, jenkins, capsys):
    jenkins.job.runs = 100
    assert notify(work, jenkins, "--timeout", "60") == 11
    assert "60 s" in capsys.readouterr().err
    assert (build_of(work).build_number, build_of(work).result) == (1, None)
    jenkins.builds[JOB][0].left = 0
    assert notify(work, jenkins) == 0
    assert jenkins.started == 1


def test_with_no_wait_it_ends_in_the_queue_and_the_next_run_waits(work, jenkins, capsys):
    assert notify(work, jenkins, "--no-wait") == 0
    assert (build_of(work).queue_id, build_of(work).build_number) == (1, None)
    assert "in progress" in capsys.readouterr().out
    assert notify(work, jenkins) == 0
    assert (jenkins.started, build_of(work).result) == (1, "SUCCESS")


def test_the_webhook_alone_needs_no_user_with_no_wait(work, jenkins, monkeypatch):
    monkeypatch.delenv("RELEASE_TOOL_JENKINS_USER")
    monkeypatch.delenv("RELEASE_TOOL_JENKINS_TOKEN")
    assert notify(work, jenkins, "--way", "webhook", "--no-wait") == 0
    assert notify(work, jenkins, "--way", "webhook", "--no-wait") == 0
    assert (jenkins.started, len(jenkins.requests)) == (1, 1)


def test_a_lost_answer_that_nobody_can_look_up_is_not_sent_again(work, jenkins, monkeypatch, capsys):
    monkeypatch.delenv("RELEASE_TOOL_JENKINS_USER")
    monkeypatch.delenv("RELEASE_TOOL_JENKINS_TOKEN")
    jenkins.fault("POST", cut="after")
    assert notify(work, jenkins, "--way", "webhook", "--no-wait") == 11
    assert notify(work, jenkins, "--way", "webhook", "--no-wait") == 2
    assert jenkins.started == 1
    assert "--again" in capsys.readouterr().err
    assert notify(work, jenkins, "--way", "webhook", "--no-wait", "--again") == 0
    assert jenkins.started == 2


# ---------------------------------------------------------------------------------------------------------------------
# Restarts, cuts, faults


def test_a_jenkins_that_restarts_while_the_item_waits_keeps_it(work, jenkins, ticking):
    jenkins.job.waits = 4
    ticking.during = [lambda: None, lambda: jenkins.restart(down=3)]
    assert notify(work, jenkins) == 0
    assert (jenkins.started, build_of(work).queue_id) == (1, 1)


def test_after_a_restart_the_build_is_found_by_the_queue_item_that_is_forgotten(work, jenkins, ticking):
    jenkins.job.waits = 3

    def begun_and_restarted():
        jenkins.begin(jenkins.items[1])
        jenkins.restart(down=2)

    ticking.during = [begun_and_restarted]
    assert notify(work, jenkins) == 0
    assert (jenkins.started, build_of(work).build_number) == (1, 1)


def test_a_queue_that_a_restart_has_lost_is_told_as_gone(work, jenkins, ticking):
    jenkins.job.waits = 9
    ticking.during = [lambda: jenkins.restart(lose_queue=True)]
    assert notify(work, jenkins) == 10
    assert build_of(work).result == "GONE"
    assert notify(work, jenkins, "--again") == 0
    assert jenkins.started == 2


def test_an_item_that_has_another_number_after_a_restart_is_found_by_its_parameters(work, jenkins, ticking):
    jenkins.job.waits = 3

    def renumbered():
        item = jenkins.items.pop(1)
        item.id = jenkins.counter = 41
        jenkins.items[41] = item

    ticking.during = [renumbered]
    assert notify(work, jenkins) == 0
    assert (build_of(work).queue_id, build_of(work).build_number, len(posts(jenkins))) == (41, 1, 1)


def test_a_restart_while_the_build_runs_is_waited_for(work, jenkins, ticking):
    jenkins.job.runs = 4
    ticking.during = [lambda: None, lambda: None, lambda: jenkins.restart(down=20)]
    assert notify(work, jenkins) == 0
    assert jenkins.started == 1


def test_a_jenkins_that_stays_down_is_given_up_and_the_next_run_goes_on(work, jenkins, ticking, capsys):
    jenkins.job.runs = 4
    ticking.during = [lambda: None, lambda: jenkins.restart(down=10_000)]
    assert notify(work, jenkins) == 11
    assert "getting ready" in capsys.readouterr().err
    assert 500 < ticking.slept < 700
    jenkins.down = 0
    assert notify(work, jenkins) == 0
    assert jenkins.started == 1


def test_a_jenkins_that_is_down_before_anything_is_started_is_given_up_soon(work, jenkins, ticking):
    jenkins.down = 10_000
    assert notify(work, jenkins) == 11
    assert ticking.slept < 35
    assert posts(jenkins) == []
    assert not (work / "notice.json").exists()


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize(("cut", "times"), [("after", 1), ("before", 1), ("before", 2)])
def test_a_start_whose_answer_is_lost_is_looked_for_before_it_is_sent_again(work, jenkins, way, cut, times):
    jenkins.fault("POST", cut=cut, times=times)
    assert notify(work, jenkins, "--way", way) == 0
    assert jenkins.started == 1
    assert len(posts(jenkins)) == (1 if cut == "after" else times + 1)


def test_a_start_that_never_arrives_is_given_up_after_three_tries(work, jenkins):
    jenkins.fault("POST", cut="before", times=99)
    assert notify(work, jenkins) == 11
    assert len(posts(jenkins)) == 3
    jenkins.faults.clear()
    assert notify(work, jenkins) == 0
    assert jenkins.started == 1


def test_what_appears_late_in_the_queue_is_still_found(work, jenkins, ticking):
    """The request was taken, its answer lost, and Jenkins puts it into the queue while we look."""
    jenkins.fault("POST", cut="before")
    given = {}

    def arrives():
        given.update(build_of(work).parameters)
        jenkins.enqueue(JOB, given)

    ticking.during = [lambda: None, arrives]
    assert notify(work, jenkins) == 0
    assert (jenkins.started, len(posts(jenkins))) == (1, 1)


def test_every_look_may_fail_a_few_times(work, jenkins):
    faults = ({"status": 502}, {"cut": "before"}, {"status": 500}, {"cut": "after"})
    for pattern in ("GET /crumb", f"GET /job/{JOB}/api", "GET /queue/api"):
        for fault in faults[:2]:
            jenkins.fault(pattern, **fault)
    for pattern in ("GET /queue/item", f"GET /job/{JOB}/1/"):
        for fault in faults:
            jenkins.fault(pattern, **fault)
    assert notify(work, jenkins) == 0
    assert jenkins.started == 1
    assert not [fault for fault in jenkins.faults if fault.times]


@pytest.mark.parametrize("way", list(Way))
def test_after_an_error_inside_jenkins_the_next_run_looks_first(work, jenkins, way):
    jenkins.fault("POST", cut=None, status=500, action=lambda server: server.enqueue(JOB, build_of(work).parameters))
    assert notify(work, jenkins, "--way", way) == 10
    assert notify(work, jenkins, "--way", way) == 0
    assert (jenkins.started, len(posts(jenkins))) == (1, 1)


def test_after_a_silent_answer_the_next_run_finds_the_build(work, jenkins):
    jenkins.job.silent = True
    assert notify(work, jenkins, "--way", "webhook") == 10
    assert notify(work, jenkins, "--way", "webhook") == 0
    assert jenkins.started == 1


# ---------------------------------------------------------------------------------------------------------------------
# Which build is ours


def test_without_its_notice_a_run_finds_its_build_by_parameters_and_time(work, jenkins):
    assert notify(work, jenkins) == 0
    first = build_of(work)
    (work / "notice.json").unlink()
    assert notify(work, jenkins) == 0
    found = build_of(work)
    assert jenkins.started == 1
    assert (found.build_number, found.result, found.ended_at) == (1, "SUCCESS", first.ended_at)
    assert (found.queue_id, found.url, found.parameters) == (first.queue_id, first.url, first.parameters)


def test_a_build_of_the_same_version_before_this_release_is_not_ours(work, jenkins):
    assert notify(work, jenkins, "--no-wait") == 0
    given = build_of(work).parameters
    jenkins.items.clear()
    (work / "notice.json").unlink()
    jenkins.skew = -3600
    jenkins.begin(jenkins.items[jenkins.enqueue(JOB, given)])
    jenkins.skew = 0
    assert notify(work, jenkins) == 0
    assert build_of(work).build_number == 2


@pytest.mark.parametrize("skew", [-86_400, 86_400])
def test_a_jenkins_whose_clock_is_wrong_is_understood(work, jenkins, skew):
    jenkins.skew = skew
    assert notify(work, jenkins) == 0
    (work / "notice.json").unlink()
    assert notify(work, jenkins) == 0
    assert jenkins.started == 1


def test_builds_of_other_models_are_not_ours(work, jenkins):
    other = {"BASE_DOWNLOAD_PATH": "ml-models/huggingface/else/where", "VERSION": "1.0.0", "FORMAT": "BOTH"}
    for _ in range(120):
        jenkins.begin(jenkins.items[jenkins.enqueue(JOB, other)])
    jenkins.enqueue(JOB, other)
    assert notify(work, jenkins) == 0
    assert build_of(work).build_number == 121


def test_a_notice_of_another_server_or_job_does_not_count(work, jenkins):
    jenkins.jobs["stage"] = JobConfig(declared=dict(RELEASE), webhook_token="another")
    assert notify(work, jenkins, "--job", "stage") == 0
    assert notify(work, jenkins) == 0
    assert (notice_of(work).job, jenkins.started) == (JOB, 2)


def test_a_notice_about_other_parameters_does_not_count(work, jenkins):
    assert notify(work, jenkins) == 0
    notice, build = notice_of(work), build_of(work)
    other = replace(build, parameters={**build.parameters, "VERSION": "9.9.9"}, build_number=7)
    (work / "notice.json").write_text(encode_text(replace(notice, builds=(other,))))
    assert notify(work, jenkins) == 0
    found = replace(build_of(work), requested_at=build.requested_at)  # by Jenkins's clock, which may be a second on
    assert (found, jenkins.started) == (build, 1)


def test_another_document_of_builds_can_be_kept_by_the_same_means(work, jenkins):
    """The listing is published by the same job: one folder, no version, no format, no receipt."""
    from release_tool.console import Console
    from release_tool.core.notice import LISTING_PARAMETERS
    from release_tool.documents import WorkFolder
    from release_tool.global_options import Context
    from release_tool.steps.building import Options, ask_jenkins, connect
    from release_tool.steps.notifying import Kept

    context = Context(work=work, repo=work, json=False, debug=False, console=Console(verbosity=-1))
    options = Options(server=jenkins.address)
    empty = BuildNotice(
        server=options.server, job=JOB, way=Way.JENKINS, builds=(Build(parameters=dict(LISTING_PARAMETERS)),)
    )
    since = receipt_of(work).released_at
    for _ in range(2):
        kept = Kept(WorkFolder(work), "listing-notice.json", empty)
        notice = ask_jenkins(context, connect(context, options), options, kept, since=since)
    assert notice == decode_text(BuildNotice, (work / "listing-notice.json").read_text())
    assert (notice.result, jenkins.started) == ("SUCCESS", 1)
    assert jenkins.builds[JOB][0].parameters == {**LISTING_PARAMETERS, "VERSION": "", "FORMAT": ""}


def test_what_the_webhook_started_may_be_followed_by_the_other_way(work, jenkins):
    assert notify(work, jenkins, "--way", "webhook", "--no-wait") == 0
    assert notify(work, jenkins) == 0
    assert (notice_of(work).way, jenkins.started) == (Way.WEBHOOK, 1)


def test_a_notice_that_is_none_is_an_error(work, jenkins):
    (work / "notice.json").write_text("{}")
    assert notify(work, jenkins) == 7
    assert jenkins.started == 0


# ---------------------------------------------------------------------------------------------------------------------
# Nothing secret is said

MARKS = ("MARKED", base64.b64encode(f"{USER}:{TOKEN}".encode()).decode(), TOKEN, WEBHOOK_TOKEN)
TELLING = "<p>You sent {authorization}</p>"
WHY = '{"task": {"name": "ml-models-release"}, "why": "{authorization}"}'


@pytest.mark.parametrize("way", list(Way))
@pytest.mark.parametrize(
    "fault",
    [
        None,
        {"pattern": "POST", "status": 403, "body": TELLING},
        {"pattern": "POST", "status": 500, "body": TELLING, "times": 9},
        {"pattern": "POST", "status": 503, "body": TELLING, "times": 9},
        {"pattern": "POST", "status": 200, "body": TELLING},
        {"pattern": "POST", "status": 302, "headers": {"Location": "/login"}},
        {"pattern": "POST", "cut": "before", "times": 9},
        {"pattern": "GET", "status": 401, "body": TELLING, "after": 3},
        {"pattern": "GET", "status": 500, "body": TELLING, "after": 3, "times": 5},
        {"pattern": "GET /queue/item", "status": 200, "body": WHY},
    ],
)  # fmt: skip
def test_no_credential_is_in_anything_written_or_said(work, jenkins, capfd, way, fault):
    if fault is not None:
        jenkins.fault(**fault)
    before = len(jenkins.requests)
    code = notify(work, jenkins, "--way", way, "-vv", "--debug")
    assert (code == 0) == (
        fault is None or (fault.get("after") == 3 and fault["status"] == 500) or "why" in fault.get("body", "")
    )
    said = capfd.readouterr()
    written = [path.read_bytes().decode("utf-8", "replace") for path in work.rglob("*") if path.is_file()]
    addresses = [request.path for request in jenkins.requests]
    assert len(addresses) > before
    for mark in MARKS:
        assert not [text for text in (said.out, said.err, *written, *addresses) if mark in text]


def test_a_secret_of_secrets_manager_is_used_by_name_and_nowhere_said(work, jenkins, capfd, monkeypatch):
    for name in ("RELEASE_TOOL_JENKINS_USER", "RELEASE_TOOL_JENKINS_TOKEN", "RELEASE_TOOL_WEBHOOK_TOKEN"):
        monkeypatch.delenv(name)
    secret = json.dumps({"user": USER, "token": TOKEN, "webhook_token": WEBHOOK_TOKEN})
    with secrets_manager(monkeypatch, {"ci/jenkins": secret}):
        for way in Way:
            assert notify(work, jenkins, "--way", way, "--secret", "ci/jenkins", "-vv", "--debug") == 0
    said = capfd.readouterr()
    for mark in MARKS:
        assert mark not in said.out + said.err + (work / "notice.json").read_text()


def test_what_jenkins_says_is_no_command_to_the_runner(work, jenkins, monkeypatch, capsys):
    jenkins.fault("POST", status=400, body="<b>::set-output name=x::y</b>\n::error::##[add-path]/tmp\x1b[2J")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert notify(work, jenkins) == 10
    said = capsys.readouterr().err
    assert not re.search(r"^\s*::(set-output|add-path)", said, re.MULTILINE)
    assert not re.search(r"^(?!::error ).*##\[", said, re.MULTILINE)  # a line that is a command is read as that one
    assert "\x1b" not in said


def test_the_page_on_notify_names_every_parameter_variable_and_result_of_ours(repository):
    from release_tool.core import notice
    from release_tool.services.secrets import KEYS

    page = (repository / "docs" / "notify.md").read_text(encoding="utf-8")
    words = (notice.BASE_PATH, notice.VERSION, notice.FORMAT, notice.DIGEST, notice.BOTH)
    ends = (notice.SUCCESS, notice.CANCELLED, notice.GONE, notice.MISMATCHED)
    assert not [word for word in (*words, *ends, *KEYS, *KEYS.values()) if f"`{word}`" not in page]


# ---------------------------------------------------------------------------------------------------------------------
# Killed anywhere


@pytest.mark.parametrize("keep", [True, False], ids=["with-notice", "notice-lost"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("way", list(Way))
def test_killed_at_any_request_or_write_and_run_again_one_build_is_started(
    published, jenkins, tmp_path, way, when, keep
):
    for point in range(LIMIT):
        jenkins.jobs[job_name(point)] = JobConfig(
            declared=dict(RELEASE), webhook_token=f"{WEBHOOK_TOKEN}{job_name(point)}"
        )
    command = ["notify", "--server", jenkins.address, "--way", way]
    lost = None if keep else "notice.json"
    codes = killed_at_every_call(command, tmp_path, when=when, start=published, lost=lost)
    assert len(codes) > 12
    for point in range(len(codes)):
        job = job_name(point)
        assert len([item for item in jenkins.items.values() if item.job == job]) == 1, point
        assert len(jenkins.builds[job]) == 1
        (build,) = decode_text(BuildNotice, (tmp_path / str(point) / "work" / "notice.json").read_text()).builds
        assert (build.result, build.build_number) == ("SUCCESS", 1)
        assert isinstance(build, Build)
