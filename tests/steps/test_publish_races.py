"""``release-tool publish`` into a folder: who wins, who takes over, what is replaced, and what a kill leaves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from factories import make_plan
from killing import killed_at_every_request
from publications import OTHER, another, check_one_won, contents, masked, reviewed

from release_tool.cli import run
from release_tool.core.codec import decode_text, encode_text
from release_tool.core.publication import Claim, GivenUp, Released, claim_key, marker_key
from release_tool.core.receipt import Receipt
from release_tool.documents import file_sha256
from release_tool.services.bucket_folder import FolderBucket
from release_tool.steps.publishing import Publisher

PLAN = make_plan()
KEYS = [key for artifact in PLAN.artifacts for key in (artifact.key, artifact.config_key)]
FIRST, LAST = sorted(artifact.key for artifact in PLAN.artifacts)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return two releases of the same keys, each with its digest."""
    folder = tmp_path_factory.mktemp("releases")
    return {name: (folder / name, another(folder / name)) for name in ("mine", "theirs")}


@pytest.fixture(scope="module")
def replacing(tmp_path_factory, made):
    """Return a release that replaces theirs."""
    bucket = tmp_path_factory.mktemp("bucket")
    work, digest = made["theirs"]
    assert publish(work, bucket, digest) == 0
    work = tmp_path_factory.mktemp("replacing") / "replacing"
    return work, another(work, plan=make_plan(replaces={key: file_sha256(bucket / key) for key in KEYS}))


@pytest.fixture
def bucket(tmp_path):
    return tmp_path / "bucket"


@pytest.fixture
def theirs(made, bucket):
    """Publish their release, and return its digest."""
    work, digest = made["theirs"]
    assert publish(work, bucket, digest) == 0
    return digest


@pytest.fixture
def dead(theirs, bucket):
    """Leave their release as it is when it is killed before its marker, and return its digest."""
    (bucket / marker_key(theirs)).unlink()
    return theirs


@pytest.fixture
def mine(made, tmp_path):
    """Return a work folder and its digest."""
    work, digest = made["mine"]
    return shutil.copytree(work, tmp_path / "mine"), digest


def publish(work, bucket, digest, *more):
    return run(["--work", str(work), "-q", "publish", "--approved", digest, "--to", bucket.as_uri(), *more])


def claim_of(bucket, key):
    return decode_text(Claim, (bucket / claim_key(key)).read_text())


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# --- who wins


def test_the_second_release_of_a_version_is_told_who_has_it(mine, theirs, bucket, capsys):
    before = contents(bucket)
    assert publish(mine[0], bucket, mine[1]) == 3
    err = capsys.readouterr().err
    assert theirs in err
    assert "it is complete" in err
    assert contents(bucket) == before


def test_whoever_loses_a_claim_lets_go_of_its_own(mine, bucket, capsys):
    """The second key in order belongs to another release; the first one's claim must not stay."""
    claim = Claim(key=LAST, approved=OTHER, released_at="2026-01-01T00:00:00Z", objects={LAST: OTHER})
    put(bucket / claim_key(LAST), encode_text(claim))
    before = contents(bucket)
    assert publish(mine[0], bucket, mine[1]) == 3
    err = capsys.readouterr().err
    assert OTHER in err
    assert f"--take-over {OTHER}" in err
    assert contents(bucket) == before


def test_a_claim_of_an_earlier_run_is_let_go_of_too(mine, bucket):
    own = Claim(key=FIRST, approved=mine[1], released_at="2026-01-01T00:00:00Z", objects={FIRST: OTHER})
    other = replace(own, key=LAST, approved=OTHER)
    put(bucket / claim_key(LAST), encode_text(other))
    before = contents(bucket)
    put(bucket / claim_key(FIRST), encode_text(own))
    assert publish(mine[0], bucket, mine[1]) == 3
    assert contents(bucket) == before


def test_a_claim_in_another_ones_place_stays_where_that_one_is_not_known_any_more(mine, bucket):
    """A killed run put it there: to remove it would leave what the dead release sent without an owner."""
    own = Claim(
        key=FIRST, approved=mine[1], released_at="2026-01-01T00:00:00Z", objects={FIRST: OTHER}, instead_of=OTHER
    )
    put(bucket / claim_key(FIRST), encode_text(own))
    put(bucket / claim_key(LAST), encode_text(replace(own, key=LAST, approved="e" * 64)))
    before = contents(bucket)
    assert publish(mine[0], bucket, mine[1]) == 3
    assert contents(bucket) == before


