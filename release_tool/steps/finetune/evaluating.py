"""What evaluate has encoded, and by whom: base and trained model side by side, each in a process of its own."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from release_tool.core.finetune.evaluation import Before, Role
from release_tool.core.finetune.stages import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from release_tool.held_out import HeldOut
    from release_tool.sets import JudgedSet
    from release_tool.steps.finetune.running import Work
    from release_tool.workers import Worker

MODULE = "release_tool.models.finetune.encode_texts"
UNTRAINED = "start"
"""Folder that train writes beside its model where it had to make a sparse model of a base that is none."""
BEFORE, AFTER = "before", "after"
SENTENCE_SETTINGS = "config_sentence_transformers.json"
DOT, COSINE = "dot", "cosine"
LIBRARIES = ("sentence-transformers", "transformers", "torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One set of queries, and why it is measured."""

    judged: JudgedSet | HeldOut
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The model that the trained one is held against."""

    folder: Path
    before: Before


def wanted_of(work: Work) -> list[Wanted]:
    """Return what is measured: the held-out queries where there are any, then sets and guards of the recipe.

    Raises:
        IntegrityError: a set is not the one that was planned.
        UsageError: a set can't be read any more.
    """
    from release_tool.held_out import open_held_out

    held = open_held_out(
        work.of(Stage.CORPUS),
        work.of(Stage.QUERIES),
        work.of(Stage.FILTER),
        work.scratch / "held-out",
        limit=work.recipe.evaluate.documents,
        seed=work.recipe.model.seed,
    )
    found = [] if held is None else [Wanted(judged=held, role=Role.HELD_OUT)]
    named: set[str] = set()
    for role, paths in ((Role.SET, work.recipe.evaluate.sets), (Role.GUARD, work.recipe.evaluate.guards)):
        for number, path in enumerate(paths):
            judged = _open(work, path, f"{role.value}:{number}", named)
            named.add(judged.name)
            found.append(Wanted(judged=judged, role=role))
    return found


def _open(work: Work, path: str, pin: str, named: set[str]) -> JudgedSet:
    from release_tool.errors import IntegrityError
    from release_tool.sets import open_set

    folder = work.place(path)
    name = folder.name
    judged = open_set(folder, f"{name} ({pin})" if name in named else name)
    if judged.sha256 != work.plan.pins[pin]:
        raise IntegrityError(
            f"The judged set {judged.name} has changed since the run was planned.",
            hint="Run release-tool finetune plan again, or bring the files back.",
        )
    return judged


def encode(work: Work, wanted: list[Wanted], start: Start) -> None:
    """Let both models encode what is missing.

    Raises:
        UnsupportedModel: a model can't be loaded.
        MachineError: out of memory or disk.
    """
    from release_tool.workers import start as start_child

    jobs = list(_jobs(wanted))
    total = sum(one.judged.documents + len(one.judged.queries) for one in wanted)
    if not jobs:
        return
    folders = {BEFORE: start.folder, AFTER: trained_folder(work)}
    running: list[Worker] = []
    with work.context.console.progress("Encode", 2 * total, "texts") as bar, ThreadPoolExecutor(2) as pool:
        lock = Lock()

        def one_side(side: str) -> None:
            done = 0

            def tell(count: int, _: int) -> None:
                nonlocal done
                with lock:
                    bar.advance(count - done)
                done = count

            path = _request(work, side, folders[side], jobs, total)
            child = start_child(f"{side} encoder", MODULE, ["--jobs", str(path)], debug=work.context.debug, gpu=True)
            running.append(child)
            child.wait(work.context.console, tell)

        try:
            for future in [pool.submit(one_side, side) for side in folders]:
                future.result()
        finally:
            for child in running:
                child.stop()


def _jobs(wanted: list[Wanted]) -> Iterator[dict[str, Any]]:
    from release_tool.held_out import HeldOut

    for one in wanted:
        judged = one.judged
        if isinstance(judged, HeldOut):
            yield {"queries": list(judged.queries.values())}
            yield {"documents": str(judged.folder.absolute())}
            continue
        for part in ("queries", "documents"):
            yield {
                "set": str(judged.folder.absolute()),
                "name": judged.name,
                "sha256": judged.sha256,
                "part": part,
            }


def _request(work: Work, side: str, folder: Path, jobs: list[dict[str, Any]], total: int) -> Path:
    from release_tool.documents import write_atomic

    asked = {
        "folder": str(folder.absolute()),
        "kind": work.recipe.model.kind,
        "max_length": work.recipe.model.max_length,
        "out": str((work.scratch / side).absolute()),
        "jobs": jobs,
        "total": total,
    }
    path = work.scratch / f"{side}.json"
    write_atomic(path, json.dumps(asked, ensure_ascii=False))
    return path


def trained_folder(work: Work) -> Path:
    """Return the folder of the trained model."""
    return work.of(Stage.TRAIN) / "model"


def start_of(work: Work) -> Start:
    """Return the model before: the base, or what training started from where the base encodes nothing sparse."""
    from release_tool.steps.finetune.models_there import model_folder

    untrained = work.of(Stage.TRAIN) / UNTRAINED
    if untrained.is_dir():
        return Start(folder=untrained, before=Before.UNTRAINED)
    return Start(folder=model_folder(work, "base"), before=Before.BASE)


def similarity_of(work: Work) -> str:
    """Return what documents are ranked by: what the trained model's settings name, and cosine where they name none."""
    if work.recipe.model.kind == "sparse":
        return DOT
    try:
        settings = json.loads((trained_folder(work) / SENTENCE_SETTINGS).read_text(encoding="utf-8"))
        named = settings.get("similarity_fn_name")
    except (OSError, ValueError, AttributeError):
        named = None
    return DOT if named in ("dot", "dot_product", "dot_score") else COSINE


def versions() -> dict[str, str]:
    """Return the libraries that encoded, ranked and measured."""
    from importlib.metadata import version

    from release_tool.models.measures import versions as measuring

    return {name: version(name) for name in LIBRARIES} | measuring()
