"""``listing publish`` and ``listing rebuild`` on a real S3 server: conditions hold, nothing is lost, faults heal."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from jenkins_double.server import TOKEN, USER, Jenkins
from killing import killed_at_every_request
from s3.proxy import Fault, running_proxy

from release_tool.cli import run
from release_tool.services import s3_words

ALL = "model_listing/pretrained_models_all_versions.json"
SERVED = "model_listing/pre_trained_models.json"
KEYS = (f"ml-models/{ALL}", f"ml-models/{SERVED}")
NAME = "huggingface/acme/tiny"
FOREVER = float("inf")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Let what is tried again be tried at once, and wait for no answer longer than a second."""
    from botocore.retries.standard import ExponentialBackoff

    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.001)
    monkeypatch.setattr(s3_words, "CONFLICT_SECONDS", 0.001)
    monkeypatch.setattr(s3_words, "READ_SECONDS", 1)


@pytest.fixture
def proxy(s3, monkeypatch):
    """Put a proxy before the server."""
    with running_proxy(s3.endpoint) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint)
        yield running


@pytest.fixture
def repo(tmp_path):
    return repository(tmp_path / "repo", "1.0.0")


def repository(folder, *versions, name=NAME):
    """Write both listings of a model into a folder."""
    (folder / "model_listing").mkdir(parents=True, exist_ok=True)
    facts = {version: {"format": ["onnx"], "description": "A model."} for version in versions}
    (folder / ALL).write_text(json.dumps([{"name": name, "versions": facts}], indent=2) + "\n")
    served = [{"name": name, "version": list(versions), "format": ["onnx"]}]
    (folder / SERVED).write_text(json.dumps(served, indent=2) + "\n")
    return folder


def listing(repo, *more):
    return run(["--repo", str(repo), "--work", str(repo / "work"), "-q", "listing", *map(str, more)])


def publish(repo, address, *more):
    return listing(repo, "publish", "--to", address, *more)


def rebuild(repo, address, *more):
    return listing(repo, "rebuild", "--to", address, *more)


def found(s3, name, prefix=""):
    """Return key → bytes of the listings of a bucket."""
    client = s3.client()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=f"{prefix}ml-models/model_listing/")
    keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
    return {key.removeprefix(prefix): client.get_object(Bucket=name, Key=key)["Body"].read() for key in keys}


def files(repo):
    return {path.relative_to(repo).as_posix(): path.read_bytes() for path in sorted(repo.rglob("*")) if path.is_file()}


def of_repo(repo):
    return {key: (repo / name).read_bytes() for key, name in zip(KEYS, (ALL, SERVED), strict=True)}


def versions_in(s3, name):
    pages = s3.client().get_paginator("list_object_versions").paginate(Bucket=name)
    return sorted(item["Key"] for page in pages for item in page.get("Versions", ()))


# --- publish


