"""Runs of fine-tuning up to stage mine, made by hand: documents and queries of words that tiny models know."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tiny_models
from chance import seeded
from finished_stages import finished
from model_files import Files, dense
from tiny_models import WORDS

from release_tool.cli import run
from release_tool.core.finetune.records import Document, Mined, Query
from release_tool.core.finetune.stages import Stage
from release_tool.core.finetune.teach_job import Teacher, TeachJob
from release_tool.part_files import PartWriter
from release_tool.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

RECIPE = """[model]
name = "acme"
base = "base"
max_length = {max_length}
[corpus]
path = "articles.jsonl"
[teach]
models = {teachers}
negatives = {negatives}
{teach}
[select]
negatives = 2
min_positive_rank = 200
{more}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MinedRun:
    """A run whose stage teach is next."""

    work: Path
    recipe: Path
    documents: dict[str, Document]
    queries: dict[str, str]
    mined: tuple[Mined, ...]

    @property
    def folder(self) -> RunFolder:
        """Its folder."""
        return RunFolder.below(self.work)

    def go(self, *words: str) -> int:
        """Run a command of it and return its exit code."""
        return run(["-q", "--work", str(self.work), "finetune", *words])

    def digest(self, stage: Stage) -> str:
        """Return the digest of a finished stage."""
        state = self.folder.finished(stage)
        assert state is not None
        return state.digest

    def pairs(self, row: Mined, negatives: int = 200) -> list[tuple[str, str]]:
        """Return the texts of a query and its documents."""
        ids = (row.positive, *row.documents[:negatives])
        return [(self.queries[row.query], self.documents[one].whole) for one in ids]

    def remove(self, stage: Stage) -> None:
        """Forget a stage."""
        import shutil

        shutil.rmtree(self.folder.folder(stage))


def teacher(folder: Path, family: str = "bert", *, scale: float = 12, **options: Any) -> Path:
    """Write a tiny cross-encoder whose logits differ by whole numbers, and return its folder."""
    from safetensors.torch import load_file, save_file

    tiny_models.make(folder, family, "cross-encoder", **options)
    path = folder / "model.safetensors"
    weights = {name: value * scale if value.ndim == 2 else value for name, value in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    return folder


def causal_teacher(folder: Path, template: str | None) -> Path:
    """Write a tiny causal language model that says yes or no, and return its folder."""
    import torch
    import transformers

    tiny_models.make(folder, "roberta", "bare")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["yes", "no"])
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = transformers.LlamaForCausalLM(config)
    for weight in model.parameters():
        weight.data *= 6 if weight.ndim == 2 else 1
    model.save_pretrained(folder)
    return folder


def job(made: MinedRun, out: Path, teachers: Sequence[Path], **changes: Any) -> TeachJob:
    """Return what the processes of stage teach are told of a run."""
    given = {
        "teachers": tuple(
            Teacher(name=one.name, model=str(one), out=str(out / f"teacher-{number}"))
            for number, one in enumerate(teachers)
        ),
        "corpus": str(made.folder.folder(Stage.CORPUS)),
        "queries": str(made.folder.folder(Stage.QUERIES)),
        "candidates": str(made.folder.folder(Stage.MINE)),
        "scratch": str(out / "scratch"),
        "negatives": 5,
        "batch_tokens": 0,
        "precision": "fp32",
        "max_length": 512,
    }
    return TeachJob(**(given | changes))


def text(chance: random.Random, words: int) -> str:
    """Return words that tiny models know."""
    return " ".join(chance.choice(WORDS) for _ in range(words))


def make(
    folder: Path,
    teachers: Sequence[Path | str],
    *,
    queries: int = 12,
    depth: int = 6,
    negatives: int = 5,
    max_length: int = 512,
    teach: str = "",
    more: str = "",
    a_part: int = 5,
    change: Callable[[Mined], Mined] = lambda row: row,
    own: Sequence[Document] = (),
) -> MinedRun:
    """Make a run.

    Args:
        folder: of everything.
        teachers: their folders.
        queries: how many; each fourth is of dev.
        depth: candidates a query.
        negatives: of them that are scored.
        max_length: of the model, in tokens.
        teach: more lines of [teach].
        more: more sections.
        a_part: rows a part.
        change: what becomes of a row of the candidates.
        own: documents in place of those with their ids.
    """
    chance = seeded(7)
    Files(dense()).write(folder / "base")
    names = [str(one) for one in teachers]
    recipe = folder / "recipe.toml"
    recipe.write_text(
        RECIPE.format(teachers=names, negatives=negatives, max_length=max_length, teach=teach, more=more),
        encoding="utf-8",
    )
    (folder / "articles.jsonl").write_text('{"text": "one"}\n', encoding="utf-8")
    documents = {
        f"d{number}": Document(
            id=f"d{number}", text=text(chance, chance.choice((2, 5, 20, 60))), title="title" if number % 3 else None
        )
        for number in range(30)
    } | {one.id: one for one in own}
    asked = {f"q{number}": text(chance, chance.randint(2, 9)) for number in range(queries)}
    mined = []
    for number, query in enumerate(asked):
        positive, *others = chance.sample(sorted(documents), 1 + depth)
        scores = tuple(float(depth - place) for place in range(depth))
        split = "train" if number % 4 else "dev"
        mined.append(change(Mined(query=query, positive=positive, split=split, documents=tuple(others), scores=scores)))
    made = MinedRun(work=folder / "work", recipe=recipe, documents=documents, queries=asked, mined=tuple(mined))
    assert made.go("plan", "--recipe", str(recipe)) == 0
    rows = {
        Stage.CORPUS: list(documents.values()),
        Stage.SPLIT: [],
        Stage.QUERIES: [Query(id=row.query, text=asked[row.query], document=row.positive) for row in mined],
        Stage.FILTER: [],
        Stage.MINE: mined,
    }
    for stage, content in rows.items():
        finish(made.folder, stage, content, a_part)
    return made


def finish(
    folder: RunFolder, stage: Stage, rows: Sequence[Document | Query | Mined], a_part: int, *, is_begun: bool = False
) -> None:
    """Write a stage's parts, and that it is finished.

    Args:
        folder: of the run.
        stage: which one.
        rows: of it.
        a_part: rows a part.
        is_begun: leave the files that are there.
    """
    with finished(folder, stage, is_begun=is_begun) as place:
        if rows:
            with PartWriter(place, rows[0].STEM, rows=a_part) as writer:
                for row in rows:
                    writer.add(row)