def test_a_claim_that_was_lost_on_the_way_is_noticed_before_the_marker(mine, bucket):
    send = FolderBucket.send

    def losing(self, key, *args, **named):
        (bucket / claim_key(LAST)).unlink(missing_ok=True)
        return send(self, key, *args, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FolderBucket, "send", losing)
        assert publish(mine[0], bucket, mine[1]) == 3
    assert marker_key(mine[1]) not in contents(bucket)


def test_bytes_that_nobody_claimed_stop_a_release_and_it_leaves_nothing(mine, bucket, capsys):
    foreign = bucket / PLAN.artifacts[-1].config_key
    put(foreign, "{}")
    before = contents(bucket)
    for more in ((), ("--take-over", OTHER)):
        assert publish(*mine[:1], bucket, mine[1], *more) == 3
        assert file_sha256(foreign) in capsys.readouterr().err
        assert contents(bucket) == before


def test_the_very_bytes_that_nobody_claimed_are_kept(mine, bucket):
    put(bucket / PLAN.artifacts[0].config_key, (mine[0] / "archives/torch_script.config.json").read_text())
    assert publish(mine[0], bucket, mine[1]) == 0


@pytest.mark.parametrize(
    "text", ["<html>", "{}", '{"schema": "release-tool/claim@2"}', '{"schema": "release-tool/claim@1"}']
)
def test_what_is_no_claim_is_not_touched(mine, bucket, text):
    for key in (FIRST, LAST):
        put(bucket / claim_key(key), text)
    before = contents(bucket)
    assert publish(mine[0], bucket, mine[1]) == 8
    assert contents(bucket) == before


