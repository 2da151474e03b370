"""The state of a run in S3 or a folder: another machine goes on, one at a time, and trusts no byte that arrives."""

from __future__ import annotations

import shutil

import pytest
import toy_stages

from release_tool import documents
from release_tool.cli import run
from release_tool.core.finetune.stages import Stage
from release_tool.core.finetune.state_log import KeptFile
from release_tool.errors import IntegrityError
from release_tool.services.bucket_folder import FolderBucket
from release_tool.services.finetune import state_pieces
from release_tool.services.finetune.state_claim import HeldClaim
from release_tool.services.finetune.state_pieces import Receiver
from release_tool.services.finetune.state_store import StateStore
from release_tool.steps.finetune.state import VARIABLE, bucket_at

EVERY = list(Stage)


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


@pytest.mark.parametrize(
    "place", ["ftp://a/b", "s3://A", "s3://user:word@bucket/x", "file://x", "s3://bucket/../x", "https://bucket/x"]
)
def test_a_place_that_is_none_is_named(place, on, ran, capsys):
    assert on("a", place) == 2
    said = capsys.readouterr().err
    assert "- --state: " in said
    assert "word" not in said
    assert ran == []


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
