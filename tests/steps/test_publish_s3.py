"""``release-tool check`` and ``publish`` on a real S3 server: one wins, faults heal, kills leave nothing behind."""

from __future__ import annotations

import functools
import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from threading import Barrier, BrokenBarrierError

import pytest
from factories import make_plan
from killing import killed_at_every_request
from publications import another, check_one_won, contents, masked, reviewed
from s3.proxy import Fault, running_proxy

from release_tool import documents
from release_tool.cli import run
from release_tool.core.codec import decode_text
from release_tool.core.parts import of_bytes
from release_tool.core.publication import CLAIMS, claim_key, marker_key
from release_tool.core.receipt import Receipt
from release_tool.errors import ReleaseError
from release_tool.global_options import make_context
from release_tool.services import s3_words
from release_tool.services.bucket import Taken
from release_tool.services.bucket_folder import FolderBucket
from release_tool.steps import review_reading
from release_tool.steps.publish import prepare

PART_BYTES = 5 << 20
"""The smallest that S3 takes."""
PLAN = make_plan()
FIRST, LAST = sorted(PLAN.artifacts, key=lambda artifact: artifact.key)
ONE_FORMAT = make_plan(artifacts=(LAST,))


PROBES = functools.cache(review_reading.packaged_probes)


def two_parts(artifact):
    """Return the bytes of an archive that is sent in two parts."""
    return hashlib.sha512(artifact.encode()).digest() * (PART_BYTES // 64) + b"the second part"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(documents, "PART_BYTES", PART_BYTES)


@pytest.fixture(autouse=True)
def probes_read_once(monkeypatch):
    monkeypatch.setattr(review_reading, "packaged_probes", PROBES)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Let what is tried again be tried at once, and wait for no answer longer than a second."""
    from botocore.retries.standard import ExponentialBackoff

    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.001)
    monkeypatch.setattr(s3_words, "CONFLICT_SECONDS", 0.001)
    monkeypatch.setattr(s3_words, "READ_SECONDS", 1)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Return a work folder of one archive of two parts, and its digest."""
    work = tmp_path_factory.mktemp("release")
    return work, reviewed(work, archive_of=two_parts, plan=ONE_FORMAT)


@pytest.fixture
def work(release, tmp_path):
    return shutil.copytree(release[0], tmp_path / "work")


@pytest.fixture
def approved(release):
    return release[1]


@pytest.fixture(scope="module")
def wanted(release, tmp_path_factory):
    """Return what an uninterrupted run leaves, by the folder."""
    bucket = tmp_path_factory.mktemp("bucket")
    assert publish(release[0], release[1], bucket.as_uri()) == 0
    return masked(contents(bucket))


@pytest.fixture
def proxy(s3, monkeypatch):
    """Put a proxy before the server."""
    with running_proxy(s3.endpoint) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint)
        yield running


def publish(work, approved, address, *more):
    return run(["--work", str(work), "-q", "publish", "--approved", approved, "--to", address, *more])


