"""``release-tool publish`` into a folder: what is refused, what lies there, and that it is there once."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from factories import make_facts, make_plan
from publications import OTHER, contents, reviewed
from releases import one_changed, write_release

from release_tool.cli import run
from release_tool.core.codec import decode_text, encode_text
from release_tool.core.plan import LicenceFacts, ReleasePlan
from release_tool.core.publication import CLAIMS, Claim, Released, claim_key, marker_key
from release_tool.core.receipt import Receipt
from release_tool.core.review import Review, digest, make_review
from release_tool.documents import WorkFolder, file_sha256
from release_tool.steps.review_reading import described


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


def publish(work, bucket, approved, *more):
    return run(["--work", str(work), "publish", "--approved", approved, "--to", bucket.as_uri(), *more])


def test_everything_lies_where_it_belongs(work, bucket, approved, capsys):
    assert publish(work, bucket, approved) == 0
    there = contents(bucket)
    plan = decode_text(ReleasePlan, (work / "plan.json").read_text())
    for artifact in plan.artifacts:
        assert there[artifact.key] == (work / "archives" / artifact.file_name).read_bytes()
        assert there[artifact.config_key] == (work / f"archives/{artifact.id}.config.json").read_bytes()
    served = {artifact.key for artifact in plan.artifacts} | {artifact.config_key for artifact in plan.artifacts}
    assert {key for key in there if key.startswith("ml-models/")} == served
    claims = {claim_key(artifact.key) for artifact in plan.artifacts}
    assert {key for key in there if key.startswith(CLAIMS)} == claims
    evidence = {key.removeprefix(f"releases/{approved}/") for key in set(there) - served - claims}
    names = {"plan.json", "source.json", "answers-dense.safetensors", "review.json", "review.md", "review.html"}
    per = {f"{kind}-{artifact.id}.json" for artifact in plan.artifacts for kind in ("bundle", "certificate")}
    assert evidence == names | per | {"released.json"}
    for name in evidence - {"released.json"}:
        assert there[f"releases/{approved}/{name}"] == (work / name).read_bytes()


def test_the_receipt_and_the_marker_name_every_object_by_the_bytes_that_lie_there(work, bucket, approved):
    assert publish(work, bucket, approved) == 0
    there = contents(bucket)
    receipt = decode_text(Receipt, (work / "receipt.json").read_text())
    assert {item.key for item in receipt.objects} == set(there)
    for item in receipt.objects:
        assert (item.sha256, item.size) == (file_sha256(bucket / item.key), len(there[item.key]))
    marker = decode_text(Released, there[marker_key(approved)].decode())
    assert {item.key for item in marker.objects} | {marker_key(approved)} == {
        key for key in there if not key.startswith(CLAIMS)
    }
    claim = decode_text(Claim, next(data for key, data in there.items() if key.startswith(CLAIMS)).decode())
    assert claim.released_at == marker.released_at == receipt.released_at
    assert claim.approved == marker.approved == receipt.approved == approved


def test_twice_is_once(work, bucket, approved):
    assert publish(work, bucket, approved) == 0
    before, receipt = contents(bucket), (work / "receipt.json").read_bytes()
    times = {path: path.stat().st_mtime_ns for path in bucket.rglob("*") if path.is_file() and path.name != ".lock"}
    assert publish(work, bucket, approved) == 0
    assert contents(bucket) == before
    assert (work / "receipt.json").read_bytes() == receipt
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_without_an_address_it_goes_into_the_work_folder(work, approved):
    assert run(["--work", str(work), "publish", "--approved", approved]) == 0
    assert marker_key(approved) in contents(work / "published")


def test_a_dry_run_lists_every_key_and_writes_nothing(work, bucket, approved, capsys):
    before = contents(work)
    assert publish(work, bucket, approved, "--dry-run") == 0
    listed = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
    assert not bucket.exists()
    assert contents(work) == before
    assert publish(work, bucket, approved) == 0
    assert sorted(listed) == sorted(contents(bucket))
    assert listed[-1] == marker_key(approved)
    assert listed[0].startswith(CLAIMS)


def test_another_digest_is_refused(work, bucket, approved, capsys):
    assert publish(work, bucket, OTHER) == 7
    assert approved in capsys.readouterr().err
    assert not bucket.exists()


@pytest.mark.parametrize("word", ["", "abc", "F" * 64, "0" * 63, f"{OTHER}\n"])
def test_what_is_no_digest_is_a_usage_error(work, bucket, approved, word):
    assert publish(work, bucket, word) == 2
    assert not bucket.exists()


ANY_BYTE = (
    "plan.json",
    "source.json",
    "bundle-onnx.json",
    "certificate-torch_script.json",
    "answers-dense.safetensors",
    "archives/onnx.config.json",
    "review.md",
    "review.html",
    "review.json",
)


@pytest.mark.parametrize("name", [*ANY_BYTE, "archive"])
@pytest.mark.parametrize("at", [0.1, 0.5, 0.99])
def test_one_byte_changed_after_approval_is_refused_and_nothing_is_written(work, bucket, approved, name, at):
    path = next((work / "archives").glob("*.zip")) if name == "archive" else work / name
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(data)
    assert publish(work, bucket, approved) == 7
    assert not bucket.exists()


@pytest.mark.parametrize("name", [*ANY_BYTE, "archive"])
def test_a_file_that_is_gone_is_refused(work, bucket, approved, name):
    (next((work / "archives").glob("*.zip")) if name == "archive" else work / name).unlink()
    assert publish(work, bucket, approved) in {2, 7}
    assert not bucket.exists()


def test_a_red_release_has_no_digest_to_publish(tmp_path, bucket, capsys):
    work = tmp_path / "red"
    write_release(work, change_proof=lambda proof: one_changed(proof, 4, max_abs=3e-2))
    assert run(["--work", str(work), "--repo", str(work), "-q", "review"]) == 6
    assert publish(work, bucket, OTHER) == 6
    assert not bucket.exists()


def test_a_review_that_was_forged_over_a_red_proof_is_refused(tmp_path, bucket):
    """Whoever can write review.json can write any digest into it; the proofs are asked again."""
    work = tmp_path / "red"
    write_release(work, change_proof=lambda proof: one_changed(proof, 4, max_abs=3e-2))
    run(["--work", str(work), "--repo", str(work), "-q", "review"])
    review = decode_text(Review, (work / "review.json").read_text())
    forged = replace(review, reasons=(), digest=digest(review.files))
    (work / "review.json").write_text(encode_text(forged))
    assert publish(work, bucket, forged.digest) == 6
    assert not bucket.exists()


def test_a_review_over_a_config_that_the_plan_does_not_make_is_refused(tmp_path, bucket, release, capsys):
    """Every digest is right, and so is the approved one: what config.json says is asked again."""
    work = WorkFolder(tmp_path / "foreign")
    written = write_release(
        work.folder, change_config=lambda data: data.replace(b'"name"', b'"url": "https://evil.example/a.zip", "name"')
    )
    names = decode_text(Review, (release[0] / "review.json").read_text()).uses
    forged = make_review(written.plan, [described(work, name) for name in names], (), ())
    work.write("review.json", forged)
    assert publish(work.folder, bucket, forged.digest) == 7
    assert "it holds 'url'" in capsys.readouterr().err
    assert not bucket.exists()


@pytest.mark.parametrize("path", ["../secret", "/etc/hostname", "archives/../../secret"])
def test_a_review_that_names_a_file_elsewhere_is_refused_unread(work, bucket, approved, tmp_path, path):
    (tmp_path / "secret").write_text("mine")
    review = json.loads((work / "review.json").read_text())
    review["pages"][0]["path"] = path
    (work / "review.json").write_text(json.dumps(review))
    assert publish(work, bucket, approved) == 7
    assert not bucket.exists()


@pytest.mark.parametrize(
    ("licence", "code"),
    [
        (LicenceFacts(declared=None, listed=False), 2),
        (LicenceFacts(declared="mine", listed=False), 2),
        (LicenceFacts(declared="mine", listed=False, accepted="mine"), 0),
    ],
)
def test_a_licence_that_nobody_accepted_stops_publishing(tmp_path, bucket, capsys, licence, code):
    work = tmp_path / "licensed"
    approved = reviewed(work, plan=make_plan(source=make_facts(licence=licence)))
    assert publish(work, bucket, approved) == code
    assert bucket.exists() == (code == 0)
    assert ("--accept-licence" in capsys.readouterr().err) == (code == 2)


@pytest.mark.parametrize(
    "address",
    [
        "bucket", "http://x/y", "file://host/x", "file:///", "file:relative", "file:///x%00y", "file:///x#y", "s3://",
        "s3://[", "s3://B_/x", "s3://b", "s3://bucket/a/../b", "s3://user:secret@bucket/x", "s3://bucket/x?sign=secret",
    ],
)  # fmt: skip
def test_what_is_no_address_is_named(work, approved, capsys, address):
    assert run(["--work", str(work), "publish", "--approved", approved, "--to", address]) == 2
    err = capsys.readouterr().err
    assert "--to" in err
    assert "secret" not in err
