"""A plan pins what a recipe names, and refuses what can't be had before anything is done."""

from __future__ import annotations

import json
import shutil

import pytest
from model_files import Files, bare, dense


def change(recipe, old, new):
    text = recipe.read_text()
    assert old in text
    recipe.write_text(text.replace(old, new))


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
