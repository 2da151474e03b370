"""The processes of stage teach: each teacher scores the candidates, piece by piece, one part file a piece.

``python -m release_tool.models.finetune.teaching --job FILE --process 0 --of 2`` takes every second piece. A part that
is there is kept, whoever made it: which process makes which part changes no byte of it.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from release_tool.core.codec import decode_text
from release_tool.core.escape import one_line
from release_tool.core.finetune.records import Document, Mined, Query, Taught
from release_tool.core.finetune.teach_job import TeachJob
from release_tool.core.quantity import clip
from release_tool.errors import UnsupportedModel
from release_tool.part_files import part_path, write_part
from release_tool.part_slices import read_slice, slices
from release_tool.text_lookup import TextLookup
from release_tool.workers import report, run_child

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from release_tool.core.finetune.teach_job import Teacher as Named
    from release_tool.models.finetune.teacher import Row, Teacher
    from release_tool.part_slices import Slice

ENCODED_AT_ONCE = 256
"""Pairs whose texts are held at once: texts have any length, their tokens have not."""


@dataclass
class Teaching:
    """The work of one process."""

    job: TeachJob
    process: int
    processes: int
    done: int = 0
    total: int = 0
    _pieces: list[Slice] = field(default_factory=list)

    def run(self) -> None:
        """Make every part of this process that is not there.

        Raises:
            UnsupportedModel: a teacher is no cross-encoder of one score, or answers what is no number.
            UsageError: the device has no such precision.
            MachineError: the device's memory is too small for a batch; the disk is full.
            IntegrityError: a candidate has no text.
        """
        self._pieces = [
            piece
            for piece in slices(Path(self.job.candidates), Mined.STEM, self.job.rows)
            if piece.number % self.processes == self.process
        ]
        self.total = len(self.job.teachers) * sum(piece.rows for piece in self._pieces)
        documents = TextLookup.open(Path(self.job.corpus), Path(self.job.scratch), Document)
        queries = TextLookup.open(Path(self.job.queries), Path(self.job.scratch), Query)
        with documents, queries:
            for named in self.job.teachers:
                self._teacher(named, documents, queries)

    def _teacher(self, named: Named, documents: TextLookup, queries: TextLookup) -> None:
        missing = [piece for piece in self._pieces if not _out(named, piece).is_file()]
        self.advance(sum(piece.rows for piece in self._pieces) - sum(piece.rows for piece in missing))
        if not missing:
            return
        from release_tool.models.finetune.teacher import Teacher, cores, device_of

        device, threads = device_of(self.process), max(1, cores() // self.processes)
        teacher = Teacher(named, self.job, device=device, threads=threads)
        report("note", text=f"{one_line(named.name)} on {device}, {teacher.max_length} tokens a pair")
        for piece in missing:
            rows = list(read_slice(piece, Mined))
            scored = [(row.positive, *row.documents[: self.job.negatives]) for row in rows]
            inputs = list(self._encoded(teacher, rows, scored, documents, queries))
            logits = teacher.logits(inputs, _Share(self, piece.rows, len(inputs)).add)
            write_part(_out(named, piece), self._taught(named, rows, scored, logits))
            self.advance(piece.rows)

    def _encoded(
        self,
        teacher: Teacher,
        rows: Sequence[Mined],
        scored: Sequence[tuple[str, ...]],
        documents: TextLookup,
        queries: TextLookup,
    ) -> Iterator[Row]:
        pairs = [(row.query, one) for row, ids in zip(rows, scored, strict=True) for one in ids]
        for at in range(0, len(pairs), ENCODED_AT_ONCE):
            block = pairs[at : at + ENCODED_AT_ONCE]
            firsts, seconds = queries.many(pair[0] for pair in block), documents.many(pair[1] for pair in block)
            yield from teacher.encode(list(zip(firsts, seconds, strict=True)))

    def _taught(
        self, named: Named, rows: Sequence[Mined], scored: Sequence[tuple[str, ...]], logits: Sequence[float]
    ) -> Iterator[Taught]:
        from release_tool.models.finetune.teacher import first_not_finite

        at = 0
        for row, ids in zip(rows, scored, strict=True):
            own = logits[at : at + len(ids)]
            at += len(ids)
            wrong = first_not_finite(own)
            if wrong is not None:
                raise UnsupportedModel(
                    f"The teacher {one_line(named.name)} answers {own[wrong]} for the query "
                    f"{clip(one_line(row.query), 80)!r} and the document {clip(one_line(ids[wrong]), 80)!r}.",
                    hint="Set teach.precision to fp32, or name another teacher.",
                )
            yield Taught(query=row.query, documents=ids, logits=tuple(map(shortest, own)))

    def advance(self, rows: int, of_next: int = 0) -> None:
        """Tell that so many more rows are done, and how many of the next piece."""
        self.done += rows
        report("progress", done=self.done + of_next, total=self.total)


@dataclass
class _Share:
    """Tells of a piece that is under way, in rows."""

    teaching: Teaching
    rows: int
    pairs: int
    scored: int = 0

    def add(self, pairs: int) -> None:
        self.scored += pairs
        self.teaching.advance(0, of_next=self.rows * self.scored // self.pairs)


def _out(named: Named, piece: Slice) -> Path:
    return part_path(Path(named.out), Taught.STEM, piece.number)


def shortest(logit: float) -> float:
    """Return the number with the fewest digits that is the same float32."""
    import numpy as np

    return float(str(np.float32(logit)))


def main(argv: Sequence[str] | None = None) -> int:
    """Score this process's pieces; exit with the error's own code."""
    parser = argparse.ArgumentParser(prog="python -m release_tool.models.finetune.teaching")
    parser.add_argument("--job", type=Path, required=True)
    parser.add_argument("--process", type=int, required=True)
    parser.add_argument("--of", type=int, required=True)
    asked = parser.parse_args(argv)
    return run_child(lambda: _run(asked))


def _run(asked: argparse.Namespace) -> None:
    # Read when the first text is encoded; nothing forks after it.
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    from transformers.utils import logging

    logging.disable_progress_bar()
    job = decode_text(TeachJob, asked.job.read_text(encoding="utf-8"))
    Teaching(job=job, process=asked.process, processes=asked.of).run()


if __name__ == "__main__":
    sys.exit(main())