def test_both_are_written_below_the_prefix_once_and_replaced_when_they_change(s3, repo, capsys):
    name = s3.make_bucket(versions=True)
    address = f"s3://{name}/some/prefix"
    assert publish(repo, address, "--dry-run") == 0
    assert versions_in(s3, name) == []
    for _ in range(2):
        assert publish(repo, address) == 0
        assert found(s3, name, "some/prefix/") == of_repo(repo)
    assert versions_in(s3, name) == sorted(f"some/prefix/{key}" for key in KEYS)
    repository(repo, "1.0.0", "1.1.0")
    capsys.readouterr()
    assert publish(repo, address, "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert found(s3, name, "some/prefix/") == of_repo(repo)
    assert versions_in(s3, name) == sorted(2 * [f"some/prefix/{key}" for key in KEYS])
    for one in done["listings"]:
        head = s3.client().head_object(Bucket=name, Key=f"some/prefix/{one['key']}", ChecksumMode="ENABLED")
        assert (head["ETag"].strip('"'), head["VersionId"]) == (one["etag"], one["version_id"])
        assert head["ContentType"] == "application/json"
        assert head["ChecksumSHA256"]


def test_every_write_has_a_condition_and_the_one_that_is_served_comes_last(proxy, s3, repo):
    name = s3.make_bucket()
    for condition in ("if-none-match", "if-match"):
        proxy.reset()
        assert publish(repo, f"s3://{name}") == 0
        writes = [request for request in proxy.log if request.writes]
        assert [(request.method, request.key) for request in writes] == [("PUT", key) for key in KEYS]
        assert all(condition in request.headers for request in writes)
        repository(repo, "1.0.0", "1.1.0")
    proxy.reset()
    repository(repo, "1.0.0")
    assert publish(repo, f"s3://{name}") == 9  # the bucket's has more
    assert not [request for request in proxy.log if request.writes]


def test_of_many_that_publish_different_listings_at_once_one_does_and_nothing_is_mixed(s3, tmp_path):
    repos = [repository(tmp_path / f"repo-{number}", "1.0.0", f"1.0.{number + 1}") for number in range(8)]
    for _ in range(3):
        name = s3.make_bucket(versions=True)
        codes = race(repos, f"s3://{name}")
        assert sorted(codes) == [0] + [9] * 7
        assert found(s3, name) == of_repo(repos[codes.index(0)])
        assert versions_in(s3, name) == sorted(KEYS)


def test_of_many_that_publish_the_same_all_do_and_it_is_written_once(s3, repo):
    name = s3.make_bucket(versions=True)
    assert race([repo] * 8, f"s3://{name}") == [0] * 8
    assert found(s3, name) == of_repo(repo)
    assert versions_in(s3, name) == sorted(KEYS)


def test_what_a_newer_repository_wrote_in_between_is_never_replaced_by_an_older_one(s3, tmp_path):
    """The bucket's ends as the newest: an older one either comes before it or is refused."""
    older, newer = repository(tmp_path / "older", "1.0.0"), repository(tmp_path / "newer", "1.0.0", "1.1.0")
    for _ in range(4):
        name = s3.make_bucket()
        codes = race([older, newer, older, newer], f"s3://{name}")
        assert [codes[1], codes[3]] == [0, 0]
        assert set(codes) <= {0, 9}
        assert found(s3, name) == of_repo(newer)


def race(repos, address):
    """Let all publish at once, and return their exit codes."""
    barrier = Barrier(len(repos))

    def one(repo):
        barrier.wait()
        return publish(repo, address)

    with ThreadPoolExecutor(len(repos)) as pool:
        return list(pool.map(one, repos))


def test_an_object_that_changes_all_the_time_is_given_up(proxy, s3, repo, capsys):
    name = s3.make_bucket()
    taken = Fault("refuse", to=lambda request: request.method == "PUT", value=(412, "PreconditionFailed"))
    proxy.faults.append(replace(taken, times=2))
    assert publish(repo, f"s3://{name}") == 0
    repository(repo, "1.0.0", "1.1.0")
    proxy.faults.append(taken)
    assert publish(repo, f"s3://{name}") == 11
    assert "changes all the time" in capsys.readouterr().err


def is_first_read(request):
    return (request.method, request.key) == ("GET", KEYS[0])


def is_last_read(request):
    return (request.method, request.key) == ("GET", KEYS[1])


def is_first_write(request):
    return (request.method, request.key) == ("PUT", KEYS[0])


def is_last_write(request):
    return (request.method, request.key) == ("PUT", KEYS[1])


FAULTS = {
    ("forbidden", FOREVER): (Fault("refuse", value=(403, "AccessDenied")), 8),
    ("conflict", 1): (Fault("refuse", value=(409, "ConditionalRequestConflict")), 0),
    ("conflict", FOREVER): (Fault("refuse", value=(409, "ConditionalRequestConflict")), 8),
    ("error", 1): (Fault("refuse", value=(500, "InternalError")), 0),
    ("error", FOREVER): (Fault("refuse", value=(500, "InternalError")), 11),
    ("busy", FOREVER): (Fault("refuse", value=(503, "SlowDown")), 11),
    ("cut before", 1): (Fault("cut_before"), 0),
    ("cut after", 1): (Fault("cut_after"), 0),
    ("cut after", FOREVER): (Fault("cut_after"), 11),
    ("done and forgotten", 1): (Fault("forget", value=(500, "InternalError")), 0),
    ("slow", 1): (Fault("slow", value=1.3), 0),
}
"""Kind of fault, how often → the fault, and the exit code of the run that meets it."""


def cases(only=None):
    for place in (is_first_read, is_last_read, is_first_write, is_last_write):
        for (kind, times), (fault, code) in FAULTS.items():
            if kind == "conflict" and place in {is_first_read, is_last_read}:
                continue  # it has no condition
            if (kind == "slow" and place is not is_last_write) or only not in {None, place}:
                continue
            words = f"{place.__name__[3:]} {kind} {'once' if times == 1 else 'always'}{' replacing' if only else ''}"
            yield pytest.param(replace(fault, to=place, times=times), code, only is not None, id=words)


@pytest.mark.parametrize(("fault", "code", "there"), [*cases(), *cases(only=is_last_write)])
def test_a_fault_ends_in_its_exit_code_and_the_next_run_heals_it(proxy, s3, repo, fault, code, there):
    name = s3.make_bucket(versions=True)
    if there:
        assert publish(repo, f"s3://{name}") == 0
        repository(repo, "1.0.0", "1.1.0")
    before = found(s3, name)
    proxy.faults.append(fault)
    assert publish(repo, f"s3://{name}") == code
    assert fault.met >= 1
    if code:
        # The one that is served is never newer than the other one.
        assert found(s3, name).get(KEYS[1]) == before.get(KEYS[1]) or found(s3, name) == of_repo(repo)
        proxy.reset()
        assert publish(repo, f"s3://{name}") == 0
    assert found(s3, name) == of_repo(repo)
    assert versions_in(s3, name) == sorted((2 if there else 1) * KEYS)


@pytest.mark.parametrize("there", [False, True], ids=["first", "replaced"])
def test_killed_at_every_request_and_run_again_it_is_as_if_never_interrupted(s3, repo, there):
    name = s3.make_bucket(versions=True)
    addresses = [f"s3://{name}/killed-{number}" for number in range(100)]
    wanted = 7 if there else 6
    if there:
        for address in addresses[: wanted + 2]:
            assert publish(repo, address) == 0
        repository(repo, "1.0.0", "1.1.0")
    arguments = ["--repo", repo, "-q", "listing", "publish"]
    said = killed_at_every_request(arguments, addresses, when="after")
    assert said == [[-9, 0]] * (len(said) - 1) + [[0, None]]
    assert len(said) >= wanted - 1
    for number in range(len(said)):
        assert found(s3, name, f"killed-{number}/") == of_repo(repo)


@pytest.mark.slow
def test_jenkins_serves_what_was_written_and_is_not_asked_twice(s3, repo, monkeypatch):
    """By the clocks of three machines, as far as one machine has them; the pause is a real one."""
    monkeypatch.setenv("RELEASE_TOOL_JENKINS_USER", USER)
    monkeypatch.setenv("RELEASE_TOOL_JENKINS_TOKEN", TOKEN)
    address = f"s3://{s3.make_bucket()}"
    with Jenkins() as jenkins:
        assert publish(repo, address, "--server", jenkins.address) == 0
        (repo / "work" / "listing-notice.json").unlink()
        assert publish(repo, address, "--server", jenkins.address) == 0
        assert jenkins.started == 1


def test_what_lies_there_and_is_no_listing_is_not_touched(s3, repo):
    name = s3.make_bucket()
    s3.client().put_object(Bucket=name, Key=KEYS[1], Body=b"no listing")
    assert publish(repo, f"s3://{name}") == 8
    assert found(s3, name) == {KEYS[1]: b"no listing"}


@pytest.mark.parametrize("command", ["publish", "rebuild"])
@pytest.mark.parametrize("wrong", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_with_wrong_credentials_nothing_is_done(s3, repo, monkeypatch, command, wrong, capsys):
    name = s3.make_bucket()
    before = files(repo)
    monkeypatch.setenv(wrong, "MARKED")
    assert listing(repo, command, "--to", f"s3://{name}") == 8
    said = capsys.readouterr().err
    assert "access key" in said or "Check the credentials" in said
    assert "MARKED" not in said
    assert found(s3, name) == {}
    assert files(repo) == before


@pytest.mark.parametrize("command", ["publish", "rebuild"])
def test_a_bucket_that_does_not_exist_is_an_error_and_no_empty_one(s3, repo, command):
    before = files(repo)
    assert listing(repo, command, "--to", "s3://there-is-no-such-bucket") == 8
    assert files(repo) == before


# --- rebuild


def test_a_prefix_below_which_nothing_lies_empties_no_listing(s3, repo, capsys):
    name = s3.make_bucket()
    s3.client().put_object(Bucket=name, Key=f"models/ml-models/{NAME}/1.0.0/onnx/config.json", Body=b"{}")
    before = files(repo)
    assert rebuild(repo, f"s3://{name}/modles") == 9
    assert "Nothing at all lies under ml-models/" in capsys.readouterr().err
    assert files(repo) == before


MANY = 1010
"""More keys than a page holds."""


@pytest.fixture(scope="module")
def full(s3_server):
    """Return a bucket of more than a page of keys: models before and behind the others, below a prefix."""
    name, client = s3_server.make_bucket(), s3_server.client()
    objects = {}
    for model in ("a/first", "z/last"):
        for version in ("1.0.0", "1.0.10"):
            folder = f"ml-models/huggingface/{model}/{version}/onnx"
            stem = f"{model.replace('/', '_')}-{version}-onnx"
            objects[f"some/prefix/{folder}/{stem}.zip"] = b"zip"
            objects[f"some/prefix/{folder}/config.json"] = json.dumps({"description": f"{model} {version}"}).encode()
            objects[f"elsewhere/{folder.replace('/first/', '/other/')}/{stem}.zip"] = b"zip"
    for number in range(MANY):
        objects[f"some/prefix/ml-models/huggingface/m/other/{number}"] = b""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: client.put_object(Bucket=name, Key=item[0], Body=item[1]), objects.items()))
    return name


