"""A small run that can be learned from: documents of random words, queries of a few of them, random negatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chance import seeded
from tiny_models import WORDS, make

from release_tool.core.finetune.records import Document, Placed, Query, Selected
from release_tool.core.finetune.sections_training import TrainSection
from release_tool.core.finetune.training_job import TrainJob
from release_tool.core.kinds import ModelKind
from release_tool.part_files import part_path, write_part

if TYPE_CHECKING:
    from pathlib import Path

STAGES = ("documents", "places", "queries", "rows")
WHOLE_WORDS = [word for word in WORDS if len(word) > 3]


def write_stages(folder: Path, *, documents: int = 60, train: int = 96, dev: int = 12, labels: bool = True) -> None:
    """Write the part files that stage train reads."""
    chance = seeded(7)
    texts = [" ".join(chance.sample(WHOLE_WORDS, 12)) for _ in range(documents)]
    split = ["dev" if number % 6 == 0 else "train" for number in range(documents)]
    rows, queries = [], []
    for number in range(train + dev):
        where = "train" if number < train else "dev"
        own = [index for index in range(documents) if split[index] == where]
        positive = chance.choice(own)
        words = chance.sample(texts[positive].split(), 3)
        negatives = chance.sample([index for index in range(documents) if index != positive], 3)
        queries.append(Query(id=f"q{number}", text=" ".join(words), document=f"d{positive}"))
        candidates = (positive, *negatives)
        scores = tuple(len(set(words) & set(texts[one].split())) / 3 for one in candidates)
        rows.append(
            Selected(
                query=f"q{number}",
                split=where,
                documents=tuple(f"d{one}" for one in candidates),
                labels=scores if labels else None,
            )
        )
    write(folder / "documents", "documents", [Document(id=f"d{n}", text=text) for n, text in enumerate(texts)])
    write(folder / "places", "places", [Placed(id=f"d{n}", split=one) for n, one in enumerate(split)])
    write(folder / "queries", "queries", queries)
    write(folder / "rows", "rows", rows)


def write(folder: Path, stem: str, rows: list[Any]) -> None:
    """Write rows as one part."""
    write_part(part_path(folder, stem, 0), rows)


def job_of(folder: Path, kind: str, base: Path, out: str = "out", **train: Any) -> TrainJob:
    """Return a job over ``write_stages``' files, which writes into a folder of its own."""
    settings = {"steps": 12, "batch_size": 8, "total_batch_size": 16, "learning_rate": 1e-2, "save_steps": 4}
    place = folder / out
    (place / "scratch").mkdir(parents=True, exist_ok=True)
    return TrainJob(
        kind=ModelKind(kind),
        base=str(base),
        documents=str(folder / "documents"),
        places=str(folder / "places"),
        queries=str(folder / "queries"),
        rows=str(folder / "rows"),
        out=str(place),
        scratch=str(place / "scratch"),
        max_length=32,
        seed=5,
        train=TrainSection(**{**settings, **train}),
    )


def base_of(folder: Path, kind: str) -> Path:
    """Write a tiny base: ``dense``, ``bare``, ``sparse``, ``sparse-st``."""
    return make(folder / f"base-{kind}", "bert", kind, seed=1, max_length=64)
