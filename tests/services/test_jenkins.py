"""The clients of Jenkins and of its webhook, against a server that speaks both over HTTP."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from jenkins_double.server import RELEASE, TOKEN, USER, WEBHOOK_TOKEN, Jenkins, JobConfig

from release_tool.errors import RemoteFailed, RequestError, Unreachable, UsageError
from release_tool.services.addresses import check_server
from release_tool.services.clock import Clock
from release_tool.services.jenkins import JenkinsServer
from release_tool.services.secrets import Credentials
from release_tool.services.webhook import Webhook

JOB = "ml-models-release"
PARAMETERS = {"BASE_DOWNLOAD_PATH": "ml-models/huggingface/org/na me&x=1", "VERSION": "1.0.0", "FORMAT": "BOTH"}
CREDENTIALS = Credentials(user=USER, token=TOKEN, webhook_token=WEBHOOK_TOKEN)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def jenkins(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Jenkins() as running:
        yield running


@pytest.fixture
def client(jenkins):
    return JenkinsServer(jenkins.address, CREDENTIALS, Clock())


@pytest.fixture
def webhook(jenkins):
    return Webhook(jenkins.address, CREDENTIALS)


def looked(client, number, job=JOB):
    """Look at a queue item until it is a build."""
    for _ in range(9):
        item = client.queue_item(number, job)
        if item.number is not None:
            return item.number
    raise AssertionError


# ---------------------------------------------------------------------------------------------------------------------
# Addresses


@pytest.mark.parametrize("address", ["https://ci.example.org", "http://127.0.0.1:8080/jenkins/", "https://ci/"])
def test_an_address_is_a_place(address):
    assert check_server(address) == address.rstrip("/")


@pytest.mark.parametrize(
    "address",
    [
        "https://user:MARKED@ci", "https://MARKED@ci", "https://ci/?token=MARKED", "https://ci/#MARKED", "MARKED", "",
        "ftp://MARKED", "file:///MARKED", "https://", "https://ci:MARKED", "https://ci MARKED", "https://[MARKED",
    ],
)  # fmt: skip
def test_what_is_more_or_less_than_a_place_is_refused_and_not_repeated(address):
    with pytest.raises(RequestError) as raised:
        check_server(address)
    assert "--server" in str(raised.value)
    assert "MARKED" not in str(raised.value)


# ---------------------------------------------------------------------------------------------------------------------
# A job and a build


def test_a_job_says_what_it_declares(client):
    job = client.job(JOB)
    assert job.buildable
    assert job.declared == {"BASE_DOWNLOAD_PATH": (), "VERSION": (), "FORMAT": RELEASE["FORMAT"]}


def test_a_build_goes_from_the_queue_to_its_result(jenkins, client):
    jenkins.job.waits, jenkins.job.runs = 2, 2
    number = client.start(JOB, {**PARAMETERS, "UNDECLARED": "x"})
    assert [(one.queue_id, one.parameters, one.number) for one in client.queued(JOB)] == [(number, PARAMETERS, None)]
    first = client.queue_item(number, JOB)
    assert (first.number, first.cancelled) == (None, False)
    assert "quiet period" in first.why
    build = looked(client, number)
    assert client.queued(JOB) == ()
    assert [client.build(JOB, build).result for _ in range(3)] == [None, None, "SUCCESS"]
    found = client.build(JOB, build)
    assert (found.parameters, found.queue_id, found.number) == (PARAMETERS, number, build)
    assert found.ended - found.at == timedelta(seconds=61)
    assert abs(datetime.now(UTC) - found.at) < timedelta(seconds=30)


def test_a_result_counts_only_once_the_build_has_ended(jenkins, client):
    jenkins.job.fates = ["FAILURE"]
    build = looked(client, client.start(JOB, PARAMETERS))
    assert [client.build(JOB, build).result for _ in range(2)] == [None, "FAILURE"]


def test_a_job_in_folders_is_found_by_its_full_name(jenkins, client):
    jenkins.jobs["models/re lease"] = JobConfig(declared=dict(RELEASE))
    number = client.start("models/re lease", PARAMETERS)
    assert looked(client, number, "models/re lease") == 1
    assert client.address_of("models/re lease", 1) == f"{jenkins.address}/job/models/job/re%20lease/1/"
    assert client.builds(JOB, LONG_AGO) == ()


def test_a_queue_item_of_another_job_is_not_ours(jenkins, client):
    jenkins.jobs["other"] = JobConfig(declared=dict(RELEASE))
    number = client.start("other", PARAMETERS)
    assert client.queue_item(number, JOB) is None
    assert client.queued(JOB) == ()
    assert len(client.queued("other")) == 1


def test_what_jenkins_does_not_know_is_nothing(client):
    assert client.queue_item(99, JOB) is None
    assert client.build(JOB, 99) is None


def test_more_builds_than_a_page_are_read_until_the_time_that_is_asked_for(jenkins, client):
    for _ in range(250):
        item = jenkins.items[jenkins.enqueue(JOB, dict(PARAMETERS))]
        jenkins.begin(item)
    before = len(jenkins.requests)
    assert [one.number for one in client.builds(JOB, LONG_AGO)] == list(range(250, 0, -1))
    pages = len(jenkins.requests) - before
    assert len(client.builds(JOB, datetime.now(UTC) + timedelta(hours=1))) == 100
    assert (pages, len(jenkins.requests) - before - pages) == (4, 1)  # a crumb and three pages; one page


def test_a_crumb_of_a_session_that_a_restart_has_ended_is_asked_for_anew(jenkins, client):
    client.job(JOB)
    jenkins.restart(down=0)
    assert client.start(JOB, PARAMETERS) == 1


def test_a_clock_that_is_ahead_is_noticed(jenkins, client):
    jenkins.skew = 3600
    client.job(JOB)
    assert abs(client.ahead - timedelta(hours=1)) < timedelta(seconds=5)


def test_nothing_secret_is_in_an_address(jenkins, client, webhook):
    client.start(JOB, PARAMETERS)
    webhook.start(JOB, PARAMETERS)
    assert not [request for request in jenkins.requests if "MARKED" in request.path + request.body]


# ---------------------------------------------------------------------------------------------------------------------
# What goes wrong


def test_a_job_that_is_not_there_is_named(client):
    with pytest.raises(RemoteFailed, match="no job nothing") as raised:
        client.job("nothing")
    assert "--job" in raised.value.hint


@pytest.mark.parametrize(("user", "token"), [(USER, "wrong-token"), ("nobody", TOKEN)])
def test_a_wrong_token_is_a_refusal_that_names_the_variables_origin(jenkins, user, token):
    client = JenkinsServer(jenkins.address, Credentials(user=user, token=token), Clock())
    with pytest.raises(RemoteFailed, match=r"401") as raised:
        client.job(JOB)
    assert "the environment" in raised.value.hint


@pytest.mark.parametrize(
    ("user", "token", "words", "names"),
    [
        (None, TOKEN, "no user of Jenkins", {"RELEASE_TOOL_JENKINS_USER"}),
        (USER, None, "no API token of Jenkins", {"RELEASE_TOOL_JENKINS_TOKEN"}),
        (None, "", "no user and API token of", {"RELEASE_TOOL_JENKINS_USER", "RELEASE_TOOL_JENKINS_TOKEN"}),
    ],
)
def test_without_user_or_token_it_names_what_is_missing_and_nothing_else(jenkins, user, token, words, names):
    with pytest.raises(UsageError, match=words) as raised:
        JenkinsServer(jenkins.address, Credentials(user=user, token=token), Clock())
    assert set(re.findall(r"RELEASE_TOOL_\w+", raised.value.hint)) == names


def test_a_disabled_job_and_an_illegal_choice_are_refused(jenkins, client):
    with pytest.raises(RemoteFailed, match=r"400.*Illegal choice"):
        client.start(JOB, {**PARAMETERS, "FORMAT": "ALL"})
    jenkins.job.enabled = False
    assert not client.job(JOB).buildable
    with pytest.raises(RemoteFailed, match=r"409"):
        client.start(JOB, PARAMETERS)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_look_that_fails_for_now_is_unreachable(jenkins, client, status):
    jenkins.fault("GET /queue/item", status=status)
    number = client.start(JOB, PARAMETERS)
    with pytest.raises(Unreachable, match=str(status)):
        client.queue_item(number, JOB)
    assert client.queue_item(number, JOB) is not None


def test_a_start_that_fails_inside_jenkins_is_a_refusal(jenkins, client):
    jenkins.fault("POST", status=500, body="<h1>Oops!</h1> {authorization}")
    with pytest.raises(RemoteFailed, match=r"500.*Oops") as raised:
        client.start(JOB, PARAMETERS)
    assert TOKEN not in str(raised.value)
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("cut", ["before", "after"])
@pytest.mark.parametrize("pattern", ["GET /crumbIssuer", "POST"])
def test_a_cut_connection_is_unreachable(jenkins, client, pattern, cut):
    jenkins.fault(pattern, cut=cut)
    with pytest.raises(Unreachable, match="did not answer"):
        client.start(JOB, PARAMETERS)
    assert jenkins.started == (1 if (pattern, cut) == ("POST", "after") else 0)


def test_nobody_listens():
    client = JenkinsServer("http://127.0.0.1:9", CREDENTIALS, Clock())
    with pytest.raises(Unreachable):
        client.job(JOB)


def test_a_silent_server_is_given_up(jenkins, monkeypatch):
    import threading

    monkeypatch.setattr("release_tool.services.jenkins.REQUEST_SECONDS", 0.2)
    going = threading.Event()
    jenkins.fault("GET /crumb", action=lambda _: going.wait(5))
    client = JenkinsServer(jenkins.address, CREDENTIALS, Clock())
    with pytest.raises(Unreachable):
        client.job(JOB)
    going.set()


@pytest.mark.parametrize("path", ["GET /job", "GET /crumbIssuer", "POST"])
def test_a_redirect_is_not_followed(jenkins, client, path):
    """To a login page, or from http to https: a POST would arrive as a GET, the token perhaps elsewhere."""
    jenkins.fault(path, status=302, headers={"Location": f"{jenkins.address}/elsewhere"})
    with pytest.raises(RemoteFailed, match="another address") as raised:
        client.start(JOB, PARAMETERS) if path == "POST" else client.job(JOB)
    assert "--server" in raised.value.hint
    assert not [request for request in jenkins.requests if "elsewhere" in request.path]


@pytest.mark.parametrize("body", ["<html>Welcome</html>", "[1]", '"x"', "null", ""])
def test_what_is_no_answer_of_jenkins_is_an_error(jenkins, client, body):
    jenkins.fault("GET /job", status=200, body=body)
    with pytest.raises(RemoteFailed, match="as Jenkins would"):
        client.job(JOB)


@pytest.mark.parametrize(
    "headers", [{}, {"Location": ""}, {"Location": "http://x/job/y/"}, {"Location": "http://x/queue/item/NaN/"}]
)
def test_a_start_without_a_queue_item_is_an_error(jenkins, client, headers):
    jenkins.fault("POST", status=201, body="", headers=headers)
    with pytest.raises(RemoteFailed, match="as Jenkins would"):
        client.start(JOB, PARAMETERS)


def test_fields_of_other_types_harm_nobody(jenkins, client):
    jenkins.fault(
        "GET /queue/item", status=200, body='{"task": {"name": "ml-models-release"}, "executable": {"number": "7"}}'
    )
    item = client.queue_item(1, JOB)
    assert (item.number, item.cancelled, item.why) == (None, False, "")
    odd = '{"number": true, "timestamp": 1e400, "duration": -5, "result": 7, "actions": [null, {"parameters": {}}]}'
    jenkins.fault(f"GET /job/{JOB}/1/", status=200, body=odd.replace("1e400", "99999999999999999999"))
    found = client.build(JOB, 1)
    assert (found.number, found.at.year, found.result, found.parameters) == (None, 1970, "FAILURE", {})


# ---------------------------------------------------------------------------------------------------------------------
# The webhook


def test_the_webhook_starts_a_build_with_our_parameters(jenkins, client, webhook):
    number = webhook.start(JOB, PARAMETERS)
    assert client.build(JOB, looked(client, number)).parameters == PARAMETERS
    (request,) = [one for one in jenkins.requests if one.method == "POST"]
    assert request.path == "/generic-webhook-trigger/invoke"
    assert request.authorization == f"Bearer {WEBHOOK_TOKEN}"


def test_a_netrc_file_does_not_replace_the_token(jenkins, webhook, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert webhook.start(JOB, PARAMETERS) == 1


@pytest.mark.parametrize("over", [{"filtered": r"^2\."}, {"enabled": False}])
def test_200_with_triggered_false_is_a_failure(jenkins, webhook, over):
    for name, value in over.items():
        setattr(jenkins.job, name, value)
    with pytest.raises(RemoteFailed, match="triggered: false"):
        webhook.start(JOB, PARAMETERS)
    assert jenkins.started == 0


def test_a_silent_answer_is_a_failure(jenkins, webhook):
    jenkins.job.silent = True
    with pytest.raises(RemoteFailed, match="nothing") as raised:
        webhook.start(JOB, PARAMETERS)
    assert "Silent response" in raised.value.hint


def test_another_job_of_the_same_token_is_not_ours(jenkins, webhook):
    jenkins.jobs["other"] = jenkins.jobs.pop(JOB)
    with pytest.raises(RemoteFailed, match=r"other jobs than ml-models-release: other"):
        webhook.start(JOB, PARAMETERS)


def test_a_job_that_threw_is_a_failure(jenkins, webhook):
    jenkins.job.broken = True
    with pytest.raises(RemoteFailed, match="nothing"):  # alone, the plugin takes it for one that answers silently
        webhook.start(JOB, PARAMETERS)
    jenkins.jobs["other"] = JobConfig(declared=dict(RELEASE))
    with pytest.raises(RemoteFailed, match=r"500.*NullPointerException"):
        webhook.start(JOB, PARAMETERS)


def test_a_token_that_no_job_has_is_refused_and_not_repeated(jenkins):
    with pytest.raises(RemoteFailed, match=r"404.*Did not find any jobs") as raised:
        Webhook(jenkins.address, Credentials(webhook_token="MARKED-wrong")).start(JOB, PARAMETERS)
    assert "MARKED" not in str(raised.value)


def test_the_whitelists_refusal_repeats_the_token_and_we_do_not(jenkins, webhook):
    jenkins.fault("POST", status=403, body="Sender, 10.0.0.9, with headers {{authorization}} did not pass whitelist.")
    with pytest.raises(RemoteFailed, match=r"403.*did not pass whitelist") as raised:
        webhook.start(JOB, PARAMETERS)
    assert WEBHOOK_TOKEN not in str(raised.value)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_webhook_that_can_not_now_is_unreachable(jenkins, webhook, status):
    jenkins.fault("POST", status=status)
    with pytest.raises(Unreachable, match=str(status)):
        webhook.start(JOB, PARAMETERS)


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_webhook_that_is_cut_off_is_unreachable(jenkins, webhook, cut):
    jenkins.fault("POST", cut=cut)
    with pytest.raises(Unreachable):
        webhook.start(JOB, PARAMETERS)


def test_a_redirected_webhook_is_refused(jenkins, webhook):
    jenkins.fault("POST", status=302, headers={"Location": f"{jenkins.address}/elsewhere"})
    with pytest.raises(RemoteFailed) as raised:
        webhook.start(JOB, PARAMETERS)
    assert "--server" in raised.value.hint
    assert len(jenkins.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        "<html>login</html>", "[]", "{}", '{"jobs": null}', '{"jobs": {"ml-models-release": "threw"}}', '{"jobs": {}}',
        '{"jobs": {"ml-models-release": {"triggered": "yes", "url": "queue/item/3/"}}}',
        '{"jobs": {"ml-models-release": {"triggered": true, "url": null}}}',
        '{"jobs": {"ml-models-release": {"triggered": true, "url": "job/x/"}}}',
    ],
)  # fmt: skip
def test_an_answer_that_names_no_queue_item_of_ours_is_a_failure(jenkins, webhook, body):
    jenkins.fault("POST", status=200, body=body)
    with pytest.raises(RemoteFailed):
        webhook.start(JOB, PARAMETERS)


def test_a_webhook_without_a_token_says_which_variable(jenkins):
    with pytest.raises(UsageError) as raised:
        Webhook(jenkins.address, Credentials(user=USER, token=TOKEN))
    assert "RELEASE_TOOL_WEBHOOK_TOKEN" in raised.value.hint
