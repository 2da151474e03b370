"""What a state keeps of the files of a run: pieces, changes, and of scratch only what is whole."""

from __future__ import annotations

import shutil

import pytest

from release_tool.core.finetune.stages import Stage
from release_tool.core.finetune.state_log import FolderChange, KeptFile, Piece, StateEntry, apply, file_problem
from release_tool.run_folder import RunFolder
from release_tool.services.bucket_folder import FolderBucket
from release_tool.services.finetune import state_pieces
from release_tool.services.finetune.state_claim import HeldClaim
from release_tool.services.finetune.state_pieces import Receiver, Sender
from release_tool.services.finetune.state_store import StateStore


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


def replay(entries):
    state = {}
    for entry in entries:
        apply(state, entry)
    return state


def test_entries_replayed_say_what_is_there():
    def entry(mark, gone=(), **files):
        kept = {name: KeptFile(size=0, sha256=sha * 64, pieces=()) for name, sha in files.items()}
        return StateEntry(by="x", folders={"s": FolderChange(mark=mark, files=kept, gone=gone)})

    state = replay([entry("1", a="0", b="0"), entry("1", a="1", gone=("b",)), entry("1", c="2")])
    assert {name: file.sha256[0] for name, file in state["s"].files.items()} == {"a": "1", "c": "2"}
    assert list(replay([entry("1", a="0"), entry("2", b="0")])["s"].files) == ["b"]


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
