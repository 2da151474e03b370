"""What a source of documents gives: rows, each with the place where it stands, read or refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.core.finetune.document_rows import RowFault, document_of
from release_tool.core.finetune.records import Document, Rejected

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRow:
    """One row of a source."""

    where: str
    """Name of the file or the object, or the index."""
    line: int
    """From 1; 0 where there are no lines."""
    read: Document | RowFault
    size: int
    """Bytes that were read for it, compressed ones where they are; 1 where the source counts documents. For the bar."""

    @property
    def held(self) -> int:
        """Characters in memory."""
        return len(self.read.text) + len(self.read.title or "") if isinstance(self.read, Document) else 0


def rows_of_lines(lines: Iterator[tuple[bytes | None, int]], where: str) -> Iterator[RawRow]:
    """Yield the rows of a file; lines with nothing but white space are none.

    Args:
        lines: each with its size in bytes; null where a line is too long to be held.
        where: name of the file.
    """
    for number, (line, size) in enumerate(lines, 1):
        if line is not None and not line.strip():
            continue
        yield RawRow(where=where, line=number, read=read_line(line, first=number == 1), size=size)


def read_line(line: bytes | None, *, first: bool) -> Document | RowFault:
    """Return the document of a line, or why it is none; the first line of a file may begin with a byte order mark."""
    if line is None:
        return RowFault("is longer than a line may be")
    try:
        return document_of(line.removeprefix(b"\xef\xbb\xbf") if first else line)
    except RowFault as fault:
        return fault


def rejected(row: RawRow, reason: str, ident: str | None) -> Rejected:
    """Return the row of the rejects for a row."""
    return Rejected(where=row.where, line=row.line, reason=reason, id=ident)
