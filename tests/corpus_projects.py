"""A recipe over a folder of documents, and its runs up to split."""

from __future__ import annotations

import gzip
import json

from chance import seeded
from model_files import Files, dense

from release_tool.cli import run
from release_tool.core.finetune.records import Document, Grouped, Placed, Rejected
from release_tool.core.finetune.stages import Stage
from release_tool.part_files import read_rows
from release_tool.run_folder import RunFolder

VOCABULARY = [f"word{number}" for number in range(400)]


class Project:
    """A recipe over ``docs``, and the run of it."""

    def __init__(self, folder):
        self.folder = folder
        self.recipe, self.docs, self.work = folder / "recipe.toml", folder / "docs", folder / "work"
        self.docs.mkdir(parents=True)
        Files(dense()).write(folder / "base")
        self.write()

    def write(self, corpus='path = "docs"', model="", split=""):
        self.recipe.write_text(
            f'[model]\nname = "acme"\nbase = "base"\n{model}\n[corpus]\n{corpus}\n[split]\n{split}\n'
            "[teach]\nmodels = []\n"
        )

    def put(self, rows, name="a.jsonl"):
        data = b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)
        (self.docs / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)

    def go(self, *words):
        return run(
            ["-q", "--work", str(self.work), "finetune", *(words or ("run", "--to", "split"))]
            + (["--recipe", str(self.recipe)] if not words or words[0] == "plan" else [])
        )

    def rows(self, stage, cls):
        return list(read_rows(self.state.folder(stage), cls))

    @property
    def state(self):
        return RunFolder.below(self.work)

    @property
    def documents(self):
        return self.rows(Stage.CORPUS, Document)

    @property
    def rejects(self):
        return [(row.where, row.line, row.reason, row.id) for row in self.rows(Stage.CORPUS, Rejected)]

    @property
    def groups(self):
        return {row.id: row.group for row in self.rows(Stage.CORPUS, Grouped)}

    @property
    def places(self):
        return {row.id: row.split for row in self.rows(Stage.SPLIT, Placed)}

    def counts(self, stage):
        return self.state.finished(stage).counts


def similar_rows(seed, count, changes=4):
    """Return rows of which half are made of others by a few changed words."""
    rng = seeded(seed)
    made = []
    for number in range(count):
        words = list(rng.choice(made)["text"].split()) if made and rng.random() < 0.5 else rng.choices(VOCABULARY, k=60)
        for _ in range(rng.randint(0, changes)):
            words[rng.randrange(60)] = rng.choice(VOCABULARY)
        made.append({"id": f"d{number}", "text": " ".join(words)})
    return made


def plain_rows(count, start=0):
    return [{"id": number, "text": f"text number {number}"} for number in range(start, start + count)]
