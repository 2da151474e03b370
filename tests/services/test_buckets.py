"""What every bucket promises, asked of a folder and of a real S3 server alike."""

from __future__ import annotations

import hashlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from s3.proxy import Fault, running_proxy
from s3.server import free_port

from release_tool import documents
from release_tool.core.parts import FileParts, of_bytes
from release_tool.documents import file_parts
from release_tool.errors import IntegrityError, PublishError, RequestError, Unreachable
from release_tool.services import s3_parts, s3_words
from release_tool.services.bucket import Taken
from release_tool.services.bucket_folder import FolderBucket
from release_tool.services.bucket_s3 import S3Bucket
from release_tool.services.buckets import open_bucket

JSON = "application/json"
KEY = "ml-models/acme/tiny/1.0.0/onnx/config.json"
SMALLEST_PART = 5 << 20
"""Bytes: what S3 takes for a part that is not the last one."""
STORES = ("folder", "s3", "s3 with versions")


def make_bucket(request, kind, folder):
    if kind == "folder":
        return FolderBucket(folder / "bucket")
    name = request.getfixturevalue("s3").make_bucket(versions=kind.endswith("versions"))
    return S3Bucket(name, "some/prefix")


@pytest.fixture(params=STORES)
def bucket(request, tmp_path):
    return make_bucket(request, request.param, tmp_path)


@pytest.fixture
def impatient(monkeypatch):
    """Let what is tried again be tried at once."""
    from botocore.retries.standard import ExponentialBackoff

    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.001)
    monkeypatch.setattr(s3_words, "CONFLICT_SECONDS", 0.001)


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(documents, "PART_BYTES", SMALLEST_PART)


def write(bucket, data, match=None, key=KEY):
    return bucket.write(key, data, match=match, content_type=JSON)


def send(bucket, path, match=None, key=KEY, **more):
    return bucket.send(key, path, file_parts(path), match=match, content_type="application/zip", **more)


def bytes_of(bucket, key=KEY):
    found = bucket.read(key, 1 << 30)
    return found and found[0]


