"""Filter and mine, killed at any place and run again, make what they make in one go."""

from __future__ import annotations

import pytest
import searched_runs
from chance import seeded
from killed_places import killed_everywhere
from searched_runs import World, call

from release_tool.core.finetune.stages import Stage

PLACES = [
    "pathlib:Path.replace",
    "pathlib:Path.rename",
    "release_tool.services.finetune.tantivy_engine:_end",
    "shutil:rmtree",
]
MODULES = [
    "tantivy", "bm25s", "numpy", "release_tool.steps.finetune.mining", "release_tool.steps.finetune.filtering",
    "release_tool.services.finetune.tantivy_engine", "release_tool.services.finetune.bm25s_engine",
    "release_tool.document_table", "release_tool.text_lookup",
]  # fmt: skip


def world(engine):
    draw = seeded(5)
    words = [f"w{number}" for number in range(40)]
    texts = {f"d{number}": " ".join(draw.choices(words, k=9)) for number in range(15)}
    splits = {name: "dev" for number, name in enumerate(texts) if number % 7 == 0}
    asked = [(f"q{number}", " ".join(draw.choices(words, k=3)), f"d{number % 15}") for number in range(14)]
    keys = f'[mine]\nengine = "{engine}"\ndepth = 6\n[filter]\nround_trip_depth = 15\n'
    return World(documents=texts, queries=asked, splits=splits, keys=keys)


@pytest.mark.parametrize(("stage", "engine"), [("filter", "tantivy"), ("mine", "tantivy"), ("mine", "bm25s")])
def test_a_stage_that_was_killed_makes_the_same_when_it_is_run_again(tmp_path, stage, engine):
    work = world(engine).write(tmp_path)
    if stage == "mine":
        assert call(work, "filter") == 0
    digests, killed = killed_everywhere(work, stage, modules=MODULES, places=PLACES, step=3)
    assert killed > 3
    assert len(set(digests)) == 1
    assert call(work, stage) == 0
    assert searched_runs.digest(work, Stage(stage)) == digests[0]
