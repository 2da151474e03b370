"""The state of a run in S3 or a folder: another machine goes on, one at a time, and trusts no byte that arrives."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import toy_stages

from release_tool import documents
from release_tool.cli import run
from release_tool.core.codec import encode_text
from release_tool.core.finetune.stages import Stage
from release_tool.core.finetune.state_log import (
    Claim,
    FolderChange,
    KeptFile,
    Piece,
    StateEntry,
    file_problem,
    replay,
)
from release_tool.errors import IntegrityError, Unreachable, WorkFolderBusy
from release_tool.run_folder import RunFolder
from release_tool.services.bucket_folder import FolderBucket
from release_tool.services.finetune import state_claim, state_keeper, state_pieces
from release_tool.services.finetune.state_claim import HeldClaim
from release_tool.services.finetune.state_keeper import keeping
from release_tool.services.finetune.state_pieces import Receiver, Sender
from release_tool.services.finetune.state_store import StateStore
from release_tool.steps.finetune.state import VARIABLE, bucket_at

EVERY = list(Stage)


@pytest.fixture
def ran(monkeypatch):
    return toy_stages.put(monkeypatch)


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path):
    if request.param == "folder":
        return str(tmp_path / "state")
    return f"s3://{request.getfixturevalue('s3').make_bucket()}/runs/acme"


@pytest.fixture
def on(tmp_path, ran):
    """Return a call of ``finetune run`` on a machine: a project, a work folder, and the state that all share."""

    def call(machine, place, *words):
        ran.clear()
        ran.parts.clear()
        project = tmp_path / machine
        if not project.exists():
            toy_stages.write_project(project)
        base = ["-q", "--work", str(project / "work"), "finetune", "run", "--recipe", str(project / "recipe.toml")]
        return run([*base, "--state", place, *words])

    call.folder = lambda machine: RunFolder.below(tmp_path / machine / "work")
    return call


def digests(folder):
    return {stage: folder.finished(stage).digest for stage in Stage}


def test_a_second_machine_takes_every_stage_and_runs_none(place, on, ran):
    assert on("a", place) == 0
    assert ran == EVERY
    assert on("b", place) == 0
    assert ran == []
    assert digests(on.folder("b")) == digests(on.folder("a"))
    assert not list(on.folder("b").path.rglob(".*.part"))
    assert bucket_at(place).head("claim.json") is None


def test_a_second_machine_goes_on_in_the_middle_of_a_stage(place, on, ran, tmp_path):
    paid = on.folder("a").path / "paid" / "ab" / "answer.json"
    paid.parent.mkdir(parents=True)
    paid.write_text('{"raw": "it was paid for"}')
    toy_stages.write_project(tmp_path / "a")
    ran.fail = {Stage.MINE}
    assert on("a", place) == 130
    ran.fail = set()
    assert on("b", place) == 0
    assert ran == EVERY[EVERY.index(Stage.MINE) :]
    assert (Stage.MINE, 0) not in ran.parts
    assert (Stage.MINE, 1) in ran.parts
    assert (on.folder("b").path / "paid" / "ab" / "answer.json").read_bytes() == paid.read_bytes()
    assert on("a", place) == 0
    assert ran == []
    assert digests(on.folder("a")) == digests(on.folder("b"))


def test_what_was_made_of_other_inputs_is_not_taken(tmp_path, on, ran):
    place = str(tmp_path / "state")
    on("a", place)
    toy_stages.write_project(tmp_path / "b")
    recipe = tmp_path / "b" / "recipe.toml"
    recipe.write_text(recipe.read_text() + "[mine]\nskip = 3\n")
    assert on("b", place) == 0
    assert ran == [Stage.MINE, Stage.HAND_OVER]
    # The other machine's is what lies there now; a third with the first recipe makes that stage again.
    assert on("c", place) == 0
    assert ran == [Stage.MINE, Stage.HAND_OVER]
    assert digests(on.folder("c")) == digests(on.folder("a"))


def test_a_run_without_state_can_be_given_one_afterwards(tmp_path, on, ran):
    place = str(tmp_path / "state")
    assert on("a", str(tmp_path / "other")) == 0
    assert on("a", place) == 0
    assert ran == []
    assert on("b", place) == 0
    assert ran == []


def test_nothing_new_writes_nothing(tmp_path, on):
    place = tmp_path / "state"
    on("a", str(place))
    before = sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())
    assert on("a", str(place)) == 0
    assert sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()) == before


def test_the_place_can_stand_in_the_environment_and_a_single_stage_takes_it(tmp_path, on, ran, monkeypatch):
    on("a", str(tmp_path / "state"), "--to", "mine")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    work = str(tmp_path / "b")
    ran.clear()
    recipe = str(tmp_path / "a" / "recipe.toml")
    assert run(["-q", "--work", work, "finetune", "run", "--recipe", recipe, "--to", "mine"]) == 0
    assert ran == []
    assert run(["-q", "--work", work, "finetune", "teach"]) == 0
    assert ran == [Stage.TEACH]
    assert on("c", str(tmp_path / "state")) == 0
    assert ran == EVERY[EVERY.index(Stage.SELECT) :]


def test_a_plan_that_was_made_elsewhere_pins_here(tmp_path, on, ran):
    place = str(tmp_path / "state")
    assert on("a", place, "--to", "corpus") == 0
    work = str(tmp_path / "b" / "work")
    assert run(["-q", "--work", work, "finetune", "run", "--state", place, "--to", "split"]) == 0
    assert ran == [Stage.CORPUS, Stage.SPLIT]
    assert on.folder("b").plan() == on.folder("a").plan()


# --- what arrives is checked ------------------------------------------------------------------------------------------


def spoil_piece(place):
    path = max((place / "pieces").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def lose_pieces(place):
    shutil.rmtree(place / "pieces")


def lose_entry(place):
    (place / "log" / "00000002.json").unlink()


def spoil_entry(place):
    (place / "log" / "00000003.json").write_text("{}")


def rename_out(place):
    for path in (place / "log").iterdir():
        path.write_text(path.read_text().replace('"numbers-00000.jsonl"', '"../../../numbers-00000.jsonl"'))


@pytest.mark.parametrize("how", [spoil_piece, lose_pieces, lose_entry, spoil_entry, rename_out])
def test_what_was_changed_on_its_way_is_never_used(how, tmp_path, on, ran, capsys):
    place = tmp_path / "state"
    on("a", str(place))
    how(place)
    assert on("b", str(place)) == 7
    assert ran == []
    assert "--state" in capsys.readouterr().err
    assert not list(tmp_path.glob("b/**/numbers-00000.jsonl")) or how is not rename_out
    assert not list(tmp_path.glob("*/numbers-00000.jsonl"))
    assert not (place / "claim.json").exists()


@pytest.mark.parametrize("path", ["", "/a", "a//b", "../a", "a/../b", ".", "a\0", "a\n", "a\\b", "x/" * 600 + "x"])
def test_a_path_that_leads_elsewhere_is_no_file(path):
    assert file_problem(path, KeptFile(size=0, sha256="0" * 64, pieces=())) == "its path leads elsewhere"


@pytest.mark.parametrize(
    "file",
    [
        KeptFile(size=0, sha256="../x", pieces=()),
        KeptFile(size=1, sha256="0" * 64, pieces=(Piece(sha256="../../x", offset=0, size=1),)),
        KeptFile(size=1, sha256="0" * 64, pieces=(Piece(sha256="0" * 64, offset=-1, size=1),)),
        KeptFile(size=2, sha256="0" * 64, pieces=(Piece(sha256="0" * 64, offset=0, size=1),)),
    ],
)
def test_a_file_whose_pieces_are_none_is_refused(file):
    assert file_problem("a", file)


def test_files_of_all_sizes_arrive_as_they_were_and_small_ones_share_an_object(tmp_path, monkeypatch):
    monkeypatch.setattr(state_pieces, "PIECE_BYTES", 1000)
    monkeypatch.setattr(state_pieces, "SMALL_BYTES", 100)
    bucket, sender = FolderBucket(tmp_path / "bucket"), Sender(FolderBucket(tmp_path / "bucket"))
    sizes = {"empty": 0, "one": 1, "small": 99, "edge": 100, "piece": 1000, "more": 2500} | {
        f"s{n}": 50 for n in range(40)
    }
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes((number * 7 + size) % 256 for number in range(size)))
        sender.add(name, tmp_path / name)
    sender.flush()
    assert len(list(bucket.keys("pieces/"))) < 12
    receiver = Receiver(bucket)
    for name, file in sender.sent.items():
        receiver.bring(name, file, tmp_path / "there" / name)
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / name).read_bytes()
    assert sender.sent.keys() == sizes.keys()
    assert len(sender.sent["more"].pieces) == 3


def test_entries_replayed_say_what_is_there():
    def entry(mark, gone=(), **files):
        kept = {name: KeptFile(size=0, sha256=sha * 64, pieces=()) for name, sha in files.items()}
        return StateEntry(by="x", folders={"s": FolderChange(mark=mark, files=kept, gone=gone)})

    state = replay([entry("1", a="0", b="0"), entry("1", a="1", gone=("b",)), entry("1", c="2")])
    assert {name: file.sha256[0] for name, file in state["s"].files.items()} == {"a": "1", "c": "2"}
    assert list(replay([entry("1", a="0"), entry("2", b="0")])["s"].files) == ["b"]


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_of_scratch_only_what_is_whole_is_kept_and_what_is_swept_is_forgotten(tmp_path):
    bucket, path = FolderBucket(tmp_path / "state"), tmp_path / "run"
    folder = path / Stage.TRAIN.folder
    RunFolder(path).begin(Stage.TRAIN, "mark")
    for name in ("checkpoint-1", "checkpoint-2"):
        (folder / "scratch" / "checkpoints" / name / "inner").mkdir(parents=True)
        (folder / "scratch" / "checkpoints" / name / "inner" / "weights").write_text(name)
    (folder / "scratch" / "checkpoints" / "checkpoint-1" / "whole.json").write_text("{}")
    claim, _ = HeldClaim.take(bucket, "test", take_over=False)
    store = StateStore(bucket=bucket, path=path, claim=claim)
    store.push(Stage.TRAIN.folder)
    names = {"scratch/checkpoints/checkpoint-1/inner/weights", "scratch/checkpoints/checkpoint-1/whole.json"}
    assert set(store.kept[Stage.TRAIN.folder].files) == names
    other = StateStore(bucket=bucket, path=tmp_path / "other", claim=claim)
    other.load()
    assert other.bring_stage(Stage.TRAIN.folder, "another mark") is False
    assert not (tmp_path / "other").exists()
    assert other.bring_stage(Stage.TRAIN.folder, "mark") is False
    there = tmp_path / "other" / Stage.TRAIN.folder
    assert (there / "begun").read_text() == "mark"
    assert (there / "scratch/checkpoints/checkpoint-1/inner/weights").read_text() == "checkpoint-1"
    shutil.rmtree(folder / "scratch" / "checkpoints" / "checkpoint-1")
    store.push(Stage.TRAIN.folder)
    assert store.kept[Stage.TRAIN.folder].files == {}


# --- one at a time ----------------------------------------------------------------------------------------------------


def test_two_at_once_are_kept_apart_and_the_second_is_told_by_whom(place, on, ran, capsys):
    claim, before = HeldClaim.take(bucket_at(place), "finetune run", take_over=False)
    assert before == ""
    assert on("b", place) == 2
    assert ran == []
    said = capsys.readouterr().err
    assert f"finetune run ({os.getpid()}) on " in said
    assert "--take-over" in said
    claim.beat()
    claim.release()
    assert on("b", place) == 0


def test_of_many_at_once_one_has_the_claim(place):
    got, gate = [], threading.Barrier(6)

    def take():
        gate.wait()
        try:
            got.append(HeldClaim.take(bucket_at(place), "finetune run", take_over=False)[0])
        except WorkFolderBusy:
            got.append(None)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one is not None for one in got) == 1


def test_a_claim_that_nobody_renewed_for_long_is_given_up_by_itself(place, on, ran, monkeypatch):
    HeldClaim.take(bucket_at(place), "finetune run", take_over=False)
    monkeypatch.setattr(state_claim, "STALE_SECONDS", 0)
    assert on("b", place) == 0
    assert ran == EVERY


def test_who_was_taken_over_stops_at_its_next_word_and_harms_nothing(place, on):
    bucket = bucket_at(place)
    old, _ = HeldClaim.take(bucket, "finetune run", take_over=False)
    store = StateStore(bucket=bucket, path=Path("unused"), claim=old)
    assert on("b", place, "--take-over") == 0
    with pytest.raises(WorkFolderBusy, match="taken over"):
        old.beat()
    old.release()
    with pytest.raises(WorkFolderBusy, match="taken over"):
        store._append(StateEntry(by="me", folders={}))
    assert on("c", place) == 0


def test_a_command_that_is_taken_over_is_interrupted_where_it_stands(tmp_path, monkeypatch):
    monkeypatch.setattr(state_keeper, "BEAT_SECONDS", 0.05)
    bucket, said = FolderBucket(tmp_path / "state"), []

    def work():
        with keeping(bucket, tmp_path / "run", "first", take_over=False, say=said.append, warn=said.append):
            HeldClaim.take(bucket, "second", take_over=True)
            time.sleep(30)

    began = time.monotonic()
    with pytest.raises(WorkFolderBusy, match="taken over"):
        work()
    assert time.monotonic() - began < 20
    assert bucket.head("claim.json") is not None


def test_what_is_new_is_sent_while_a_stage_runs_and_a_store_that_is_away_is_only_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(state_keeper, "PUSH_SECONDS", 0.05)
    monkeypatch.setattr(state_keeper, "BEAT_SECONDS", 0.05)
    bucket, warned, path = FolderBucket(tmp_path / "state"), [], tmp_path / "run"
    write, away = FolderBucket.write, threading.Event()

    def failing(self, *args, **named):
        if away.is_set():
            raise Unreachable("No answer.")
        return write(self, *args, **named)

    monkeypatch.setattr(FolderBucket, "write", failing)
    with keeping(bucket, path, "test", take_over=False, say=print, warn=warned.append) as keeper:
        folder = RunFolder(path).begin(Stage.MINE, "mark")
        keeper.watch(Stage.MINE)
        away.set()
        (folder / "numbers-00000.jsonl").write_text("{}\n")
        wait_for(lambda: any("behind" in text for text in warned) and any("not renewed" in text for text in warned))
        away.clear()
        wait_for(lambda: "numbers-00000.jsonl" in keeper.store.kept.get(Stage.MINE.folder, FolderChange()).files)
        assert json.loads((tmp_path / "state" / "claim.json").read_text())["beats"] >= 0
    assert bucket.head("claim.json") is None


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_claim_that_somebody_wrote_can_write_nothing_into_a_terminal(tmp_path, on, capsys):
    place = tmp_path / "state"
    hostile = Claim(id="x", machine="\x1b[2J" + "m" * 500, command="\u202eevil\n", beats=1)
    place.mkdir()
    (place / "claim.json").write_text(encode_text(hostile))
    assert on("b", str(place)) == 2
    said = capsys.readouterr().err
    assert "\x1b[2J" not in said
    assert "\u202e" not in said
    assert len(said) < 1500


@pytest.mark.parametrize(
    "place", ["ftp://a/b", "s3://A", "s3://user:word@bucket/x", "file://x", "s3://bucket/../x", "https://bucket/x"]
)
def test_a_place_that_is_none_is_named(place, on, ran, capsys):
    assert on("a", place) == 2
    said = capsys.readouterr().err
    assert "- --state: " in said
    assert "word" not in said
    assert ran == []


def test_taking_over_needs_a_place_and_a_file_is_none(tmp_path, ran, capsys):
    recipe = toy_stages.write_project(tmp_path)
    words = ["-q", "--work", str(tmp_path / "work"), "finetune", "run", "--recipe", str(recipe)]
    assert run([*words, "--take-over"]) == 2
    assert run([*words, "--state", str(recipe)]) == 2
    assert ran == []
    assert "neither an address nor a folder" in capsys.readouterr().err


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import toy_stages
from release_tool.core.finetune.stages import Stage
from release_tool.services.finetune import state_keeper
from release_tool.part_files import make_part
import time
state_keeper.PUSH_SECONDS = 0.05
toy_stages.put_for_good()
from release_tool.steps.finetune import teach
whole = teach.make
def make(work):
    part = toy_stages.part_path(work.folder, toy_stages.Number.STEM, 0)
    ran = toy_stages.Ran()
    ran.fail = {Stage.TEACH}
    try:
        toy_stages.make_of(Stage.TEACH, ran)(work)
    except KeyboardInterrupt:
        pass
    time.sleep(2)
    os.kill(os.getpid(), signal.SIGKILL)
teach.make = make
from release_tool.cli import run
sys.exit(run(sys.argv[2:]))
"""


