"""The client of GitHub's API: what it says of refusals, limits and silence, and where a token may go."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta

import pytest
from github_double.clock import Impatient
from github_double.git import Git
from github_double.server import TOKEN, GitHubDouble

from release_tool.errors import Refused, ReleaseError, RemoteFailed, RequestError, Unreachable, UsageError
from release_tool.services import github as services
from release_tool.services.github import GitHub, check_repository, quoted, read_access
from release_tool.services.github_repository import Repository, blob_sha

REPOSITORY = "octo-org/models"


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    git = Git.made(tmp_path_factory.mktemp("origin") / "models.git", {"README.md": b"# Models\n"})
    git.close()
    return git.folder


@pytest.fixture
def hub(origin, tmp_path, monkeypatch):
    """Run GitHub's API over a copy of a repository."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with GitHubDouble(Git(shutil.copytree(origin, tmp_path / "models.git")), REPOSITORY) as server:
        yield server


@pytest.fixture
def clock():
    return Impatient()


@pytest.fixture
def client(hub, clock):
    return GitHub(read_access(hub.environment()), clock)


@pytest.fixture
def repository(client):
    return Repository(client, REPOSITORY)


ENVIRONMENTS = f"repos/{REPOSITORY}/environments"


def test_a_path_gives_json_and_nothing_for_what_is_not_there(hub, client):
    hub.answers["environments"] = {"total_count": 1, "environments": [{"name": "release-gate"}]}
    assert client.get(ENVIRONMENTS)["environments"] == [{"name": "release-gate"}]
    assert client.get(f"repos/{REPOSITORY}/rulesets") is None
    assert client.get("repos/octo-org/others") is None


def test_every_request_names_the_version_of_the_api_and_who_asks(hub, client):
    client.get(ENVIRONMENTS, per_page=5)
    (request,) = hub.requests
    assert request.query == {"per_page": "5"}
    assert request.headers["x-github-api-version"] == "2022-11-28"
    assert request.headers["accept"] == "application/vnd.github+json"
    assert request.headers["user-agent"].startswith("release-tool/")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


def test_a_netrc_file_of_this_machine_does_not_replace_the_token(hub, client, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert client.get(f"repos/{REPOSITORY}")["full_name"] == REPOSITORY


def test_pages_are_read_to_the_last(hub, client):
    for number in range(250):
        hub.pulls.append({"number": number, "state": "open", "head": {"ref": "x", "label": "octo-org:x"}})
    found = client.pages(f"repos/{REPOSITORY}/pulls", state="open")
    assert [pull["number"] for pull in found] == list(reversed(range(250)))
    assert [request.query["page"] for request in hub.requests] == ["1", "2", "3"]
    assert client.pages(f"repos/{REPOSITORY}/nothing") is None
    hub.answers["environments"] = {"total_count": 1, "environments": [{"name": "a"}, "no object"]}
    assert client.pages(ENVIRONMENTS, "environments") == ({"name": "a"},)
    with pytest.raises(RemoteFailed, match="as GitHub's API would"):
        client.pages(ENVIRONMENTS, "rulesets")


def test_a_list_that_never_ends_is_left(hub, client, monkeypatch):
    monkeypatch.setattr(services, "PAGE", 1)
    hub.answers["environments"] = [{"name": "again"}]
    assert len(client.pages(ENVIRONMENTS)) == services.MAX_PAGES


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_read_is_tried_again_while_the_server_can_not_answer(hub, client, clock, status):
    hub.fault("GET", status=status, data={"message": "Server Error"}, times=3)
    assert client.get(f"repos/{REPOSITORY}")["full_name"] == REPOSITORY
    assert clock.waits == list(services.PAUSES)


@pytest.mark.parametrize("fault", [{"cut": "before"}, {"cut": "after"}, {"half": True}])
def test_a_read_is_tried_again_when_the_connection_breaks(hub, client, fault):
    hub.fault("GET", times=3, **fault)
    assert client.get(f"repos/{REPOSITORY}")["full_name"] == REPOSITORY
    assert len(hub.requests) == 4


def test_tries_have_an_end(hub, client, clock):
    hub.fault("GET", status=500, data={"message": "Server Error"}, times=99)
    with pytest.raises(Unreachable, match=r"can't answer GET repos/.* now \(500\): Server Error"):
        client.get(f"repos/{REPOSITORY}")
    hub.faults.clear()
    hub.fault("GET", cut="before", times=99)
    with pytest.raises(Unreachable, match="did not answer"):
        client.get(f"repos/{REPOSITORY}")
    assert len(hub.requests) == len(clock.waits) + 2 == 8


@pytest.mark.parametrize("fault", [{"status": 500, "data": {}}, {"cut": "before"}, {"cut": "after"}])
def test_a_write_that_may_not_be_done_twice_is_sent_once(hub, client, fault):
    hub.fault("POST", times=9, **fault)
    with pytest.raises(Unreachable):
        client.post(f"repos/{REPOSITORY}/git/blobs", {"content": "x"})
    assert len(hub.requests) == 1


def test_nobody_at_the_address_is_unreachable(clock):
    access = read_access({"GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": "http://127.0.0.1:9"})
    with pytest.raises(Unreachable, match="did not answer GET x") as caught:
        GitHub(access, clock).get("x")
    assert caught.value.exit_code == 11


def limit(clock, seconds):
    reset = int((clock.now() + timedelta(seconds=seconds)).timestamp())
    return {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(reset)}


@pytest.mark.parametrize("status", [403, 429])
def test_a_limit_that_ends_soon_is_waited_for_even_by_a_write(hub, client, clock, status):
    """What was refused by a limit was not done."""
    message = {"message": "API rate limit exceeded for installation ID 1."}
    hub.fault("POST", status=status, data=message, headers=limit(clock, 20))
    assert client.post(f"repos/{REPOSITORY}/git/blobs", {"content": "x"})["sha"] == blob_sha(b"x")
    (waited,) = clock.waits
    assert 19 <= waited <= 22


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after": "7"}, "You have exceeded a secondary rate limit.", 7),
        ({}, "You have exceeded a secondary rate limit. Please wait a few minutes.", 60),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"}, "x", 60),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, "x", 1),
    ],
)
def test_how_long_a_limit_lasts(hub, client, clock, headers, message, seconds):
    hub.fault("GET", status=403, data={"message": message}, headers=headers)
    assert client.get(f"repos/{REPOSITORY}")["full_name"] == REPOSITORY
    assert clock.waits == [seconds]


