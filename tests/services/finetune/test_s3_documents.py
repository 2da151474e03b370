"""Documents are read from a real S3 server, as a stream, and always from the versions that were planned."""

from __future__ import annotations

import gzip
import json

import pytest
from s3.proxy import Fault, running_proxy

from release_tool.errors import IntegrityError, Refused, SourceError, Unreachable, UsageError
from release_tool.services.finetune import s3_documents
from release_tool.services.finetune.s3_documents import S3Documents


def lines(*ids, size=0):
    return b"".join(json.dumps({"id": one, "text": f"text {one} {'x' * size}"}).encode() + b"\n" for one in ids)


def ids(source):
    return [getattr(row.read, "id", str(row.read)) for row in source.rows()]


@pytest.fixture
def put(s3):
    """Return a call that writes an object into a bucket of the test's own; ``put.bucket`` is its name."""
    client, bucket = s3.client(), s3.make_bucket()

    def write(key, data):
        client.put_object(Bucket=bucket, Key=key, Body=data)

    write.bucket, write.remove = bucket, lambda key: client.delete_object(Bucket=bucket, Key=key)
    return write


def test_a_prefix_gives_the_objects_below_it_in_the_order_of_their_keys(put):
    put("corpus/b.jsonl", lines("3", "4"))
    put("corpus/a/x.jsonl.gz", gzip.compress(lines("1", "2")))
    put("corpus/notes.txt", b"no rows")
    put("corpus-old/z.jsonl", lines("5"))
    for address in (f"s3://{put.bucket}/corpus", f"s3://{put.bucket}/corpus/"):
        source = S3Documents(address)
        assert ids(source) == ["1", "2", "3", "4"]
        assert [row.where for row in source.rows()][::2] == ["corpus/a/x.jsonl.gz", "corpus/b.jsonl"]
        assert sum(row.size for row in source.rows()) == source.total()
    assert ids(S3Documents(f"s3://{put.bucket}")) == ["5", "1", "2", "3", "4"]
    assert ids(S3Documents(f"s3://{put.bucket}/corpus/b.jsonl")) == ["3", "4"]


def test_the_pin_changes_with_what_is_there_and_with_nothing_else(put):
    address = f"s3://{put.bucket}/c"
    put("c/a.jsonl", lines("1"))
    first = S3Documents(address).pin()
    put("c/readme.txt", b"x")
    put("other.jsonl", lines("1"))
    assert S3Documents(address).pin() == first
    seen = {first}
    for change in (
        lambda: put("c/a.jsonl", lines("2")),
        lambda: put("c/b.jsonl", b""),
        lambda: (put.remove("c/b.jsonl"), put("c/z.jsonl", b"")),
    ):
        change()
        seen.add(S3Documents(address).pin())
    assert len(seen) == 4
    with pytest.raises(IntegrityError, match="not what it was when the run was planned"):
        S3Documents(address).check(first)
    S3Documents(address).check(S3Documents(address).pin())


def test_an_object_that_is_replaced_or_removed_while_it_is_read_is_no_mixture(put):
    for change in (lambda: put("c/b.jsonl", lines("9")), lambda: put.remove("c/b.jsonl")):
        put("c/a.jsonl", lines("1", "2"))
        put("c/b.jsonl", lines("3"))
        rows = S3Documents(f"s3://{put.bucket}/c").rows()
        assert next(rows).read.id == "1"
        change()
        with pytest.raises(IntegrityError, match="changed while the documents were read"):
            list(rows)


def test_what_is_not_there_is_told_before_anything_is_read(put):
    with pytest.raises(SourceError, match="names no object"):
        S3Documents(f"s3://{put.bucket}/none").pin()
    with pytest.raises(Refused, match="NoSuchBucket"):
        S3Documents("s3://no-such-bucket-here/c").pin()
    with pytest.raises(UsageError, match="no address of S3"):
        S3Documents("https://bucket/c")


def test_wrong_credentials_are_told_with_the_right_that_is_missing(put, monkeypatch):
    put("a.jsonl", lines("1"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(Refused) as caught:
        S3Documents(f"s3://{put.bucket}/a.jsonl").pin()
    assert "s3:ListBucket" in caught.value.hint


@pytest.fixture
def between(s3, monkeypatch):
    """Put a proxy between the client and the server, and let nobody wait."""
    with running_proxy(s3.endpoint) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint)
        monkeypatch.setattr(s3_documents, "PAUSES", (0, 0, 0))
        yield running


@pytest.mark.parametrize("name", ["c/a.jsonl", "c/a.jsonl.gz"])
def test_a_connection_that_breaks_again_and_again_is_taken_up_where_it_broke(put, between, name):
    data = lines(*map(str, range(300)), size=20_000)
    put(name, gzip.compress(data, 0) if name.endswith(".gz") else data)
    between.faults.append(Fault("cut_inside", lambda request: request.key == name, times=3, value=1_500_000))
    source = S3Documents(f"s3://{put.bucket}/c")
    assert ids(source) == [str(number) for number in range(300)]
    asked = [request.headers for request in between.log if request.key == name]
    assert len(asked) == 4
    assert ["range" in headers for headers in asked] == [False, True, True, True]
    assert all(headers["if-match"] for headers in asked)


def test_a_server_that_breaks_off_at_the_same_place_for_ever_is_given_up(put, between):
    put("a.jsonl", lines(*map(str, range(10)), size=1000))
    between.faults.append(Fault("cut_inside", lambda request: request.key == "a.jsonl", value=0))
    with pytest.raises(Unreachable, match=r"No answer for a\.jsonl"):
        ids(S3Documents(f"s3://{put.bucket}/a.jsonl"))


def test_an_object_that_changes_while_its_connection_is_broken_is_no_mixture(put, between):
    put("a.jsonl", lines(*map(str, range(300)), size=20_000))
    between.faults.append(Fault("cut_inside", lambda request: request.key == "a.jsonl", times=1, value=2_000_000))
    rows = S3Documents(f"s3://{put.bucket}/a.jsonl").rows()
    next(rows)
    put("a.jsonl", lines(*map(str, range(300)), size=20_001))
    with pytest.raises(IntegrityError, match="changed while the documents were read"):
        list(rows)


def test_other_bytes_than_the_store_has_a_checksum_of_are_refused(put, between):
    put("a.jsonl", lines("1", "2"))
    between.faults.append(Fault("body", lambda request: request.key == "a.jsonl", value=lines("1", "3")))
    with pytest.raises(IntegrityError, match="other bytes than the store's checksum says"):
        ids(S3Documents(f"s3://{put.bucket}/a.jsonl"))
