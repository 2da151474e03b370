"""A run goes on where it stopped: what is finished is kept, what changed runs again, and nothing else does."""

from __future__ import annotations

import json
import shutil

import pytest

from release_tool.core.finetune.stages import RULES, Stage
from release_tool.run_folder import RunFolder

EVERY = list(Stage)


def digests(folder):
    run_folder = RunFolder(folder.path)
    return {stage: run_folder.finished(stage).digest for stage in Stage}


def test_every_stage_runs_once_in_order_and_then_never_again(go, ran):
    assert go.run() == 0
    assert ran == EVERY
    first = digests(go.folder)
    assert go.run() == go("run") == 0
    assert ran == []
    assert digests(go.folder) == first
    assert not list(go.folder.path.rglob("scratch"))


@pytest.mark.parametrize("stage", [Stage.CORPUS, Stage.MINE, Stage.HAND_OVER])
def test_a_stage_that_failed_half_way_keeps_what_it_had_finished(stage, go, ran):
    go.run()
    whole = digests(go.folder)
    shutil.rmtree(go.folder.path)
    ran.fail = {stage}
    assert go.run() == 130
    ran.fail = set()
    assert go.run() == 0
    assert ran == EVERY[EVERY.index(stage) :]
    assert (stage, 0) not in ran.parts
    assert (stage, 1) in ran.parts
    assert digests(go.folder) == whole


def test_a_changed_document_runs_everything_again_and_the_old_one_back_gives_the_old_digests(go, ran, recipe):
    go.run()
    first = digests(go.folder)
    articles = recipe.parent / "articles.jsonl"
    before = articles.read_text()
    articles.write_text(before + before)
    assert go.run() == 0
    assert ran == EVERY
    assert digests(go.folder) != first
    articles.write_text(before)
    assert go.run() == 0
    assert digests(go.folder) == first


def test_a_changed_key_runs_its_stage_and_stops_where_the_bytes_are_the_same(go, ran, recipe):
    go.run()
    recipe.write_text(recipe.read_text() + "[mine]\nskip = 3\n")
    assert go.run() == 0
    assert ran == [Stage.MINE, Stage.HAND_OVER], "the lineage names every key"


def test_what_was_made_of_other_inputs_is_thrown_away_part_by_part(go, ran, recipe):
    ran.fail = {Stage.MINE}
    go.run()
    recipe.write_text(recipe.read_text() + "[mine]\nskip = 3\n")
    ran.fail = set()
    go.run()
    assert (Stage.MINE, 0) in ran.parts


@pytest.mark.parametrize(
    "how", [lambda path: path.write_text("{}\n"), lambda path: path.unlink(), lambda path: path.write_bytes(b"")]
)
def test_a_file_that_changed_after_its_stage_is_found_and_never_used(how, go, ran, capsys):
    go.run()
    how(go.folder.folder(Stage.SPLIT) / "numbers-00000.jsonl")
    assert go.run() == 7
    assert ran == []
    said = capsys.readouterr().err
    assert "02-split/numbers-00000.jsonl is not what finetune split made." in said
    assert "Remove 02-split" in said
    assert go("status") == 7


def test_a_changed_file_of_a_stage_that_has_to_run_anyway_is_in_nobodys_way(go, ran, recipe):
    go.run()
    (go.folder.folder(Stage.MINE) / "numbers-00000.jsonl").write_text("{}\n")
    recipe.write_text(recipe.read_text() + "[mine]\nskip = 3\n")
    assert go.run() == 0
    assert ran == [Stage.MINE, Stage.HAND_OVER]


def test_a_stage_by_itself_runs_once_and_again_from_its_beginning_when_asked(go, ran):
    go.run()
    assert go("mine") == 0
    assert ran == []
    assert go("mine", "--again") == 0
    assert ran == [Stage.MINE]
    assert ran.parts == [(Stage.MINE, 0), (Stage.MINE, 1)]


def test_a_stage_whose_stages_before_are_not_done_names_the_one_to_run(go, recipe, capsys):
    assert go("mine") == 2
    assert "finetune plan first" in capsys.readouterr().err
    assert go("plan", "--recipe", str(recipe)) == 0
    assert go("mine") == 2
    assert "The stage corpus is not done" in capsys.readouterr().err


def test_to_stops_after_a_stage_and_an_unknown_one_names_the_nearest(go, ran, capsys):
    assert go.run("--to", "queries") == 0
    assert ran == [Stage.CORPUS, Stage.SPLIT, Stage.QUERIES]
    assert go.run("--to", "querys") == 2
    assert "There is no stage 'querys': did you mean queries?" in capsys.readouterr().err
    assert ran == []


def test_dry_run_says_what_would_run_and_changes_nothing(go, ran, recipe, capsys):
    assert go.run("--dry-run") == 0
    assert not go.folder.path.parent.exists()
    assert [line.split()[:3] for line in capsys.readouterr().out.splitlines()] == [
        [stage.value, "to", "run"] for stage in Stage
    ]
    go.run()
    capsys.readouterr()
    recipe.write_text(recipe.read_text() + "[train]\nsteps = 3\n")
    assert go.run("--dry-run", "--json") == 0
    rows = {row["stage"]: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert rows == {stage.value: "to run" if stage in (Stage.TRAIN, *later(Stage.TRAIN)) else "done" for stage in Stage}
    assert ran == []


def later(stage):
    return [one for one in Stage if stage in RULES[one].after]


def test_status_says_what_is_done_begun_and_to_run(go, ran, capsys):
    ran.fail = {Stage.FILTER}
    go.run()
    capsys.readouterr()
    assert go("status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["corpus", "done", "0", "s", "rows", "2,", "share", "dropped", "0.125"]
    assert lines[3].split() == ["filter", "begun"]
    assert lines[4].split() == ["mine", "to", "run"]
    assert go("status", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["counts"] == {"rows": 2, "share_dropped": 0.125}
    assert rows[0]["dollars"] == 0.5
    assert rows[3]["seconds"] is None


def test_a_run_without_a_plan_says_what_to_do(go, capsys):
    for words in (("run",), ("run", "--dry-run"), ("status",)):
        assert go(*words) == 2
        assert "plan.json is not in the work folder" in capsys.readouterr().err


# --- what has to be installed -----------------------------------------------------------------------------------------


def test_a_missing_package_is_named_before_any_stage_runs(go, ran, monkeypatch, capsys):
    monkeypatch.setattr("release_tool.services.extras.FINETUNE_EXTRAS", {
        "trace": {}, "quality": {"no-such-package-at-all": "1"}, "finetune": {},
    })  # fmt: skip
    assert go.run() == 2
    assert ran == []
    said = capsys.readouterr().err
    assert "needs the package 'no-such-package-at-all'" in said
    assert "pip install 'release-tool[trace,quality,finetune]'" in said
    assert go.run("--to", "train") == 0
    assert go("evaluate") == 2


def test_the_packages_that_are_looked_for_are_those_of_the_extra(repository):
    import configparser

    from packaging.requirements import Requirement

    from release_tool.services import extras

    parser = configparser.ConfigParser()
    parser.read(repository / "setup.cfg", encoding="utf-8")
    for extra, packages in extras.FINETUNE_EXTRAS.items():
        lines = [line for line in parser["options.extras_require"][extra].splitlines() if line and line[0] != "#"]
        wanted = {}
        for requirement in map(Requirement, lines):
            (oldest,) = [one.version for one in requirement.specifier if one.operator == ">="]
            wanted[requirement.name] = oldest
        assert packages == wanted