def a_file(folder, size, seed=0):
    """Write a file whose every part has other bytes."""
    path = folder / f"file-{seed}"
    block = hashlib.sha512(str(seed).encode()).digest() * 1024
    with path.open("wb") as stream:
        for number in range(-(-size // len(block)) if size else 0):
            stream.write(number.to_bytes(8, "big") + block[8:])
        stream.truncate(size)
    return path


# --- what is there and what is not


def test_what_is_not_there_is_an_answer(bucket):
    assert bucket.head(KEY) is None
    assert bucket.read(KEY, 10) is None
    assert bucket.digest(KEY) is None
    assert list(bucket.keys("")) == []
    bucket.remove(KEY, match="0" * 32)


@pytest.mark.parametrize("data", [b"", b"one", b"\0" * 100_000])
def test_what_was_written_is_there(bucket, data):
    stored = write(bucket, data)
    assert bytes_of(bucket) == data
    assert bucket.digest(KEY) == hashlib.sha256(data).hexdigest()
    again = bucket.head(KEY)
    assert (again.etag, again.size, again.version_id) == (stored.etag, len(data), stored.version_id)
    assert again.sha256 == hashlib.sha256(data).hexdigest()
    assert again.holds(of_bytes(data)) is True
    assert again.holds(of_bytes(data + b"x")) is False
    assert again.holds(of_bytes(data[:-1] + b"y")) is False


def test_versions_have_names_where_they_are_kept(request, s3, tmp_path):
    kept = make_bucket(request, "s3 with versions", tmp_path)
    first = write(kept, b"one")
    second = write(kept, b"two", first.etag)
    assert first.version_id
    assert second.version_id
    assert first.version_id != second.version_id
    assert kept.read(KEY, 10)[1].version_id == second.version_id


def test_how_old_an_object_is_is_known(bucket):
    began = time.monotonic()
    write(bucket, b"first")
    write(bucket, b"second", match=bucket.head(KEY).etag)
    young = [bucket.head(KEY).age, bucket.read(KEY, 100)[1].age]
    assert all(0 <= age <= time.monotonic() - began + 1 for age in young)
    time.sleep(2.3)  # whole seconds, and servers that look at the clock once a second
    for age in (bucket.head(KEY).age, bucket.read(KEY, 100)[1].age):
        assert 0.2 <= age <= time.monotonic() - began + 1
    began = time.monotonic()
    write(bucket, b"third", match=bucket.head(KEY).etag)
    assert bucket.head(KEY).age <= time.monotonic() - began + 1


def test_an_object_larger_than_its_kind_is_not_read(bucket):
    write(bucket, b"12345")
    assert bucket.read(KEY, 5)[0] == b"12345"
    with pytest.raises(PublishError, match="larger than 4"):
        bucket.read(KEY, 4)


def test_keys_come_in_order_and_by_prefix(bucket):
    names = ["releases/b/1.json", "releases/a.json", "releases/a/2.json", "releases/a/10.json", "ml-models/x"]
    for name in names:
        write(bucket, b"", key=name)
    assert list(bucket.keys("")) == sorted(names)
    assert list(bucket.keys("releases/a")) == ["releases/a.json", "releases/a/10.json", "releases/a/2.json"]
    assert list(bucket.keys("none")) == []


def test_keys_come_from_every_page(request, s3, tmp_path):
    bucket = make_bucket(request, "s3", tmp_path)
    for number in range(7):
        write(bucket, b"", key=f"a/{number}")
    bucket.client.meta.events.register(
        "before-parameter-build.s3.ListObjectsV2", lambda params, **_: params.update(MaxKeys=2)
    )
    assert list(bucket.keys("a/")) == [f"a/{number}" for number in range(7)]


HOSTILE = ["", "/", "/etc/passwd", "a//b", "../a", "a/../b", "a/.", ".hidden", "a/.b", "a\nb", "a\0b", "a b", "é",
           "a\\b", "-a", "x" * 1001, "x" * 256, "a/"]  # fmt: skip


def test_a_key_that_leads_elsewhere_is_none(bucket, tmp_path):
    path = a_file(tmp_path, 3)
    asks = [
        bucket.head,
        lambda key: bucket.read(key, 10),
        bucket.digest,
        lambda key: write(bucket, b"", key=key),
        lambda key: send(bucket, path, key=key),
        lambda key: bucket.remove(key, match="0"),
    ]
    for key in HOSTILE:
        for ask in asks:
            with pytest.raises(RequestError, match="can't be a key"):
                ask(key)


# --- conditions


def test_what_is_there_is_not_written_again(bucket):
    write(bucket, b"one")
    with pytest.raises(Taken):
        write(bucket, b"two")
    with pytest.raises(Taken):
        write(bucket, b"one")
    assert bytes_of(bucket) == b"one"


def test_only_the_object_that_an_etag_names_is_replaced(bucket):
    first = write(bucket, b"one").etag
    second = write(bucket, b"two", first).etag
    with pytest.raises(Taken):
        write(bucket, b"three", first)
    assert bytes_of(bucket) == b"two"
    write(bucket, b"three", second)
    assert bytes_of(bucket) == b"three"


def test_nothing_is_replaced_where_nothing_is(bucket):
    etag = write(bucket, b"one", key="other").etag
    with pytest.raises(Taken):
        write(bucket, b"one", etag)
    assert bucket.head(KEY) is None


def test_only_the_object_that_an_etag_names_is_removed(bucket):
    first = write(bucket, b"one").etag
    second = write(bucket, b"two", first).etag
    with pytest.raises(Taken):
        bucket.remove(KEY, match=first)
    assert bytes_of(bucket) == b"two"
    bucket.remove(KEY, match=second)
    assert bucket.head(KEY) is None
    assert bucket.read(KEY, 10) is None
    assert list(bucket.keys("")) == []
    bucket.remove(KEY, match=second)


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_what_was_removed_can_be_created_again(request, tmp_path, kind):
    """AWS allows it over a delete marker, too; this server with versions does not."""
    bucket = make_bucket(request, kind, tmp_path)
    bucket.remove(KEY, match=write(bucket, b"one").etag)
    write(bucket, b"two")
    assert bytes_of(bucket) == b"two"


def race(count, attempt):
    """Do something in many threads at once, and return the numbers of those who were not told that it is taken."""
    barrier = Barrier(count)

    def one(number):
        barrier.wait()
        try:
            attempt(number)
        except Taken:
            return None
        return number

    with ThreadPoolExecutor(count) as pool:
        return [number for number in pool.map(one, range(count)) if number is not None]


def test_of_many_who_create_one_does(bucket):
    for attempt in range(5):
        key = f"race/{attempt}"
        (winner,) = race(32, lambda number, key=key: write(bucket, b"%d" % number, key=key))
        assert bytes_of(bucket, key) == b"%d" % winner


def test_of_many_who_replace_one_does(bucket):
    for attempt in range(3):
        key = f"race/{attempt}"
        etag = write(bucket, b"before", key=key).etag
        (winner,) = race(16, lambda number, key=key, etag=etag: write(bucket, b"%d" % number, etag, key))
        assert bytes_of(bucket, key) == b"%d" % winner


# --- files


@pytest.mark.parametrize("size", [0, 1, SMALLEST_PART - 1, SMALLEST_PART, SMALLEST_PART + 1, 2 * SMALLEST_PART + 9])
def test_a_file_arrives_whole_in_one_part_or_more(bucket, tmp_path, small_parts, size):
    path = a_file(tmp_path, size)
    file = file_parts(path)
    assert len(file.parts) == max(1, -(-size // SMALLEST_PART))
    sent = []
    stored = send(bucket, path, advance=sent.append)
    assert sum(sent) == size
    assert bytes_of(bucket) == path.read_bytes()
    assert bucket.digest(KEY) == file.sha256
    assert stored.holds(file) is True
    assert bucket.head(KEY).holds(file) is True
    if file.one is False and isinstance(bucket, S3Bucket):
        assert bucket.head(KEY).composite == file.checksum
    with pytest.raises(Taken):
        send(bucket, path)
    path = a_file(tmp_path, size + 1, seed=1)
    send(bucket, path, stored.etag)
    assert bytes_of(bucket) == path.read_bytes()


@pytest.mark.parametrize("size", [100, SMALLEST_PART + 100])
@pytest.mark.parametrize("change", ["flip", "shorter", "flip the first part"])
def test_a_file_that_changes_after_it_was_verified_is_not_stored(bucket, tmp_path, small_parts, size, change):
    path = a_file(tmp_path, size)
    file = file_parts(path)
    data = bytearray(path.read_bytes())
    data[0 if "first" in change else -1] ^= 1
    path.write_bytes(data if "flip" in change else data[:-1])
    with pytest.raises(IntegrityError):
        bucket.send(KEY, path, file, match=None, content_type=JSON)
    assert bucket.head(KEY) is None


def test_of_many_who_send_large_files_one_does_and_nothing_is_left(request, s3, tmp_path, small_parts, monkeypatch):
    """None of them goes on with another one's upload, or ends it: whoever writes a key holds its claim."""
    bucket = make_bucket(request, "s3", tmp_path)
    begin, all_have_looked = s3_parts.PartsUpload._begin, Barrier(6)
    monkeypatch.setattr(s3_parts.PartsUpload, "_begin", lambda upload: all_have_looked.wait() >= 0 and begin(upload))
    paths = [a_file(tmp_path, SMALLEST_PART + 10, seed) for seed in range(6)]
    (winner,) = race(6, lambda number: send(bucket, paths[number]))
    assert bytes_of(bucket) == paths[winner].read_bytes()
    assert uploads(bucket) == []


def uploads(bucket):
    return bucket.client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", [])


def sent_parts(bucket):
    """Return the numbers of the parts that are sent from now on."""
    numbers = []
    bucket.client.meta.events.register(
        "before-parameter-build.s3.UploadPart", lambda params, **_: numbers.append(params["PartNumber"])
    )
    return numbers


def break_off(monkeypatch, bucket, path, after):
    """Send a file, and be interrupted after so many parts."""
    send_part = s3_parts.PartsUpload._send_part
    left = iter(range(after))

    def interrupted(self, there, part):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return send_part(self, there, part)

    with monkeypatch.context() as patch:
        patch.setattr(s3_parts, "SENDERS", 1)
        patch.setattr(s3_parts.PartsUpload, "_send_part", interrupted)
        with pytest.raises(KeyboardInterrupt):
            send(bucket, path)


@pytest.mark.parametrize("parts", [0, 1, 2])
def test_an_upload_that_was_broken_off_goes_on_with_the_parts_that_are_there(
    request, s3, tmp_path, small_parts, monkeypatch, parts
):
    bucket = make_bucket(request, "s3", tmp_path)
    path = a_file(tmp_path, 2 * SMALLEST_PART + 1)
    break_off(monkeypatch, bucket, path, parts)
    assert len(uploads(bucket)) == 1
    assert bucket.head(KEY) is None
    numbers, sent = sent_parts(bucket), []
    send(bucket, path, advance=sent.append)
    assert sorted(numbers) == list(range(parts + 1, 4))
    assert sum(sent) == 2 * SMALLEST_PART + 1
    assert bytes_of(bucket) == path.read_bytes()
    assert uploads(bucket) == []


def test_parts_of_another_file_are_not_used(request, s3, tmp_path, small_parts, monkeypatch):
    bucket = make_bucket(request, "s3", tmp_path)
    other, path = (a_file(tmp_path, 2 * SMALLEST_PART + 1, seed) for seed in (1, 2))
    break_off(monkeypatch, bucket, other, 2)
    numbers = sent_parts(bucket)
    send(bucket, path)
    assert sorted(numbers) == [1, 2, 3]
    assert bytes_of(bucket) == path.read_bytes()
    assert uploads(bucket) == []


def test_an_upload_of_a_key_that_begins_alike_is_left_alone(request, s3, tmp_path, small_parts, monkeypatch):
    bucket = make_bucket(request, "s3", tmp_path)
    path = a_file(tmp_path, SMALLEST_PART + 1)
    longer = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=f"{bucket.prefix}{KEY}-and-more")
    send(bucket, path)
    assert [item["UploadId"] for item in uploads(bucket)] == [longer["UploadId"]]


def test_an_object_in_parts_of_another_size_is_known_by_its_bytes(request, s3, tmp_path, small_parts):
    from boto3.s3.transfer import TransferConfig

    bucket = make_bucket(request, "s3", tmp_path)
    path, other = (a_file(tmp_path, 2 * SMALLEST_PART + 1, seed) for seed in (1, 2))
    config = TransferConfig(multipart_threshold=SMALLEST_PART, multipart_chunksize=SMALLEST_PART + 4096)
    extra = {"ChecksumAlgorithm": "SHA256"}
    bucket.client.upload_file(str(path), bucket.name, bucket.prefix + KEY, ExtraArgs=extra, Config=config)
    stored = bucket.head(KEY)
    assert stored.composite != file_parts(path).checksum
    assert stored.holds(file_parts(path)) is None
    assert stored.holds(file_parts(other)) is None
    assert bucket.digest(KEY) == file_parts(path).sha256


def test_a_checksum_over_parts_is_what_s3_documents():
    """sha256 over the digests of the parts, in base64, with their number."""
    halves = [hashlib.sha256(text).digest() for text in (b"one", b"two")]
    file = FileParts(size=6, sha256="", part_size=3, parts=tuple(halves))
    assert file.checksum == "EZFMGaKKmMV9EvPM5sMreUR4T0tHgacGwk6x3ChOKFY=-2"
    assert [file.bounds(part) for part in range(3)] == [(0, 3), (3, 3), (6, 0)]


# --- what can't be asked


@pytest.fixture
def proxied(s3, monkeypatch, small_parts, impatient):
    """Return a proxy and a bucket behind it."""
    name = s3.make_bucket()
    with running_proxy(s3.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield proxy, open_bucket(f"s3://{name}")


def every_question(bucket, path):
    return {
        "head": lambda: bucket.head(KEY),
        "read": lambda: bucket.read(KEY, 10),
        "digest": lambda: bucket.digest(KEY),
        "write": lambda: write(bucket, b""),
        "send": lambda: send(bucket, path),
        "send parts": lambda: send(bucket, a_file(path.parent, SMALLEST_PART + 1, 9)),
        "replace": lambda: write(bucket, b"", "0" * 32),
        "remove": lambda: bucket.remove(KEY, match="0" * 32),
        "keys": lambda: list(bucket.keys("")),
    }


def refused(bucket, path, error, match):
    for name, ask in every_question(bucket, path).items():
        with pytest.raises(error, match=match) as caught:
            ask()
        assert type(caught.value) is error, name


def test_a_bucket_that_does_not_exist_is_an_error_and_never_an_absence(s3, tmp_path, small_parts):
    refused(open_bucket("s3://no-such-bucket/x"), a_file(tmp_path, 3), PublishError, "no bucket")


def test_a_folder_that_is_a_file_is_an_error_and_never_an_absence(tmp_path):
    (tmp_path / "bucket").write_text("")
    refused(FolderBucket(tmp_path / "bucket"), a_file(tmp_path, 3), PublishError, "can't be|no regular")


def test_something_else_than_a_file_is_no_absence(tmp_path):
    bucket = FolderBucket(tmp_path)
    (tmp_path / KEY).mkdir(parents=True)
    for ask in (bucket.head, bucket.digest, lambda key: bucket.read(key, 10)):
        with pytest.raises(PublishError, match="no regular file"):
            ask(KEY)
    with pytest.raises(Taken):
        write(bucket, b"")


def test_without_credentials_nothing_can_be_asked(s3, tmp_path, small_parts, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    refused(open_bucket(f"s3://{s3.make_bucket()}"), a_file(tmp_path, 3), PublishError, "no credentials")


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_with_wrong_credentials_nothing_can_be_asked(s3, tmp_path, small_parts, monkeypatch, name):
    monkeypatch.setenv(name, "wrong")
    refused(open_bucket(f"s3://{s3.make_bucket()}"), a_file(tmp_path, 3), PublishError, "forbids|no bucket|No user")


def test_a_server_that_is_not_there_is_unreachable(s3, tmp_path, small_parts, monkeypatch, impatient):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    refused(open_bucket("s3://bucket"), a_file(tmp_path, 3), Unreachable, "No answer")


def test_a_server_that_says_nothing_is_unreachable(s3, monkeypatch, impatient):
    monkeypatch.setattr(s3_words, "READ_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(Unreachable):
            open_bucket("s3://bucket").head(KEY)


@pytest.mark.parametrize(
    ("status", "code", "error", "match"),
    [
        (403, "AccessDenied", PublishError, "forbids"),
        (404, "NoSuchThing", PublishError, "refused|no bucket"),
        (400, "ExpiredToken", PublishError, "refused"),
        (500, "InternalError", Unreachable, "could not serve"),
        (503, "SlowDown", Unreachable, "could not serve"),
        (429, "TooManyRequests", Unreachable, "could not serve"),
    ],
)
def test_what_a_server_says_is_never_an_absence(proxied, tmp_path, status, code, error, match):
    """The 404 stands for whatever answers so to everything: a wrong endpoint, a proxy."""
    proxy, bucket = proxied
    proxy.faults.append(Fault("refuse", value=(status, code)))
    refused(bucket, a_file(tmp_path, 3), error, match)


def test_bytes_that_are_not_the_stores_own_are_refused(proxied):
    """Something on the way changes an answer: its checksum tells."""
    proxy, bucket = proxied
    write(bucket, b"one")
    proxy.faults.append(Fault("body", value=b"two"))
    with pytest.raises(IntegrityError, match="other bytes"):
        bucket.read(KEY, 10)


@pytest.mark.parametrize("endpoint", ["nonsense", "http://", "ftp:/x"])
def test_settings_that_make_no_client_are_named(s3, monkeypatch, endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(PublishError, match=r"client|asked"):
        open_bucket("s3://bucket").head(KEY)


def test_a_profile_that_does_not_exist_is_named(s3, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(PublishError, match="nobody"):
        open_bucket("s3://bucket")


def test_a_conflict_of_the_very_same_moment_is_tried_again(proxied):
    proxy, bucket = proxied
    proxy.faults.append(Fault("refuse", times=3, value=(409, "ConditionalRequestConflict")))
    write(bucket, b"one")
    assert [request.method for request in proxy.log] == ["PUT"] * 4
    proxy.faults.append(Fault("refuse", value=(409, "ConditionalRequestConflict")))
    with pytest.raises(PublishError, match="409"):
        write(bucket, b"two")
