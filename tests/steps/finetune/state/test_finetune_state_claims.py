"""One command at a time works on a state: who holds it is told, heard of, and taken over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import toy_stages

from release_tool.cli import run
from release_tool.core.codec import encode_text
from release_tool.core.finetune.stages import Stage
from release_tool.core.finetune.state_log import Claim, FolderChange, StateEntry
from release_tool.errors import Unreachable, WorkFolderBusy
from release_tool.run_folder import RunFolder
from release_tool.services.bucket_folder import FolderBucket
from release_tool.services.finetune import state_claim, state_keeper
from release_tool.services.finetune.state_claim import HeldClaim
from release_tool.services.finetune.state_keeper import keeping
from release_tool.services.finetune.state_store import StateStore
from release_tool.steps.finetune.state import bucket_at

EVERY = list(Stage)


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
