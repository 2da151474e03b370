"""A run whose stages up to train are done: part files written by hand, models tiny and random."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from finished_stages import finished
from tiny_models import make

from release_tool.core.codec import encode_text
from release_tool.core.finetune.evaluation import Before, Evaluated, Evaluation, Limits, Role
from release_tool.core.finetune.gate import failures
from release_tool.core.finetune.records import Document, Grouped, Judgement, Kept, Placed, Query, Taught
from release_tool.core.finetune.stages import Stage
from release_tool.core.quality import Interval, Measures
from release_tool.part_files import part_path, write_part
from release_tool.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

WORDS = (
    "river",
    "bank",
    "water",
    "city",
    "mountain",
    "winter",
    "music",
    "science",
    "history",
    "language",
    "night",
    "school",
)
HOSTILE = "<script>alert(1)</script> | `river` ::error::"
DOCUMENTS = 24


@dataclass
class Run:
    """What a test needs of it."""

    work: Path
    recipe: Path
    base: Path

    @property
    def folder(self) -> RunFolder:
        return RunFolder.below(self.work)


def texts() -> dict[str, str]:
    """Return documents: each a pair of words of its own; the last one says the same as the first."""
    found = {
        f"d{number}": f"the {WORDS[number % 12]} of the {WORDS[(number * 5 + number // 12) % 12]} is number {number}"
        for number in range(DOCUMENTS)
    }
    return found | {"d23": found["d0"]}


def write_run(folder: Path, *, kind: str = "dense", keys: str = "", own: bool = False, better: bool = True) -> Run:
    """Write a recipe, plan it, and write what the stages up to train would have made.

    Args:
        folder: of the project; the work folder lies in it.
        kind: of the model.
        keys: more of the recipe.
        own: queries are the user's own, with judgements.
        better: the trained model is another one than the base; else its copy.
    """
    from release_tool.cli import run

    folder.mkdir(parents=True, exist_ok=True)
    base = make(folder / "base", "bert", "dense" if kind == "dense" else "sparse", max_length=64)
    recipe = folder / "recipe.toml"
    (folder / "documents.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts().values()))
    recipe.write_text(
        f'[model]\nname = "acme"\nbase = "base"\nkind = "{kind}"\nmax_length = 64\n[corpus]\npath = "documents.jsonl"\n'
        f"[teach]\nmodels = []\n{keys}"
    )
    work = folder / "work"
    assert run(["-q", "--work", str(work), "finetune", "plan", "--recipe", str(recipe)]) == 0
    found = Run(work=work, recipe=recipe, base=base)
    _write_stages(found, kind, own=own, better=better)
    return found


def _write_stages(found: Run, kind: str, *, own: bool, better: bool) -> None:
    documents = texts()
    groups = {name: "d0" if name == "d23" else name for name in documents}
    asked = {f"q{number}": documents[f"d{number}"].removeprefix("the ") for number in range(12)}
    asked["q0"] = HOSTILE
    rows = {
        Stage.CORPUS: {
            Document: [Document(id=name, text=text) for name, text in documents.items()],
            Grouped: [Grouped(id=name, group=group) for name, group in groups.items()],
        },
        Stage.SPLIT: {Placed: [Placed(id=name, split=split_of(name)) for name in documents]},
        Stage.QUERIES: {
            Query: [Query(id=name, text=text, document=f"d{name[1:]}") for name, text in asked.items()],
            **({Judgement: judgements()} if own else {}),
        },
        Stage.FILTER: {
            Kept: [Kept(query=name, document=f"d{name[1:]}", split=split_of(f"d{name[1:]}")) for name in asked]
        },
        Stage.TEACH: {},
    }
    for stage in list(Stage)[: list(Stage).index(Stage.EVALUATE)]:
        with finished(found.folder, stage, counts={"rows": 1.0}, dollars=0.25) as folder:
            for cls, of in rows.get(stage, {}).items():
                write_part(part_path(folder, cls.STEM, 0), of)
            if stage is Stage.TEACH:
                logits = [Taught(query=name, documents=("a", "b"), logits=(1.5, -2.0)) for name in asked]
                write_part(part_path(folder / "teacher-0", Taught.STEM, 0), logits)
            if stage is Stage.TRAIN:
                _write_model(folder / "model", found.base, kind, better=better)
                lines = [{"step": step, "loss": 1 / (1 + step), "eval_ndcg_at_10": 0.5} for step in range(5)]
                (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def measures(ndcg: float, flops: float | None = None) -> Measures:
    """Return measures by their nDCG."""
    tokens = None if flops is None else 10.0
    return Measures(ndcg_10=ndcg, recall_100=0.9, mrr_10=0.5, flops=flops, document_tokens=tokens, query_tokens=tokens)


def evaluated_set(name: str = "held-out", role: Role = Role.HELD_OUT, **over: Any) -> Evaluated:
    """Return a set on which the model gains two points."""
    known: dict[str, Any] = {
        "name": name, "role": role, "sha256": "0" * 64, "documents": 24, "queries": 8, "judgements": 9,
        "before": measures(0.5), "after": measures(0.52), "bm25": measures(0.4),
        "interval": Interval(low=0.01, high=0.03, level=0.95, resamples=100, seed=1),
        "p": 0.01, "resamples": 10_000, "better": 5, "worse": 1, "losers": (),
    }  # fmt: skip
    return Evaluated(**(known | over))


def evaluation(*sets: Evaluated, kind: str = "dense", before: Before = Before.BASE, **limits: float) -> Evaluation:
    """Return an evaluation with its reasons."""
    known = {"min_gain": 0.0, "max_p": 0.05, "max_guard_drop": 0.5, "max_flops_ratio": 1.1, "target_flops": 0.0}
    found = Evaluation(
        kind=kind,
        before=before,
        similarity="cosine" if kind == "dense" else "dot",
        sets=sets,
        limits=Limits(**(known | limits)),
        reasons=(),
        versions={"numpy": "2"},
    )
    return replace(found, reasons=failures(found))


def finish_evaluate(found: Run, made: Evaluation) -> None:
    """Write what evaluate would have made."""
    with finished(found.folder, Stage.EVALUATE) as folder:
        (folder / "evaluation.json").write_text(encode_text(made), encoding="utf-8")


def split_of(name: str) -> str:
    """Return the split of a document: the first eight are held out."""
    number = int(name[1:])
    return "test" if number < 8 or name == "d23" else "dev" if number < 10 else "train"


def judgements() -> list[Judgement]:
    return [
        Judgement(query="q1", document="d1", grade=2),
        Judgement(query="q1", document="d2", grade=1),
        Judgement(query="q1", document="d3", grade=0),
        Judgement(query="q2", document="d2", grade=1),
    ]


def _write_model(folder: Path, base: Path, kind: str, *, better: bool) -> None:
    """Write what training would have made."""
    if better:
        make(folder, "bert", "dense" if kind == "dense" else "sparse", seed=5, max_length=64)
    else:
        shutil.copytree(base, folder)
    (folder / "README.md").unlink()
