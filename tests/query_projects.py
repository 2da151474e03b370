"""A project of fine-tuning with documents and the base of a model, and its runs up to queries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from chat_double import MODEL
from model_files import Files, dense

from release_tool.cli import run
from release_tool.core.finetune.records import Query
from release_tool.core.finetune.stages import Stage
from release_tool.part_files import read_rows
from release_tool.run_folder import RunFolder

DOCUMENTS = 40
THINGS = ("turbine", "orchid", "glacier", "violin", "compiler", "volcano", "enzyme", "cathedral")


@dataclass
class Project:
    """A folder with documents, and its runs."""

    folder: Path

    def recipe(self, queries="", more=""):
        path = self.folder / "recipe.toml"
        path.write_text(
            '[model]\nname = "acme"\nbase = "base"\n[corpus]\npath = "documents.jsonl"\n'
            "[split]\ndev = 0.2\ntest = 0.2\n"
            f"[teach]\nmodels = []\n[queries]\nper_document = 2\n{queries}\n{more}"
        )
        return path

    def finetune(self, *words):
        return run(["-q", "--work", str(self.folder / "work"), "finetune", *words])

    def run(self, queries="", more=""):
        return self.finetune("run", "--recipe", str(self.recipe(queries, more)), "--to", "queries")

    @property
    def kept(self):
        return RunFolder.below(self.folder / "work")

    def rows(self, cls=Query, stage=Stage.QUERIES):
        return list(read_rows(self.kept.folder(stage), cls))

    @property
    def state(self):
        return self.kept.finished(Stage.QUERIES)


def write_project(folder):
    """Write documents and a base, and return the project."""
    Files(dense()).write(folder / "base")
    lines = [
        json.dumps(
            {
                "id": f"d{at}",
                "text": f"The {THINGS[at % 8]} number {at} of the {THINGS[at // 5]} was measured. "
                f"Its {THINGS[(at * 3) % 8]} density rises with temperature {at}.",
            }
        )
        for at in range(DOCUMENTS)
    ]
    (folder / "documents.jsonl").write_text("\n".join(lines) + "\n")
    return Project(folder)


def openai(service, **keys):
    """Return the keys of a recipe by which a service is asked."""
    found = {"provider": "openai", "endpoint": service.endpoint, "model": MODEL} | keys
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in found.items())