def test_a_listing_is_made_of_the_keys_of_every_page_below_the_prefix(proxy, s3, full, tmp_path):
    repo = tmp_path / "repo"
    repo.mkdir()
    assert rebuild(repo, f"s3://{full}/some/prefix", "--draft") == 0
    assert files(repo) == {}
    proxy.reset()
    assert rebuild(repo, f"s3://{full}/some/prefix") == 0
    made = json.loads((repo / ALL).read_bytes())
    assert [(one["name"], list(one["versions"])) for one in made] == [
        ("huggingface/a/first", ["1.0.0", "1.0.10"]),
        ("huggingface/z/last", ["1.0.0", "1.0.10"]),
    ]
    assert made[1]["versions"]["1.0.10"]["description"] == "z/last 1.0.10"
    assert [one["name"] for one in json.loads((repo / SERVED).read_bytes())] == [one["name"] for one in made]
    assert len([request for request in proxy.log if request.query.get("list-type")]) == 2
    assert not [request for request in proxy.log if request.writes]


def is_second_page(request):
    return "continuation-token" in request.query


def is_config(request):
    return request.method == "GET" and request.key.endswith("/z/last/1.0.0/onnx/config.json")


@pytest.mark.parametrize("place", [is_second_page, is_config])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault("refuse", value=(403, "AccessDenied")), 8),
        (Fault("refuse", value=(500, "InternalError"), times=1), 0),
        (Fault("refuse", value=(503, "SlowDown")), 11),
        (Fault("cut_after", times=1), 0),
        (Fault("cut_before"), 11),
    ],
)
def test_half_a_bucket_is_never_taken_for_a_whole_one(proxy, full, tmp_path, place, fault, code):
    """Where a page or a file can't be read, no entry is taken for gone: nothing is written."""
    repo = repository(tmp_path / "repo", "1.0.0", name="huggingface/z/last")
    before = files(repo)
    fault = replace(fault, to=place)
    proxy.faults.append(fault)
    assert rebuild(repo, f"s3://{full}/some/prefix") == code
    assert fault.met >= 1
    assert (files(repo) == before) == (code != 0)
    if code == 0:
        assert [one["name"] for one in json.loads((repo / SERVED).read_bytes())][1:] == ["huggingface/z/last"]


def test_what_was_rebuilt_is_published_and_read_back_the_same(s3, full, tmp_path):
    repo = tmp_path / "repo"
    repo.mkdir()
    assert rebuild(repo, f"s3://{full}/some/prefix") == 0
    assert publish(repo, f"s3://{full}/some/prefix") == 0
    assert found(s3, full, "some/prefix/") == of_repo(repo)
    before = files(repo)
    assert rebuild(repo, f"s3://{full}/some/prefix") == 0
    assert files(repo) == before
