"""A run goes on where it stopped: what is finished is kept, what changed runs again, and nothing else does."""

from __future__ import annotations

import json
import shutil

import pytest
import toy_stages
from model_files import Files, bare, dense

from release_tool.cli import run
from release_tool.core.finetune.stages import RULES, Stage
from release_tool.run_folder import RunFolder

EVERY = list(Stage)


@pytest.fixture
def ran(monkeypatch):
    return toy_stages.put(monkeypatch)


@pytest.fixture
def recipe(tmp_path):
    return toy_stages.write_project(tmp_path / "project")


@pytest.fixture
def go(tmp_path, recipe, ran):
    """Return a call of ``finetune`` that gives its exit code and forgets what ran before."""

    def call(*words):
        ran.clear()
        ran.parts.clear()
        return run(["-q", "--work", str(tmp_path / "work"), "finetune", *words])

    call.run = lambda *words: call("run", "--recipe", str(recipe), *words)
    call.folder = RunFolder.below(tmp_path / "work")
    return call


def digests(folder):
    run_folder = RunFolder(folder.path)
    return {stage: run_folder.finished(stage).digest for stage in Stage}


def change(recipe, old, new):
    text = recipe.read_text()
    assert old in text
    recipe.write_text(text.replace(old, new))


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


# --- plan -------------------------------------------------------------------------------------------------------------


def test_a_plan_is_a_readable_table_and_pins_a_folder_that_lies_beside_the_recipe(go, recipe, capsys):
    assert go("plan", "--recipe", str(recipe)) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["model"] == "acme"
    assert rows["base"].startswith("local/base@sha256:")
    assert len(rows["corpus"]) == 64
    plan = go.folder.plan()
    assert plan.folder == str(recipe.parent)
    (recipe.parent / "base" / "config.json").write_bytes(b"{}")
    assert go("plan", "--recipe", str(recipe), "--dry-run") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["pins"]["base"] != plan.pins["base"]
    assert go.folder.plan() == plan


@pytest.mark.parametrize(
    ("where", "architecture", "said"),
    [
        ("base", "BertForSequenceClassification", "The base is a cross-encoder"),
        ("base", "BertForQuestionAnswering", "The base is a model that answers questions"),
        ("teacher", "BertModel", "The teacher teacher is no cross-encoder but an encoder of single texts"),
        ("teacher", "BertForQuestionAnswering", "The teacher teacher is no cross-encoder but a model that answers"),
        ("teacher", "GemmaForCausalLM", ""),
        ("teacher", "BertForSequenceClassification", ""),
    ],
)
def test_a_model_of_the_wrong_kind_is_refused_by_the_plan(where, architecture, said, go, recipe, capsys):
    config = {"architectures": [architecture], "id2label": {"0": "LABEL_0"}}
    shutil.rmtree(recipe.parent / where, ignore_errors=True)
    Files(bare(**{"config.json": {**bare()["config.json"], **config}})).write(recipe.parent / where)
    if where == "teacher":
        change(recipe, "models = []", 'models = ["teacher"]')
    assert go("plan", "--recipe", str(recipe)) == (4 if said else 0)
    assert said in capsys.readouterr().err
    assert (go.folder.last_plan() is None) == bool(said)


def test_every_file_that_a_recipe_names_and_that_is_not_there_is_listed_at_once(go, recipe, capsys):
    change(recipe, "articles.jsonl", "~nobody-is-called-so/a.jsonl")
    recipe.write_text(
        recipe.read_text()
        + '[queries]\nprompt = "no.txt"\nexamples = "/dev/zero"\n[evaluate]\nsets = ["none"]\nguards = ["."]\n'
    )
    assert go("plan", "--recipe", str(recipe)) == 2
    said = capsys.readouterr().err
    for word in ("corpus.path", "queries.prompt", "queries.examples", "evaluate.sets", "evaluate.guards"):
        assert f"- {word}: " in said
    assert not go.folder.path.exists()


@pytest.mark.parametrize("name", ["absent.toml", "project", "/dev/zero"])
def test_a_recipe_that_cannot_be_read_is_named(name, go, recipe, capsys):
    assert go("plan", "--recipe", str(recipe.parent.parent / name)) == 2
    assert name.rpartition("/")[2] in capsys.readouterr().err


def test_a_plan_that_somebody_wrote_is_refused(go, recipe, capsys):
    go("plan", "--recipe", str(recipe))
    path = go.folder.path / "plan.json"
    path.write_text(path.read_text().replace('"seed"', '"sead"'))
    assert go("run") == 7
    assert "finetune plan" in capsys.readouterr().err
    assert go.run() == 0


@pytest.mark.usefixtures("ran")
class TestOfTheHub:
    """Models of a hub are pinned to a commit, once a run."""

    @pytest.fixture
    def repository(self, hub, recipe):
        change(recipe, '"base"', '"acme/base"')
        return hub.add("acme/base", Files(dense()).files)

    def test_a_branch_that_moves_moves_no_run_that_has_begun(self, repository, hub, go, recipe):
        go.run()
        pinned = go.folder.plan().pins["base"]
        assert pinned == f"acme/base@{repository.branches['main']}"
        repository.commit({"README.md": "new"})
        asked = len(hub.asked("/"))
        assert go.run() == 0
        assert len(hub.asked("/")) == asked
        assert go.folder.plan().pins["base"] == pinned
        assert go("plan", "--recipe", str(recipe)) == 0
        assert go.folder.plan().pins["base"] == f"acme/base@{repository.branches['main']}" != pinned

    def test_another_revision_is_pinned_at_once(self, repository, go, recipe):
        first = repository.branches["main"]
        repository.commit({"README.md": "new"})
        go.run()
        change(recipe, '"acme/base"', f'"acme/base"\nrevision = "{first}"')
        go.run()
        assert go.folder.plan().pins["base"] == f"acme/base@{first}"

    def test_a_model_that_is_not_there_is_an_error_of_the_source(self, repository, go, recipe, capsys):
        change(recipe, "acme/base", "acme/none")
        assert go("plan", "--recipe", str(recipe)) == 4
        assert "acme/none" in capsys.readouterr().err
        assert not go.folder.path.exists()


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