def test_a_limit_that_lasts_long_is_not_waited_for(hub, client, clock):
    hub.fault("GET", status=403, data={"message": "API rate limit exceeded"}, headers=limit(clock, 1800), times=9)
    with pytest.raises(Unreachable, match="rate limit is used up") as caught:
        client.get(f"repos/{REPOSITORY}")
    assert caught.value.hint == "Run again in 30 min."
    assert (clock.waits, len(hub.requests)) == ([], 1)


def test_a_limit_that_comes_again_and_again_has_an_end(hub, client, clock):
    hub.fault("GET", status=429, data={}, headers={"retry-after": "60"}, times=99)
    with pytest.raises(Unreachable):
        client.get(f"repos/{REPOSITORY}")
    assert clock.waits == [60, 60, 60]


@pytest.mark.parametrize(
    ("status", "data", "said", "hint"),
    [
        (401, {"message": "Bad credentials"}, "Bad credentials", "does not know"),
        (403, {"message": "Resource not accessible by integration"}, "Resource not", "lacks a right"),
        (301, {"message": "Moved Permanently"}, "Moved", "--repository"),
        (422, {"message": "Invalid", "errors": ["one", {"resource": "R", "code": "c"}, {"message": "m"}]},
         "Invalid; one; R c; m", ""),
        (410, b"<h1>Gone &amp; <script>x</script></h1>", "Gone &", ""),
        (418, ["odd"], "", ""),
    ],
)  # fmt: skip
def test_a_refusal_holds_its_status_and_its_words(hub, client, status, data, said, hint):
    hub.fault("GET", status=status, data=data)
    with pytest.raises(Refused) as caught:
        client.get(f"repos/{REPOSITORY}")
    assert (caught.value.status, caught.value.exit_code) == (status, 10)
    assert said in caught.value.said
    assert hint in caught.value.hint
    assert f"({status})" in str(caught.value)


def test_a_redirect_is_not_followed(hub, client):
    hub.fault("GET", status=301, data={}, headers={"Location": f"{hub.address}/elsewhere"})
    with pytest.raises(Refused):
        client.get(f"repos/{REPOSITORY}")
    assert len(hub.requests) == 1


def test_an_answer_that_is_no_json_or_not_what_was_asked_for_is_named(hub, client, repository):
    hub.answers["environments"] = b"<html>"
    with pytest.raises(RemoteFailed, match="as GitHub's API would"):
        client.get(ENVIRONMENTS)
    for data in ([], {"object": {"sha": "../../x"}}, {"object": None}, "x", None):
        hub.fault("GET", status=200, data=data)
        with pytest.raises(RemoteFailed, match="as GitHub's API would"):
            repository.head("main")