def test_of_many_that_want_one_version_one_wins(bucket, tmp_path):
    racers = [(tmp_path / f"racer-{number}", another(tmp_path / f"racer-{number}")) for number in range(6)]
    command = [sys.executable, "-m", "release_tool", "-q"]
    running = [
        subprocess.Popen(
            [*command, "--work", str(folder), "publish", "--approved", digest, "--to", bucket.as_uri()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for folder, digest in racers
    ]
    said = [process.communicate(timeout=300)[1] for process in running]
    codes = [process.returncode for process in running]
    assert 1 not in codes, said

    def alone(winner):
        assert publish(racers[winner][0], tmp_path / "alone", racers[winner][1]) == 0
        return contents(tmp_path / "alone")

    check_one_won(racers, codes, contents(bucket), alone)


# --- taking over


def test_a_dead_claim_is_taken_over_only_by_name(made, mine, dead, bucket):
    work, digest = mine
    before = contents(bucket)
    assert publish(work, bucket, digest) == 3
    assert publish(work, bucket, digest, "--take-over", OTHER) == 3
    assert contents(bucket) == before
    assert publish(work, bucket, digest, "--take-over", dead) == 0
    there = contents(bucket)
    for artifact in PLAN.artifacts:
        assert there[artifact.key] == (work / "archives" / artifact.file_name).read_bytes()
        claim = claim_of(bucket, artifact.key)
        assert (claim.approved, claim.instead_of) == (digest, dead)
    assert decode_text(GivenUp, there[marker_key(dead)].decode()).by == digest
    # It can't come back, and the one that took over is as complete as any.
    assert publish(made["theirs"][0], bucket, dead) == 3
    assert publish(work, bucket, digest) == 0
    assert contents(bucket) == there


def test_a_complete_release_can_not_be_taken_over(mine, theirs, bucket):
    before = contents(bucket)
    assert publish(mine[0], bucket, mine[1], "--take-over", theirs) == 3
    assert contents(bucket) == before


def test_taking_over_overwrites_what_the_dead_release_sent_and_nothing_else(mine, dead, bucket, capsys):
    (bucket / FIRST).write_bytes(b"nobody knows whose")
    assert publish(mine[0], bucket, mine[1], "--take-over", dead) == 3
    assert file_sha256(bucket / FIRST) in capsys.readouterr().err
    assert (bucket / FIRST).read_bytes() == b"nobody knows whose"


def test_taking_over_a_release_that_was_replacing_another_does_not_replace_it(mine, theirs, replacing, bucket):
    """What the dead one wanted to overwrite is a complete release's: only a plan can name it."""
    work, digest = replacing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FolderBucket, "send", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        assert publish(work, bucket, digest) == 130
    assert claim_of(bucket, FIRST).approved == digest
    before = contents(bucket)
    assert publish(mine[0], bucket, mine[1], "--take-over", digest) == 3
    tombstone = {marker_key(digest)}
    assert {key: data for key, data in contents(bucket).items() if key not in tombstone} == before


def test_a_release_that_was_given_up_while_it_was_running_is_never_complete(made, mine, bucket, tmp_path):
    """It lives, against what the person thought who took over: its last request finds the marker's place taken."""
    work, digest = made["theirs"]
    write = FolderBucket.write

    def overtaken(self, key, data, **named):
        if key == marker_key(digest):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(FolderBucket, "write", write)
                assert publish(mine[0], bucket, mine[1], "--take-over", digest) == 0
        return write(self, key, data, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FolderBucket, "write", overtaken)
        assert publish(work, bucket, digest) == 3
    alone = tmp_path / "alone"
    assert publish(mine[0], alone, mine[1]) == 0
    served = [key for key in contents(bucket) if key.startswith("ml-models/")]
    assert {key: (bucket / key).read_bytes() for key in served} == {key: (alone / key).read_bytes() for key in KEYS}
    assert isinstance(decode_text(GivenUp, (bucket / marker_key(digest)).read_text()), GivenUp)


# --- replacing on purpose


def test_a_release_is_replaced_only_by_a_plan_that_names_its_bytes(made, theirs, replacing, bucket):
    work, digest = replacing
    old = contents(bucket)
    assert publish(work, bucket, digest) == 0
    receipt = decode_text(Receipt, (work / "receipt.json").read_text())
    replaces = {key: file_sha256(made["theirs"][0] / path) for key, path in sent(work)}
    assert {item.key: item.replaced for item in receipt.objects if item.replaced} == replaces
    marker = decode_text(Released, (bucket / marker_key(digest)).read_text())
    assert marker.replaces == replaces
    for artifact in PLAN.artifacts:
        claim = claim_of(bucket, artifact.key)
        assert (claim.approved, claim.instead_of) == (digest, theirs)
        assert claim.replaces == {key: replaces[key] for key in (artifact.key, artifact.config_key)}
    # What proves the old release stays.
    proves = [key for key in old if key.startswith(f"releases/{theirs}/")]
    assert {key: (bucket / key).read_bytes() for key in proves} == {key: old[key] for key in proves}
    # The old release can't come back by itself.
    there = contents(bucket)
    assert publish(made["theirs"][0], bucket, theirs) == 3
    assert contents(bucket) == there


def sent(work):
    """Return (key, path in the work folder) of what goes under ml-models."""
    for artifact in PLAN.artifacts:
        yield artifact.key, f"archives/{artifact.file_name}"
        yield artifact.config_key, f"archives/{artifact.id}.config.json"


def test_a_plan_that_replaces_other_bytes_than_lie_there_is_refused(theirs, bucket, tmp_path):
    before = contents(bucket)
    work = tmp_path / "next"
    digest = another(work, plan=make_plan(replaces=dict.fromkeys(KEYS, OTHER)))
    assert publish(work, bucket, digest) == 3
    assert contents(bucket) == before


@pytest.mark.parametrize("gone", [KEYS, KEYS[-1:]], ids=["all", "one"])
def test_what_a_plan_replaces_and_is_not_there_is_not_created_in_its_place(theirs, replacing, bucket, capsys, gone):
    """Neither a receipt nor a record says of a new object that it replaced another one."""
    work, digest = replacing
    for key in gone:
        (bucket / key).unlink()
    (work / "receipt.json").unlink(missing_ok=True)
    before = contents(bucket)
    assert publish(work, bucket, digest) == 8
    err = capsys.readouterr().err
    assert f"{gone[-1] if len(gone) == 1 else FIRST} is not in {bucket.as_uri()}" in err
    assert "the plan replaces" in err
    assert contents(bucket) == before  # also the claims of the one that is complete
    assert not (work / "receipt.json").exists()


def test_in_an_empty_bucket_nothing_is_replaced(replacing, bucket):
    assert publish(replacing[0], bucket, replacing[1]) == 8
    assert contents(bucket) == {}


def test_what_is_removed_while_it_is_being_replaced_ends_the_release(theirs, replacing, bucket, monkeypatch):
    look = Publisher._look

    def removed(self, held):
        look(self, held)
        (bucket / LAST).unlink()

    monkeypatch.setattr(Publisher, "_look", removed)
    assert publish(replacing[0], bucket, replacing[1]) == 8
    assert not (bucket / LAST).exists()
    assert not (bucket / marker_key(replacing[1])).exists()


def test_what_was_removed_from_a_complete_release_that_replaced_another_is_put_back(theirs, replacing, bucket):
    work, digest = replacing
    assert publish(work, bucket, digest) == 0
    before = contents(bucket)
    (bucket / LAST).unlink()
    assert publish(work, bucket, digest) == 0
    assert contents(bucket) == before


def test_of_two_that_replace_the_same_release_one_does(theirs, replacing, bucket, tmp_path):
    work, digest = replacing
    assert publish(work, bucket, digest) == 0
    before = contents(bucket)
    late = tmp_path / "late"
    replaces = claim_of(bucket, FIRST).replaces | claim_of(bucket, LAST).replaces
    late_digest = another(late, plan=make_plan(replaces=replaces))
    written = []
    write = FolderBucket.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            FolderBucket, "write", lambda *args, **named: (written.append(named["match"]), write(*args, **named))[1]
        )
        assert publish(late, bucket, late_digest) == 3
    assert written == [None]  # tried to create the first claim, and never took it from the one that has it
    assert contents(bucket) == before


def test_what_was_replaced_does_not_come_back_when_its_old_run_is_repeated(made, theirs, replacing, bucket, tmp_path):
    """What it once replaced lies there again, put back by a third release: that is no leave to replace it again."""
    work, digest = replacing
    assert publish(work, bucket, digest) == 0
    back = tmp_path / "theirs"
    back_digest = another(back, plan=make_plan(replaces={key: file_sha256(bucket / key) for key in KEYS}))
    assert publish(back, bucket, back_digest) == 0
    before = contents(bucket)
    assert {key: before[key] for key in KEYS} == {
        key: (made["theirs"][0] / path).read_bytes() for key, path in sent(back)
    }
    assert publish(work, bucket, digest) == 3
    assert contents(bucket) == before


def test_whoever_loses_while_replacing_puts_the_old_claims_back(theirs, replacing, bucket):
    old = contents(bucket)
    (bucket / claim_key(LAST)).write_text(encode_text(replace(claim_of(bucket, LAST), approved=OTHER)))
    before = contents(bucket)
    assert publish(replacing[0], bucket, replacing[1]) == 3
    assert contents(bucket) == before
    assert before[claim_key(FIRST)] == old[claim_key(FIRST)]


def test_one_format_is_not_released_twice_by_plans_of_other_formats(theirs, bucket, tmp_path):
    """A plan of one format wants only the second claim of a release of two."""
    before = contents(bucket)
    work = tmp_path / "one"
    artifact = next(artifact for artifact in PLAN.artifacts if artifact.key == LAST)
    assert publish(work, bucket, reviewed(work, plan=make_plan(artifacts=(artifact,)))) == 3
    assert contents(bucket) == before


# --- interrupted

SCENES = ("fresh", "replacing", "taking over")


@pytest.fixture
def scene(request, made, replacing, tmp_path):
    """Return (work folder, digest, further options, what lies in the bucket before)."""
    start = tmp_path / "start"
    start.mkdir()
    if request.param == "fresh":
        return *made["mine"], (), start
    work, digest = made["theirs"]
    assert publish(work, start, digest) == 0
    if request.param == "replacing":
        return *replacing, (), start
    (start / marker_key(digest)).unlink()
    return *made["mine"], ("--take-over", digest), start


@pytest.mark.parametrize("scene", SCENES, indirect=True)
def test_killed_at_any_request_and_run_again_it_is_as_if_never_interrupted(scene, tmp_path):
    """Before each: what the one before has done is there then."""
    work, digest, more, start = scene
    whole = shutil.copytree(start, tmp_path / "whole")
    assert publish(work, whole, digest, *more) == 0
    wanted = masked(contents(whole))
    addresses = [(tmp_path / f"killed-{number}").as_uri() for number in range(1000)]
    arguments = ["--work", work, "-q", "publish", "--approved", digest, *more]
    said = killed_at_every_request(arguments, addresses, when="before", start=start)
    assert len(said) > 60
    assert said == [[-9, 0]] * (len(said) - 1) + [[0, None]]
    for number in range(len(said)):
        assert masked(contents(tmp_path / f"killed-{number}")) == wanted
        # Killed between the last object and the end of its first name: the next one who writes sweeps that away.
        assert len(list((tmp_path / f"killed-{number}" / ".arriving").iterdir())) <= 1


@pytest.mark.parametrize("scene", SCENES, indirect=True)
def test_a_run_continues_what_many_killed_ones_left(scene, tmp_path):
    work, digest, more, start = scene
    whole = shutil.copytree(start, tmp_path / "whole")
    assert publish(work, whole, digest, *more) == 0
    bucket = shutil.copytree(start, tmp_path / "bucket")
    arguments = ["--work", work, "-q", "publish", "--approved", digest, *more]
    said = killed_at_every_request(arguments, [bucket.as_uri()] * 1000, when="after", again=False, step=3)
    assert len(said) > 10
    assert said == [[-9, None]] * (len(said) - 1) + [[0, None]]
    assert masked(contents(bucket)) == masked(contents(whole))
