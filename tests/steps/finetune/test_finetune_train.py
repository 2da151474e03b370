"""Stage train as a whole: what its process is told, and what the stage says of what came out."""

from __future__ import annotations

import shutil

import pytest
from finished_stages import finished
from toy_training import base_of, write_stages

from release_tool.cli import run
from release_tool.core.finetune.stages import Stage
from release_tool.run_folder import RunFolder

RECIPE = """[model]
name = "toy"
base = "base-dense"
max_length = 32
[corpus]
path = "articles.jsonl"
[teach]
models = []
[train]
steps = 4
batch_size = 8
total_batch_size = 16
learning_rate = 1e-3
save_steps = 2
{more}
"""
MADE = {Stage.CORPUS: "documents", Stage.SPLIT: "places", Stage.QUERIES: "queries", Stage.SELECT: "rows"}


def selected_run(folder, more=""):
    """Return a work folder whose stage train is next, with a dense base."""
    project = folder / "project"
    project.mkdir()
    base_of(project, "dense")
    (project / "articles.jsonl").write_text('{"text": "river"}\n')
    (project / "recipe.toml").write_text(RECIPE.format(more=more))
    work = folder / "work"
    assert run(["-q", "--work", str(work), "finetune", "plan", "--recipe", str(project / "recipe.toml")]) == 0
    write_stages(folder / "made")
    made = RunFolder.below(work)
    for stage in list(Stage)[: list(Stage).index(Stage.TRAIN)]:
        with finished(made, stage) as place:
            if stage in MADE:
                shutil.copytree(folder / "made" / MADE[stage], place, dirs_exist_ok=True)
    return work, made


def test_the_stage_trains_and_says_what_came_out(tmp_path, capsys):
    work, made = selected_run(tmp_path)
    assert run(["--work", str(work), "finetune", "train"]) == 0
    state = made.finished(Stage.TRAIN)
    assert {"log.jsonl", "model/model.safetensors", "model/modules.json", "model/tokenizer.json"} <= set(state.files)
    assert not (made.folder(Stage.TRAIN) / "scratch").exists()
    assert state.counts["steps"] == state.counts["steps_wanted"] == 4
    assert state.counts["rows"] == 96
    assert {"torch", "sentence-transformers", "accelerate"} <= set(state.versions)
    better = state.counts["dev_ndcg_at_10_after"] > state.counts["dev_ndcg_at_10_before"]
    assert ("No checkpoint is better on dev" in capsys.readouterr().err) is not better
    assert (
        run(["--work", str(tmp_path / "plan"), "plan", str(made.folder(Stage.TRAIN) / "model"), "--version", "1.0.0"])
        == 0
    )


@pytest.mark.parametrize(
    ("more", "processes"),
    [
        ("", 0),
        ("processes = 2", 2),
        ('[engine]\nname = "torchrun"', 1),
        ("processes = 3\n[engine]\nname = 'torchrun'", 3),
    ],
)
def test_torchrun_is_used_where_the_recipe_wants_it(more, processes):
    from release_tool.core.finetune.recipe import parse_recipe
    from release_tool.steps.finetune.running import Work
    from release_tool.steps.finetune.train import processes_of

    class Plan:
        recipe = parse_recipe(RECIPE.format(more=more).encode())

    assert processes_of(Work(context=None, plan=Plan(), run=None, folder=None)) == processes
