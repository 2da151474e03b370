"""Rows to train on, as a data set of ids and labels; texts are read when a batch is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from datasets.utils import disable_progress_bars

from release_tool.core.finetune.records import Document, Grouped, Query, Selected
from release_tool.errors import UsageError
from release_tool.part_files import parts, read_part, read_rows
from release_tool.text_lookup import TextLookup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUERY = "query"
LABEL = "label"
NO_ROWS = "Look at what the stages filter and select dropped: release-tool finetune status."


@dataclass(frozen=True, slots=True)
class Texts:
    """Finds texts of queries and documents by their ids."""

    queries: TextLookup
    documents: TextLookup

    @classmethod
    def open(cls, queries: Path, documents: Path, scratch: Path) -> Texts:
        """Open the part files of two stages."""
        return cls(TextLookup.open(queries, scratch, Query), TextLookup.open(documents, scratch, Document))


def document_columns(count: int) -> list[str]:
    """Return the columns of a row's documents, the positive first."""
    return ["positive", *(f"negative_{number}" for number in range(1, count))]


def load_rows(folder: Path, split: str) -> Dataset:
    """Return the rows of a split: ``query``, a column a document, ``label`` (list of floats) where there are any.

    Ids only, in Arrow's memory: 30 to 50 bytes an id.

    Raises:
        UsageError: there are none, or none with two documents.
    """
    disable_progress_bars()
    tables = [_table(path, split) for path in parts(folder, Selected.STEM)]
    tables = [table for table in tables if table is not None]
    if not tables:
        raise UsageError(f"There are no rows of {split} to train on.", hint=NO_ROWS)
    return Dataset(pa.concat_tables(tables))


def has_rows(folder: Path, split: str) -> bool:
    """Tell whether a split has any rows."""
    return any(row.split == split for path in parts(folder, Selected.STEM) for row in read_part(path, Selected))


def _table(path: Path, split: str) -> pa.Table | None:
    rows = [row for row in read_part(path, Selected) if row.split == split]
    if not rows:
        return None
    if len(rows[0].documents) < 2:
        raise UsageError("The rows have no negatives: there is nothing to tell the positive from.", hint=NO_ROWS)
    columns: dict[str, Any] = {QUERY: [row.query for row in rows]}
    for number, name in enumerate(document_columns(len(rows[0].documents))):
        columns[name] = [row.documents[number] for row in rows]
    if rows[0].labels is not None:
        labels = [list(row.labels or ()) for row in rows]
        columns[LABEL] = pa.array(labels, type=pa.list_(pa.float32()))
    return pa.table(columns)


def by_group(rows: Dataset, corpus: Path) -> Dataset:
    """Return the same rows with a document's group of near duplicates in the place of its id.

    Args:
        rows: of ids.
        corpus: folder of stage corpus.
    """
    others = [(row.id, row.group) for row in read_rows(corpus, Grouped) if row.group != row.id]
    if not others:
        return rows
    ids, groups = (pa.array(column, pa.string()) for column in zip(*others, strict=True))
    table = rows.data.table
    for number, name in enumerate(table.column_names):
        if name not in (QUERY, LABEL):
            column = table.column(name)
            found = pc.take(groups, pc.index_in(column, ids))
            table = table.set_column(number, name, pc.coalesce(found, column))
    return Dataset(table)


def with_texts(rows: Dataset, texts: Texts) -> Dataset:
    """Return the rows with texts in place of ids, looked up when they are read."""
    documents = [name for name in rows.column_names if name not in (QUERY, LABEL)]

    def look_up(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        count = len(batch[QUERY])
        found = texts.documents.many(one for name in documents for one in batch[name])
        looked_up: dict[str, list[Any]] = {QUERY: texts.queries.many(batch[QUERY])}
        for number, name in enumerate(documents):
            looked_up[name] = found[number * count : (number + 1) * count]
        if LABEL in batch:
            looked_up[LABEL] = batch[LABEL]
        return looked_up

    return rows.with_transform(look_up)


def first_rows(rows: Dataset, texts: Texts, count: int) -> Iterator[tuple[str, list[str], list[float] | None]]:
    """Yield (query, documents, labels) of rows that lie evenly over all of them, at most ``count``."""
    step = max(1, len(rows) // count)
    chosen = with_texts(rows.select(range(0, len(rows), step)[:count]), texts)
    for row in chosen:
        documents = [value for name, value in row.items() if name not in (QUERY, LABEL)]
        yield row[QUERY], documents, row.get(LABEL)
