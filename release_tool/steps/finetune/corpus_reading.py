"""Read a source into part files: what can't be used apart, doubles found, a true sample where there is too much.

The documents lie in the scratch folder until the last one is read and the sample is known; then ``read.json`` says so,
and from then on nothing is read from the source again.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

from release_tool.core.escape import one_line
from release_tool.core.finetune.document_rows import RowFault, id_of_text
from release_tool.core.finetune.raw_rows import rejected
from release_tool.core.finetune.records import Document, Grouped, Rejected
from release_tool.core.quantity import clip, plural
from release_tool.documents import write_atomic
from release_tool.errors import UsageError
from release_tool.models.finetune.id_sample import Sample, key_of, numbers_of
from release_tool.part_files import PART_ROWS, PartWriter, parts, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from release_tool.core.finetune.raw_rows import RawRow

READ, SETTLED = "read.json", "settled"
DOUBLE = "has an id that a row before it has"
SAME_TEXT = "has the title and the text of a row before it, and no id"
"""No fault of the row: documents that are kept without ids come twice in most collections. It needs no leave."""
SHOWN_REJECTS = 5
HELD_CHARACTERS = 16 << 20
"""Of rows that are in memory together: each of them may have 10 MB."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What was read."""

    rows: int
    rejected: int
    limit: int | None
    """The greatest number of an id in the sample; null where all documents are in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a recipe says of reading."""

    max_documents: int
    max_rejected: float
    seed: int


def is_read(scratch: Path) -> bool:
    """Tell whether the source was read to its end: nobody has to ask it again."""
    return (scratch / READ).is_file()


def read_corpus(
    rows: Iterator[RawRow], folder: Path, scratch: Path, limits: Limits, advance: Callable[[int], None]
) -> None:
    """Read the source into the parts of rejects and, in the scratch folder, those of documents.

    Args:
        rows: of the source.
        folder: of the stage.
        scratch: of the stage.
        limits: see there.
        advance: gets the size of what was read.

    Raises:
        UsageError: too many rows can't be used, or there is no document.
    """
    _clear(folder, scratch)
    counted = _read(rows, folder, scratch, limits, advance)
    write_atomic(scratch / READ, json.dumps(asdict(counted)))


def _clear(folder: Path, scratch: Path) -> None:
    """Remove what a run left that was killed while it read: the source may give other rows today."""
    for stem in (Document.STEM, Rejected.STEM, Grouped.STEM):
        for path in parts(folder, stem):
            path.unlink()
    shutil.rmtree(scratch)
    scratch.mkdir()


def _read(
    rows: Iterator[RawRow], folder: Path, scratch: Path, limits: Limits, advance: Callable[[int], None]
) -> Counted:
    sample, key = Sample(limits.max_documents), key_of(limits.seed)
    total = same = 0
    first: list[Rejected] = []
    with PartWriter(folder, Rejected.STEM) as rejects, PartWriter(scratch, Document.STEM) as kept:

        def reject(row: RawRow, reason: str, ident: str | None) -> None:
            rejects.add(one := rejected(row, reason, ident))
            if len(first) < SHOWN_REJECTS and reason != SAME_TEXT:
                first.append(one)

        for batch in batched(rows, lambda row: row.held):
            total += len(batch)
            ids = [row.read.id for row in batch if isinstance(row.read, Document)]
            outside, known = (iter(found.tolist()) for found in sample.add(numbers_of(ids, key)))
            for row in batch:
                if isinstance(row.read, RowFault):
                    reject(row, str(row.read), row.read.ident)
                    continue
                is_outside, is_double = next(outside), next(known)
                if is_double:
                    reason = reason_of_double(row.read)
                    same += reason == SAME_TEXT
                    reject(row, reason, row.read.id)
                elif not is_outside:
                    kept.add(row.read)
            advance(sum(row.size for row in batch))
    unusable = rejects.count - same
    if unusable > limits.max_rejected * total:
        raise too_many(total, unusable, first)
    if not kept.count:
        raise UsageError("There is no document in the corpus.", hint="Check what [corpus] of the recipe names.")
    return Counted(rows=total, rejected=rejects.count, limit=sample.settle())


def reason_of_double(row: Document) -> str:
    """Return why a row is refused whose id came before: its own, or that of its text."""
    return SAME_TEXT if row.id == id_of_text(row.title, row.text) else DOUBLE


def batched(rows: Iterator[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield rows together: as many as a part has, fewer where they are large."""
    batch: list[T] = []
    held = 0
    for row in rows:
        batch.append(row)
        held += size(row)
        if len(batch) >= PART_ROWS or held >= HELD_CHARACTERS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def too_many(total: int, unusable: int, first: list[Rejected]) -> UsageError:
    """Return the error that names the first reasons."""
    lines = "\n".join(
        f"  - {clip(one_line(one.where))}{f', line {one.line}' if one.line else ''}"
        f"{f' (id {clip(one_line(one.id), 60)})' if one.id else ''}: {one.reason}"
        for one in first
    )
    more = f"\n  and {unusable - len(first):,} more" if unusable > len(first) else ""
    return UsageError(
        f"{unusable:,} of {plural(total, 'row')} can't be used:\n{lines}{more}",
        hint="Correct them, or allow more with corpus.max_rejected; rejects-*.jsonl names every one.",
    )


def settle(folder: Path, scratch: Path, seed: int) -> dict[str, float]:
    """Move what was read to where it belongs, less what is not in the sample; return the counts of rows.

    Args:
        folder: of the stage.
        scratch: of the stage, with what ``read_corpus`` left.
        seed: of the sample.
    """
    counted = Counted(**json.loads((scratch / READ).read_text(encoding="utf-8")))
    if not (scratch / SETTLED).is_file():
        if counted.limit is None:
            for path in parts(scratch, Document.STEM):
                path.replace(folder / path.name)
        else:
            _choose(folder, scratch, seed, counted.limit)
        write_atomic(scratch / SETTLED, "")
    for path in parts(scratch, Document.STEM):
        path.unlink()
    return {"rows": counted.rows, "rejected": counted.rejected}


def _choose(folder: Path, scratch: Path, seed: int, limit: int) -> None:
    key = key_of(seed)
    rows = read_rows(scratch, Document)
    for path in parts(folder, Document.STEM):  # of a run that was killed here
        path.unlink()
    with PartWriter(folder, Document.STEM) as chosen:
        for batch in batched(rows, lambda row: len(row.text) + len(row.title or "")):
            numbers = numbers_of([row.id for row in batch], key)
            for row, number in zip(batch, numbers.tolist(), strict=True):
                if number <= limit:
                    chosen.add(row)
