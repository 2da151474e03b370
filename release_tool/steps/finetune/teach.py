"""``release-tool finetune teach``: let cross-encoders score queries and documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.console import Console
    from release_tool.core.finetune.teach_job import TeachJob
    from release_tool.steps.finetune.running import Made, Work
    from release_tool.workers import Worker

SHORT = "Let cross-encoders score queries and documents."
HELP = """Let cross-encoders score queries and documents.

Raw logits, one folder a teacher: the positive first, then the candidates in the order of the search. Runs on the GPUs
that there are, else on the CPU; engine.processes share the parts. Without teach.models nothing is scored, and the model
is trained without a teacher.
"""
MODULE = "release_tool.models.finetune.teaching"
JOB = "job.json"

command = stage_command(Stage.TEACH, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage.

    Raises:
        UnsupportedModel: a teacher is no cross-encoder of one score, or answers what is no number.
        UsageError: this machine has no such precision.
        MachineError: memory or disk is too small.
    """
    from release_tool.core.finetune.records import Document, Query
    from release_tool.steps.finetune.running import Made
    from release_tool.text_lookup import TextLookup

    if not work.recipe.teach.models:
        work.context.console.info("No teacher is named: the model will be trained without one.")
        return Made(counts={"teachers": 0})
    job = _job(work)
    for folder, rows in ((Stage.CORPUS, Document), (Stage.QUERIES, Query)):
        TextLookup.open(work.of(folder), work.scratch, rows).close()
    _score(work, job)
    return Made(counts=_counts(work, job), versions=_versions())


def teacher_folder(stage: Path, number: int) -> Path:
    """Return the folder of a teacher's parts in that of the stage."""
    return stage / f"teacher-{number}"


def _job(work: Work) -> TeachJob:
    from release_tool.core.finetune.teach_job import Teacher, TeachJob
    from release_tool.steps.finetune.models_there import model_folder

    keys = work.recipe.teach
    teachers = tuple(
        Teacher(
            name=name,
            model=str(model_folder(work, f"teacher:{number}").absolute()),
            out=str(teacher_folder(work.folder, number).absolute()),
        )
        for number, name in enumerate(keys.models)
    )
    return TeachJob(
        teachers=teachers,
        corpus=str(work.of(Stage.CORPUS).absolute()),
        queries=str(work.of(Stage.QUERIES).absolute()),
        candidates=str(work.of(Stage.MINE).absolute()),
        scratch=str(work.scratch.absolute()),
        negatives=keys.negatives,
        batch_tokens=keys.batch_tokens,
        precision=keys.precision,
        max_length=work.recipe.model.max_length,
    )


def _score(work: Work, job: TeachJob) -> None:
    from release_tool.core.codec import encode_text
    from release_tool.documents import write_atomic
    from release_tool.workers import start

    path = work.scratch / JOB
    write_atomic(path, encode_text(job))
    count = work.recipe.engine.processes
    workers = [
        start(
            f"teacher {number}" if number else "teacher",
            MODULE,
            ["--job", str(path.absolute()), "--process", str(number), "--of", str(count)],
            gpu=True,
            debug=work.context.debug,
        )
        for number in range(count)
    ]
    try:
        _wait(work.context.console, workers)
    finally:
        for worker in workers:
            worker.stop()


def _wait(console: Console, workers: list[Worker]) -> None:
    """Wait for all; the first that fails ends it."""
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
    from functools import partial

    done = dict.fromkeys(range(len(workers)), (0, 0))
    with console.progress("Score", 0, "queries") as bar, ThreadPoolExecutor(len(workers)) as pool:

        def told(number: int, finished: int, total: int) -> None:
            done[number] = (finished, total)
            bar.total = max(1, sum(one for _, one in done.values()))
            bar.set(sum(one for one, _ in done.values()))

        futures = [pool.submit(worker.wait, console, partial(told, number)) for number, worker in enumerate(workers)]
        try:
            finished, _ = wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            if not all(future.done() and future.exception() is None for future in futures):
                for worker in workers:
                    worker.process.kill()
        for future in finished:
            future.result()


def _counts(work: Work, job: TeachJob) -> dict[str, float]:
    from release_tool.core.finetune.records import Mined
    from release_tool.part_files import read_rows

    queries = pairs = 0
    for row in read_rows(work.of(Stage.MINE), Mined):
        queries += 1
        pairs += 1 + len(row.documents[: job.negatives])
    return {"teachers": len(job.teachers), "queries": queries, "pairs": pairs * len(job.teachers)}


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "transformers", "sentence-transformers", "tokenizers")}
