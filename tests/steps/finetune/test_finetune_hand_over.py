"""``finetune hand-over``: what the folder holds, what a red gate asks for, and what release-tool plan makes of it."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import yaml
from finetuned import evaluated_set, evaluation, finish_evaluate, measures, write_run

from release_tool.cli import run
from release_tool.core.card import read_card
from release_tool.core.finetune.stages import Stage
from release_tool.core.plan import ReleasePlan
from release_tool.documents import WorkFolder
from release_tool.run_folder import RunFolder

REASON = "the old base is withdrawn"
BAD = "d1\n::error::x | <script>"


@pytest.fixture
def green(tmp_path):
    found = write_run(tmp_path / "project", keys='[hand_over]\ndescription = "Finds rivers: quickly & <b>well</b>."\n')
    finish_evaluate(found, evaluation(evaluated_set()))
    return found


@pytest.fixture
def red(tmp_path):
    found = write_run(tmp_path / "project", better=False)
    finish_evaluate(found, evaluation(evaluated_set(after=measures(0.5), p=1.0)))
    return found


def hand_over(found, *more):
    return run(["--work", str(found.work), "finetune", "hand-over", *more])


def model(found):
    return found.folder.folder(Stage.HAND_OVER) / "model"


def lineage(found):
    return json.loads((model(found) / "lineage.json").read_text())


def planned(found, *more):
    work = found.work.parent / "release"
    assert run(["-q", "--work", str(work), "plan", str(model(found)), "--version", "1.0.0", *more]) == 0
    return WorkFolder(work).read(ReleasePlan, "plan.json", made_by="plan")


def test_the_folder_holds_the_trained_model_byte_for_byte_and_says_where_it_comes_from(green, capsys):
    assert hand_over(green) == 0
    trained = green.folder.folder(Stage.TRAIN) / "model"
    for path in trained.rglob("*"):
        if path.is_file():
            assert (model(green) / path.relative_to(trained)).read_bytes() == path.read_bytes()
    said = lineage(green)
    assert said["verdict"] == "better"
    assert said["accepted"] is None
    assert said["metrics"]["held-out"]["p"] == 0.01
    assert said["dollars"] == pytest.approx(0.25 * 8)
    assert set(said["stages"]) == {stage.value for stage in Stage} - {"hand-over"}
    assert said["recipe"]["model.name"] == "acme"
    assert str(green.work.parent) not in (model(green) / "lineage.json").read_text()
    assert "release-tool plan" in capsys.readouterr().err


def test_the_card_is_yaml_that_the_hub_and_this_tool_read_alike(green):
    assert hand_over(green) == 0
    text = (model(green) / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    card = read_card(text.encode())
    assert front["license"] == "apache-2.0" == card.licences[0]
    assert front["library_name"] == "sentence-transformers"
    assert front["pipeline_tag"] == card.pipeline_tag == "sentence-similarity"
    assert not re.search(r"(?<!\\)<b>", text)
    assert card.description.startswith("Finds rivers")


def test_plan_takes_the_folder_and_carries_its_lineage_without_a_warning(green):
    assert hand_over(green) == 0
    plan = planned(green)
    assert plan.lineage == lineage(green)
    assert not [warning for warning in plan.warnings if "handed over" in warning or "hand-over" in warning]
    assert plan.source.licence.declared == "apache-2.0"
    # Each of them lies in a folder called model.
    assert plan.source.model_id == "local/acme"
    assert all("/acme/" in artifact.key for artifact in plan.artifacts)
    assert planned(green, "--model-id", "org/other").source.model_id == "org/other"


def test_a_red_gate_hands_nothing_over_and_lists_the_reasons(red, capsys):
    assert hand_over(red) == 6
    said = capsys.readouterr().err
    assert "evaluate.max_p" in said
    assert "--accept-worse" in said
    assert not model(red).exists()
    assert RunFolder.below(red.work).finished(Stage.HAND_OVER) is None
    assert hand_over(red) == 6, "a refused one is not finished"


@pytest.mark.parametrize("reason", ["", "short", "x" * 501])
def test_a_reason_must_say_something(red, reason, capsys):
    assert hand_over(red, "--accept-worse", reason) == 2
    assert "characters" in capsys.readouterr().err


def test_a_reason_hands_a_worse_model_over_and_is_a_warning_of_the_release(red):
    assert hand_over(red, "--accept-worse", REASON) == 0
    said = lineage(red)
    assert (said["verdict"], said["accepted"]) == ("not better", REASON)
    assert any(REASON in warning for warning in planned(red).warnings)
    assert REASON in (model(red) / "README.md").read_text()
    first = RunFolder.below(red.work).finished(Stage.HAND_OVER).digest
    assert hand_over(red) == 0, "it is done: nobody is asked twice"
    assert RunFolder.below(red.work).finished(Stage.HAND_OVER).digest == first
    assert hand_over(red, "--accept-worse", "another reason, which counts") == 0
    assert lineage(red)["accepted"] == "another reason, which counts"


def test_a_reason_that_nobody_needs_is_not_written_down(green):
    assert hand_over(green, "--accept-worse", REASON) == 0
    assert lineage(green)["accepted"] is None


def test_the_same_run_gives_the_same_bytes(green):
    assert hand_over(green) == 0
    first = RunFolder.below(green.work).finished(Stage.HAND_OVER)
    assert hand_over(green, "--again") == 0
    assert RunFolder.below(green.work).finished(Stage.HAND_OVER).digest == first.digest


def test_weights_that_are_changed_after_the_hand_over_are_a_warning_of_the_release(green):
    assert hand_over(green) == 0
    path = model(green) / "config.json"
    path.write_text(path.read_text() + "\n")
    assert any("changed after hand-over" in warning for warning in planned(green).warnings)


@pytest.mark.parametrize("text", ['{"a": "' + "x" * 70_000 + '"}', "[" * 9 + "]" * 9, '{"a":' * 9 + "1" + "}" * 9])
def test_plan_refuses_a_lineage_that_no_ledger_can_carry(green, text, capsys):
    assert hand_over(green) == 0
    (model(green) / "lineage.json").write_text(text)
    work = green.work.parent / "release"
    assert run(["-q", "--work", str(work), "plan", str(model(green)), "--version", "1.0.0"]) == 4
    assert "lineage.json can't be used" in capsys.readouterr().err


def test_hostile_names_are_markup_nowhere(tmp_path):
    found = write_run(tmp_path / "project", better=False)
    finish_evaluate(found, evaluation(evaluated_set(p=1.0), evaluated_set(BAD, sha256="1" * 64)))
    assert hand_over(found, "--accept-worse", f"because {BAD}") == 0
    card = (model(found) / "README.md").read_text()
    assert not re.search(r"(?<!\\)<script", card)
    assert not [line for line in card.splitlines() if line.startswith("::")]
    warning = next(one for one in planned(found).warnings if "because" in one)
    assert "\n" not in warning


@pytest.mark.parametrize("how", ["changed", "gone", "more"])
def test_a_model_that_changed_since_it_was_brought_here_is_found(how, green, capsys):
    assert hand_over(green) == hand_over(green, "--again") == 0
    (folder,) = (green.work / "finetune" / "models").iterdir()
    place = folder / ("extra.json" if how == "more" else "config.json")
    if how == "gone":
        place.unlink()
    else:
        place.write_text("{}")
    assert hand_over(green, "--again") == 7
    assert f"The model in {folder} is not the one that the run was planned with" in capsys.readouterr().err
    shutil.rmtree(folder)
    assert hand_over(green, "--again") == 0
