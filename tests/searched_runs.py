"""A run whose stages up to queries are done, written by hand: what filter and mine begin with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from finished_stages import finished
from model_files import Files, dense

from release_tool.core.finetune.records import Document, Grouped, Judgement, Placed, Query
from release_tool.core.finetune.stages import Stage
from release_tool.part_files import PartWriter, read_rows
from release_tool.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS_A_PART = 7


@dataclass
class World:
    """Documents and queries of a run, and the files that they are in."""

    documents: dict[str, str]
    queries: list[tuple[str, str, str]]
    """(id, text, document)."""
    splits: dict[str, str] = field(default_factory=dict)
    """Of those that are not in train."""
    groups: dict[str, str] = field(default_factory=dict)
    """Of those that are not alone."""
    judgements: list[tuple[str, str, int]] = field(default_factory=list)
    keys: str = ""
    """More of the recipe."""
    provider: str = "sentences"
    kind: str = "dense"
    queries_a_part: int = 5
    sources: str = 'path = "documents.jsonl"\n'

    def write(self, folder: Path) -> Path:
        """Write it all; return the work folder."""
        from release_tool.cli import run

        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "base").is_dir():
            Files(dense()).write(folder / "base")
        (folder / "documents.jsonl").write_text('{"text": "not read"}\n')
        (folder / "recipe.toml").write_text(
            f'[model]\nname = "acme"\nbase = "base"\nkind = "{self.kind}"\n[corpus]\n{self.sources}'
            "[teach]\nmodels = []\n[select]\nnegatives = 1\n[queries]\n"
            f'provider = "{self.provider}"\npath = "documents.jsonl"\nendpoint = "http://127.0.0.1:9/v1"\n'
            f'model = "writer"\n{self.keys}',
            encoding="utf-8",
        )
        work = folder / "work"
        assert run(["-q", "--work", str(work), "finetune", "plan", "--recipe", str(folder / "recipe.toml")]) == 0
        names = list(self.documents)
        stages = {
            Stage.CORPUS: (
                [Document(id=name, text=text) for name, text in self.documents.items()],
                [Grouped(id=name, group=self.groups.get(name, name)) for name in names],
            ),
            Stage.SPLIT: ([Placed(id=name, split=self.splits.get(name, "train")) for name in names],),
            Stage.QUERIES: (
                [Query(id=name, text=text, document=document) for name, text, document in self.queries],
                [Judgement(query=query, document=name, grade=grade) for query, name, grade in self.judgements],
            ),
        }
        for stage, tables in stages.items():
            finish(RunFolder.below(work), stage, tables, self.queries_a_part if stage is Stage.QUERIES else 0)
        return work


def finish(run: RunFolder, stage: Stage, tables: tuple[list, ...], rows: int = 0) -> None:
    """Write a stage as if it had been run."""
    with finished(run, stage) as folder:
        for table in filter(None, tables):
            with PartWriter(folder, table[0].STEM, rows or DOCUMENTS_A_PART) as writer:
                for row in table:
                    writer.add(row)


def call(work: Path, stage: str, *words: str) -> int:
    """Run a stage's command and return its exit code."""
    from release_tool.cli import run

    return run(["-q", "--work", str(work), "finetune", stage, *words])


def rows(work: Path, stage: Stage, cls: type) -> list:
    """Return the rows that a stage has made."""
    return list(read_rows(RunFolder.below(work).folder(stage), cls))


def digest(work: Path, stage: Stage) -> str:
    """Return the digest of what a stage has made."""
    return RunFolder.below(work).finished(stage).digest


def counts(work: Path, stage: Stage) -> dict[str, float]:
    """Return the counts of a stage."""
    return RunFolder.below(work).finished(stage).counts
