"""The provider ``local``: a model of this machine writes, in a process of its own; its parts are kept over a kill."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from release_tool.core.finetune.writing import Answer
from release_tool.core.finetune.writing_job import PART_QUESTIONS, ToWrite, WriteJob, Written
from release_tool.part_files import PartWriter, read_rows

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from release_tool.core.finetune.writing import Questions
    from release_tool.steps.finetune.running import Work

MODULE = "release_tool.models.finetune.writer"
FOLDER = "local"
JOB = "job.json"
WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class LocalWriter:
    """The provider."""

    work: Work
    versions: dict[str, str] = field(default_factory=dict)

    def answers(self, questions: Questions) -> Generator[Answer]:
        """Yield the answers, after all of them were written.

        Raises:
            UnsupportedModel: no model in the folder can write.
            MachineError: memory or disk do not suffice.
        """
        folder = self.work.scratch / FOLDER
        if not (folder / WHOLE).is_file():
            self._write_questions(questions, folder)
        self._write_job(folder)
        self._run(folder)
        for row in read_rows(folder, Written):
            yield Answer(id=row.id, raw=row.raw, tokens_in=row.tokens_in, tokens_out=row.tokens_out)

    def _write_questions(self, questions: Questions, folder: Path) -> None:
        """Write the questions into parts, and a mark when all of them are there."""
        from release_tool.core.finetune.money import first_tokens

        section = self.work.recipe.queries
        with PartWriter(folder, ToWrite.STEM, rows=PART_QUESTIONS) as out:
            for one in questions:
                text = first_tokens(one.document.whole, section.max_document_tokens)
                out.add(ToWrite(id=one.id, system=one.system, prompt=one.prompt, text=text))
        (folder / WHOLE).touch()

    def _write_job(self, folder: Path) -> None:
        """Write what the process is told; anew each time: the folder of the run may have been moved."""
        from release_tool.core.codec import encode_text
        from release_tool.documents import write_atomic
        from release_tool.steps.finetune.models_there import model_folder

        section = self.work.recipe.queries
        job = WriteJob(
            model=str(model_folder(self.work, "writer")),
            folder=str(folder),
            n=section.per_document,
            temperature=section.temperature,
            max_tokens=section.max_tokens,
            seed=self.work.recipe.model.seed,
            is_prompted=bool(section.prompt),
        )
        write_atomic(folder / JOB, encode_text(job))

    def _run(self, folder: Path) -> None:
        import importlib.metadata

        from release_tool.workers import start

        for name in ("torch", "transformers", "tokenizers"):
            self.versions[name] = importlib.metadata.version(name)
        worker = start("writing", MODULE, [str(folder / JOB)], gpu=True)
        console = self.work.context.console
        try:
            with console.progress("Parts", 1) as bar:
                worker.wait(console, bar.reach)
        finally:
            worker.stop()