def test_an_answer_without_end_is_left(hub, client, monkeypatch):
    monkeypatch.setattr(services, "MAX_ANSWER_BYTES", 1000)
    sha = hub.git.blob(b"x" * 5000)
    with pytest.raises(Unreachable, match="larger than 1,000 bytes"):
        client.get_bytes(f"repos/{REPOSITORY}/git/blobs/{sha}")


def test_an_answer_that_drips_is_left(hub, client, clock):
    ticks = iter(range(0, 100_000, 400))
    clock.elapsed = lambda: float(next(ticks))
    with pytest.raises(Unreachable, match="not complete within 300 s"):
        client.get(f"repos/{REPOSITORY}")


def test_files_of_any_bytes_come_back_as_they_were(repository):
    data = bytes(range(256)) * 100
    sha = repository.write_blob(data)
    from release_tool.services.github_repository import Entry

    assert repository.read(Entry(mode="100644", sha=sha), "x") == data


def test_a_branch_is_made_once_and_moved_to_anything(hub, repository):
    main = repository.head("main")
    tree = repository.commit(main).tree
    other = repository.write_commit("x", tree, main)
    assert repository.create_branch("record/a", main) is True
    assert repository.create_branch("record/a", other) is False
    repository.move_branch("record/a", other)
    repository.move_branch("record/a", main)
    assert repository.head("record/a") == main == hub.git.head("record/a")
    assert repository.head("record") is None
    with pytest.raises(Refused, match="422"):
        repository.create_branch("record", main)


def test_an_empty_repository_is_named(hub, repository, tmp_path):
    (tmp_path / "empty.git").mkdir()
    git = Git(tmp_path / "empty.git")
    git("init", "-q", "--bare", "--template=")
    hub.forget(git)
    with pytest.raises(Refused, match=r"\(409\): Git Repository is empty"):
        repository.head("main")


# --- the environment -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"GITHUB_TOKEN": " "},
        {"GITHUB_TOKEN": "a b"},
        {"GITHUB_TOKEN": "tökén"},
        {"GITHUB_TOKEN": "x", "GITHUB_API_URL": "http://api.github.example"},
        {"GITHUB_TOKEN": "x", "GITHUB_API_URL": "ftp://api.github.example"},
        {"GITHUB_TOKEN": "x", "GITHUB_API_URL": "https://SECRET@api.github.example"},
        {"GITHUB_TOKEN": "x", "GITHUB_API_URL": "https://api.github.example?SECRET"},
        {"GITHUB_TOKEN": "x", "GITHUB_API_URL": "https://api.github.example:port"},
        {"GITHUB_TOKEN": "x", "GITHUB_API_URL": "https://[SECRET"},
    ],
)
def test_what_gives_no_access_is_named_and_not_repeated(environment):
    with pytest.raises(UsageError) as caught:
        read_access(environment)
    assert "SECRET" not in str(caught.value) + caught.value.hint
    assert "GITHUB_" in str(caught.value) + caught.value.hint


def test_the_token_is_the_first_that_is_set():
    assert read_access({"GITHUB_TOKEN": "one", "GH_TOKEN": "two"}).credentials.token == "one"
    found = read_access({"GITHUB_TOKEN": "", "GH_TOKEN": "two\n", "GITHUB_API_URL": "https://x.example/api/v3/"})
    assert (found.credentials.token, found.credentials.origin, found.api) == (
        "two",
        "GH_TOKEN",
        "https://x.example/api/v3",
    )
    assert read_access({"GH_TOKEN": "x"}).api == "https://api.github.com"
    assert "two" not in repr(found)


@pytest.mark.parametrize(
    "text",
    ["models", "a/b/c", "../x", "octo-org/..", "octo-org/.", "-a/b", "a b/c", "a/b?x", "a/" + "b" * 101, "a/b\n"],
)
def test_what_is_no_repository_is_refused(text):
    with pytest.raises(RequestError):
        check_repository(text)


def test_a_repository_has_an_owner_and_a_name():
    for text in ("octo-org/models", "a/.github", "A1/b_c.d-e"):
        assert check_repository(text) == text
    with pytest.raises(UsageError, match="No repository"):
        check_repository(None)


def test_parts_of_a_path_mean_nothing_else():
    assert quoted("record/a b?c#d%e") == "record/a%20b%3Fc%23d%25e"


def test_a_token_that_a_server_repeats_is_taken_out(hub, client):
    hub.fault("GET", status=400, data={"message": f"header Authorization: Bearer {TOKEN} is odd"})
    hub.fault("GET", status=400, data=json.dumps({"x": TOKEN}))
    for _ in range(2):
        with pytest.raises(ReleaseError) as caught:
            client.get(f"repos/{REPOSITORY}")
        assert TOKEN not in str(caught.value) + caught.value.hint
        assert TOKEN not in repr(client.access)