def test_a_machine_that_is_lost_in_the_middle_of_a_stage_loses_a_push_at_most(place, on, ran, tmp_path):
    recipe = toy_stages.write_project(tmp_path / "a")
    words = ["-q", "--work", str(tmp_path / "a" / "work"), "finetune", "run", "--recipe", str(recipe), "--state", place]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(Path(toy_stages.__file__).parent), *words], check=False, timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    assert on("b", place) == 2  # the lost one was heard of a moment ago
    assert on("b", place, "--take-over") == 0
    assert ran == EVERY[EVERY.index(Stage.TEACH) :]
    assert (Stage.TEACH, 0) not in ran.parts
    assert (Stage.TEACH, 1) in ran.parts


def test_a_full_disk_while_files_arrive_is_said_and_leaves_nothing_half(tmp_path, on, monkeypatch):
    on("a", str(tmp_path / "state"))
    bucket = FolderBucket(tmp_path / "state")
    claim, _ = HeldClaim.take(bucket, "test", take_over=False)
    store = StateStore(bucket=bucket, path=tmp_path / "b", claim=claim)
    store.load()
    kept = store.kept[Stage.SPLIT.folder]

    def full(*_):
        raise OSError(documents.NO_SPACE_ERRNO, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(state_pieces.os, "fsync", full)
        with pytest.raises(Exception, match="No space left"):
            store.bring_stage(Stage.SPLIT.folder, kept.mark)
    assert not (tmp_path / "b" / Stage.SPLIT.folder / "stage.json").exists()
    assert store.bring_stage(Stage.SPLIT.folder, kept.mark) is True
    with pytest.raises(IntegrityError):
        Receiver(bucket).bring("x", KeptFile(size=0, sha256="0" * 64, pieces=()), tmp_path / "x")