def found(s3, name, prefix=""):
    """Return key → bytes of everything in a bucket, and see to it that nothing was written twice or left half-way."""
    client = s3.client()
    assert not client.list_multipart_uploads(Bucket=name).get("Uploads")
    pages = client.get_paginator("list_object_versions").paginate(Bucket=name, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Versions", ())]
    assert len(keys) == len(set(keys))
    return {key.removeprefix(prefix): client.get_object(Bucket=name, Key=key)["Body"].read() for key in keys}


def test_a_publication_is_what_it_is_in_a_folder(s3, work, approved, wanted):
    name = s3.make_bucket(versions=True)
    assert publish(work, approved, f"s3://{name}/some/prefix") == 0
    there = found(s3, name, "some/prefix/")
    assert masked(there) == wanted
    receipt = decode_text(Receipt, (work / "receipt.json").read_text())
    assert receipt.to == f"s3://{name}/some/prefix"
    assert {item.key: (item.size, item.sha256) for item in receipt.objects} == {
        key: (len(data), hashlib.sha256(data).hexdigest()) for key, data in there.items()
    }
    client = s3.client()
    for item in receipt.objects:
        head = client.head_object(Bucket=name, Key=f"some/prefix/{item.key}", ChecksumMode="ENABLED")
        assert (head["ETag"].strip('"'), head["VersionId"]) == (item.etag, item.version_id)
        assert head["ChecksumSHA256"]
        assert head["ContentType"] == ("application/zip" if item.key.endswith(".zip") else head["ContentType"])
    # The archive came in two parts, and twice is once.
    assert client.head_object(Bucket=name, Key=f"some/prefix/{LAST.key}")["ETag"].endswith('-2"')
    before = (work / "receipt.json").read_bytes()
    assert publish(work, approved, f"s3://{name}/some/prefix") == 0
    assert (work / "receipt.json").read_bytes() == before
    assert found(s3, name, "some/prefix/") == there


def test_check_says_what_lies_there_and_whose_it_is(s3, work, approved, capsys):
    address = f"s3://{s3.make_bucket()}"
    check = ["--work", str(work), "check", "--to", address]
    assert run(check) == 0
    assert capsys.readouterr().out.count("free") == 2
    assert publish(work, approved, address) == 0
    capsys.readouterr()
    assert run(check) == 3
    err = capsys.readouterr().err
    archive = work / "archives" / LAST.file_name
    assert hashlib.sha256(archive.read_bytes()).hexdigest() in err  # of two parts: read through
    assert f"as {approved}" in err


@pytest.mark.parametrize("status", [403, 404, 500])
def test_check_never_takes_a_refusal_for_a_free_key(proxy, s3, work, capsys, status):
    name = s3.make_bucket()
    proxy.faults.append(Fault("refuse", value=(status, "Whatever")))
    assert run(["--work", str(work), "check", "--to", f"s3://{name}"]) in {8, 11}
    assert "free" not in capsys.readouterr().out


CHANGED = (
    "plan.json", "source.json", f"certificate-{LAST.id}.json", f"bundle-{LAST.id}.json", f"archives/{LAST.file_name}",
    f"archives/{LAST.id}.config.json", "answers-dense.safetensors", "review.md", "review.json",
)  # fmt: skip


@pytest.mark.parametrize("path", CHANGED)
def test_one_byte_changed_after_approval_is_refused_without_a_single_request(proxy, s3, work, approved, path):
    name = s3.make_bucket()
    data = bytearray((work / path).read_bytes())
    data[len(data) // 2] ^= 1
    (work / path).write_bytes(data)
    assert publish(work, approved, f"s3://{name}") == 7
    assert proxy.log == []


def test_another_digest_is_refused_without_a_single_request(proxy, s3, work):
    assert publish(work, "f" * 64, f"s3://{s3.make_bucket()}") == 7
    assert proxy.log == []


def test_an_archive_that_changes_after_it_was_verified_is_refused_by_the_store(s3, work, approved, monkeypatch):
    """The second reading sends other bytes than the first one hashed."""
    name = s3.make_bucket()
    archive = work / "archives" / LAST.file_name
    context = make_context(work, work, as_json=False, verbose=0, quiet=True, debug=False)
    publisher = prepare(context, approved, f"s3://{name}", None)
    data = archive.read_bytes()
    archive.write_bytes(data[:-1] + b"!")
    with pytest.raises(ReleaseError) as caught:
        publisher.publish()
    assert caught.value.exit_code == 7
    archive.write_bytes(data)
    assert publish(work, approved, f"s3://{name}") == 0
    found(s3, name)


def test_a_run_that_goes_on_sends_only_what_is_missing(proxy, s3, work, approved):
    name = s3.make_bucket()
    proxy.faults.append(Fault("refuse", to=lambda request: request.method == "POST" and "uploadId" in request.query,
                              value=(403, "AccessDenied")))  # fmt: skip
    assert publish(work, approved, f"s3://{name}") == 8
    proxy.reset()
    assert publish(work, approved, f"s3://{name}") == 0
    asked = [str(request) for request in proxy.log if request.writes]
    assert f"POST {LAST.key}?uploadId" in asked
    assert not [line for line in asked if "partNumber" in line or line.endswith("?uploads")]
    assert f"PUT {claim_key(LAST.key)}" in asked  # tried, and found to be its own


# --- faults


def is_claim(request):
    return request.method == "PUT" and request.key.startswith(CLAIMS)


def is_part(request):
    return request.method == "PUT" and "partNumber" in request.query


def is_completion(request):
    return request.method == "POST" and "uploadId" in request.query


def is_config(request):
    return request.method == "PUT" and request.key == LAST.config_key


def is_marker(request):
    return request.method == "PUT" and request.key.endswith("/released.json")


def is_head(request):
    return request.method == "HEAD" and request.key == LAST.config_key


WRITES = (is_claim, is_part, is_completion, is_config, is_marker)
FOREVER = float("inf")
FAULTS = {
    ("forbidden", FOREVER): (Fault("refuse", value=(403, "AccessDenied")), 8),
    ("conflict", 1): (Fault("refuse", value=(409, "ConditionalRequestConflict")), 0),
    ("conflict", FOREVER): (Fault("refuse", value=(409, "ConditionalRequestConflict")), 8),
    ("error", 1): (Fault("refuse", value=(500, "InternalError")), 0),
    ("busy", FOREVER): (Fault("refuse", value=(503, "SlowDown")), 11),
    ("cut before", 1): (Fault("cut_before"), 0),
    ("cut after", 1): (Fault("cut_after"), 0),
    ("cut after", FOREVER): (Fault("cut_after"), 11),
    ("done and forgotten", 1): (Fault("forget", value=(500, "InternalError")), 0),
}
"""Kind of fault, how often → the fault, and the exit code of the run that meets it."""


def cases():
    for place in (*WRITES, is_head):
        for (kind, times), (fault, code) in FAULTS.items():
            if kind == "conflict" and place in {is_part, is_head}:
                continue  # it has no condition
            name = f"{place.__name__[3:]} {kind} {'once' if times == 1 else 'always'}"
            yield pytest.param(replace(fault, to=place, times=times), code, id=name)


@pytest.mark.parametrize(("fault", "code"), list(cases()))
def test_a_fault_ends_in_its_exit_code_and_the_next_run_heals_it(proxy, s3, release, wanted, fault, code):
    name = s3.make_bucket()
    proxy.faults.append(fault)
    assert publish(*release, f"s3://{name}") == code
    assert fault.met >= 1
    if code == 0:
        assert masked(found(s3, name)) == wanted
        return
    proxy.reset()
    assert publish(*release, f"s3://{name}") == 0
    assert masked(found(s3, name)) == wanted


@pytest.mark.parametrize("place", [is_claim, is_completion, is_marker])
def test_an_answer_that_comes_too_late_is_asked_for_again(proxy, s3, release, wanted, monkeypatch, place):
    monkeypatch.setattr(s3_words, "READ_SECONDS", 0.3)
    name = s3.make_bucket()
    proxy.faults.append(Fault("slow", to=place, times=1, value=0.6))
    assert publish(*release, f"s3://{name}") == 0
    assert masked(found(s3, name)) == wanted


def test_other_bytes_on_reading_back_are_an_error_and_nothing_is_marked(proxy, s3, release, wanted, capsys):
    """The server took the upload, and says of it later what can't be."""
    name = s3.make_bucket()
    wrong = of_bytes(b"other bytes").checksum
    fault = Fault("header", to=is_head, value=("x-amz-checksum-sha256", wrong))
    proxy.faults.append(fault)
    assert publish(*release, f"s3://{name}") == 8
    assert "holds other bytes after it was sent" in capsys.readouterr().err
    assert marker_key(release[1]) not in found(s3, name)
    proxy.reset()
    assert publish(*release, f"s3://{name}") == 0
    assert masked(found(s3, name)) == wanted


@pytest.mark.parametrize(("body", "code"), [(None, 0), (b"x" * len(two_parts(LAST.id)), 8)])
def test_where_a_checksum_over_parts_tells_nothing_the_bytes_are_read(proxy, s3, release, body, code):
    name = s3.make_bucket()
    wrong = ("x-amz-checksum-sha256", f"{of_bytes(b'').checksum}-2")
    proxy.faults.append(Fault("header", to=lambda it: (it.method, it.key) == ("HEAD", LAST.key), value=wrong))
    if body is not None:
        proxy.faults.append(Fault("body", to=lambda it: (it.method, it.key) == ("GET", LAST.key), value=body))
    assert publish(*release, f"s3://{name}") == code
    assert [request for request in proxy.log if (request.method, request.key) == ("GET", LAST.key)]


# --- killed


@pytest.mark.parametrize(("when", "step"), [("before", 1), ("after", 3)])
def test_killed_at_every_request_and_run_again_it_is_as_if_never_interrupted(s3, release, wanted, when, step):
    """Nothing is written twice either: the bucket keeps versions, and each object has one.

    What lies there after a request is what lies there before the next one, so the second round takes only some.
    """
    name = s3.make_bucket(versions=True)
    addresses = [f"s3://{name}/killed-{number}" for number in range(1000)]
    arguments = ["--work", release[0], "-q", "publish", "--approved", release[1]]
    said = killed_at_every_request(arguments, addresses, when=when, step=step, part_bytes=PART_BYTES)
    assert len(said) > 40 // step
    assert said == [[-9, 0]] * (len(said) - 1) + [[0, None]]
    for number in range(len(said)):
        assert masked(found(s3, name, f"killed-{number}/")) == wanted


def test_a_run_continues_what_many_killed_ones_left(s3, release, wanted):
    name = s3.make_bucket(versions=True)
    arguments = ["--work", release[0], "-q", "publish", "--approved", release[1]]
    said = killed_at_every_request(
        arguments, [f"s3://{name}"] * 1000, when="after", again=False, step=2, part_bytes=PART_BYTES
    )
    assert len(said) > 5
    assert said == [[-9, None]] * (len(said) - 1) + [[0, None]]
    assert masked(found(s3, name)) == wanted


# --- races

RACERS = 32


@pytest.fixture(scope="module")
def racers(tmp_path_factory):
    """Return 32 releases of one version with other bytes each; every third has only one of the two formats."""
    folder = tmp_path_factory.mktemp("racers")
    works = [folder / f"racer-{number}" for number in range(RACERS)]
    plans = [ONE_FORMAT if number % 3 == 0 else PLAN for number in range(RACERS)]
    return [(work, another(work, plan=plan, pages=False)) for work, plan in zip(works, plans, strict=True)]


def race(racers, buckets):
    """Let all publish at once, and return their exit codes."""
    publishers = []
    for (work, digest), bucket in zip(racers, buckets, strict=True):
        context = make_context(work, work, as_json=False, verbose=0, quiet=True, debug=False)
        made = prepare(context, digest, "file:///nowhere", None)
        publishers.append(replace(made, bucket=bucket, claims=replace(made.claims, bucket=bucket)))
    barrier = Barrier(len(racers))

    def one(publisher):
        barrier.wait()
        try:
            publisher.publish()
        except ReleaseError as error:
            return error.exit_code
        return 0

    with ThreadPoolExecutor(len(racers)) as pool:
        return list(pool.map(one, publishers))


def alone_in(folder, racers):
    """Return a function: place of a racer → what it would have left without rivals."""

    def alone(winner):
        assert publish(*racers[winner], (folder / "alone").as_uri()) == 0
        return contents(folder / "alone")

    return alone


def of_s3(name):
    from release_tool.services.buckets import open_bucket

    return [open_bucket(f"s3://{name}") for _ in range(RACERS)]


def test_of_32_that_want_one_version_one_wins_and_the_others_leave_nothing(s3, racers, tmp_path):
    for _ in range(2):
        name = s3.make_bucket()
        codes = race(racers, of_s3(name))
        shutil.rmtree(tmp_path / "alone", ignore_errors=True)
        check_one_won(racers, codes, found(s3, name), alone_in(tmp_path, racers))


def test_of_32_in_a_folder_one_wins_and_the_others_leave_nothing(racers, tmp_path):
    folder = tmp_path / "bucket"
    codes = race(racers, [FolderBucket(folder) for _ in racers])
    check_one_won(racers, codes, contents(folder), alone_in(tmp_path, racers))


def test_the_race_finds_out_a_server_that_only_says_that_it_keeps_conditions(proxy, s3, racers, tmp_path):
    """A negative control: where several are told that they won, the check above must not pass."""
    name = s3.make_bucket()
    archives = Fault("say_done", to=lambda request: request.method == "PUT" and request.key.endswith(".zip"), value=0.3)
    proxy.faults += [archives, Fault("say_done", to=lambda request: request.method == "PUT")]
    codes = race(racers, of_s3(name))
    with pytest.raises(AssertionError):
        check_one_won(racers, codes, found(s3, name), alone_in(tmp_path, racers))


class Forgetful(FolderBucket):
    """Looks, waits until the others have looked, and writes: a store with a moment between the two."""

    barrier = Barrier(RACERS)

    def _appear(self, temporary, path, key, match):
        there = self.head(key)
        if (there and there.etag) != match:
            raise Taken
        with suppress(BrokenBarrierError):
            self.barrier.wait(0.5)
        temporary.replace(path)


def test_the_race_finds_out_a_store_that_looks_before_it_writes(racers, tmp_path):
    """The second negative control."""
    folder = tmp_path / "bucket"
    codes = race(racers, [Forgetful(folder) for _ in racers])
    with pytest.raises(AssertionError):
        check_one_won(racers, codes, contents(folder), alone_in(tmp_path, racers))
