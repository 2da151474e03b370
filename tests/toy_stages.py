"""Stages of a fine-tuning run that do little work, each in the way of the real ones: parts in, parts out, counts."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import ClassVar

from model_files import Files, dense

from release_tool.core.finetune.stages import RULES, Stage
from release_tool.part_files import make_part, part_path, read_rows
from release_tool.steps.finetune.running import Made

RECIPE = """[model]
name = "acme"
base = "base"

[corpus]
path = "articles.jsonl"

[teach]
models = []
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A row of every stage."""

    STEM: ClassVar[str] = "numbers"

    stage: str
    value: int


class Ran(list):
    """The stages that were run, in order; ``fail`` names those that fail half way."""

    def __init__(self):
        super().__init__()
        self.fail = set()
        self.parts = []


def make_of(stage, ran):
    """Return a stage that makes two parts: what it read, summed, and how many rows that was."""

    def make(work):
        ran.append(stage)
        read = [row.value for before in RULES[stage].after for row in read_rows(work.of(before), Number)]
        first = len(work.place("articles.jsonl").read_bytes()) if stage is Stage.CORPUS else sum(read) % 1000

        def rows(number, value):
            ran.parts.append((stage, number))
            return [Number(stage=stage.value, value=value)]

        make_part(part_path(work.folder, Number.STEM, 0), lambda: rows(0, first))
        if stage in ran.fail:
            raise KeyboardInterrupt
        (work.scratch / "index").write_text("made again when it is gone")
        make_part(part_path(work.folder, Number.STEM, 1), lambda: rows(1, len(read)))
        return Made(counts={"rows": 2, "share_dropped": 0.125}, dollars=0.5)

    return make


def put(monkeypatch):
    """Put them in the place of the real ones and return the list of those that were run."""
    ran = Ran()
    for stage in Stage:
        module = importlib.import_module(f"release_tool.steps.finetune.{stage.value.replace('-', '_')}")
        monkeypatch.setattr(module, "make", make_of(stage, ran))
    return ran


def put_for_good():
    """Put them there in a process of their own."""
    ran = Ran()
    for stage in Stage:
        module = importlib.import_module(f"release_tool.steps.finetune.{stage.value.replace('-', '_')}")
        module.make = make_of(stage, ran)


def write_project(folder):
    """Write a recipe, its documents and its base model into a folder, and return the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    Files(dense()).write(folder / "base")
    (folder / "articles.jsonl").write_text('{"text": "one"}\n')
    (folder / "recipe.toml").write_text(RECIPE)
    return folder / "recipe.toml"
