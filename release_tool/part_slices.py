"""Pieces of part files, each of them work for one process: found without decoding a row, read from where they begin."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from release_tool.part_files import R, parts, row_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Some rows of one part."""

    number: int
    """From 0 over all parts."""
    path: Path
    first: int
    """Its first row in the part, from 0."""
    offset: int
    """Bytes before it."""
    rows: int


def slices(folder: Path, stem: str, rows: int) -> Iterator[Slice]:
    """Cut the parts of a folder into pieces, in order; none of them spans two parts.

    Args:
        folder: of the parts.
        stem: of their names.
        rows: of a piece at most.
    """
    number = 0
    for path in parts(folder, stem):
        begins, offset, count = 0, 0, 0
        with path.open("rb") as stream:
            for line in stream:
                offset += len(line)
                count += 1
                if count % rows == 0:
                    yield Slice(number=number, path=path, first=count - rows, offset=begins, rows=rows)
                    number, begins = number + 1, offset
        if left := count % rows:
            yield Slice(number=number, path=path, first=count - left, offset=begins, rows=left)
            number += 1


def read_slice(piece: Slice, cls: type[R]) -> Iterator[R]:
    """Yield the rows of a piece.

    Raises:
        IntegrityError: a line is not what its type says.
    """
    with piece.path.open("rb") as stream:
        stream.seek(piece.offset)
        for number, line in enumerate(islice(stream, piece.rows), piece.first + 1):
            yield row_of(piece.path, number, line, cls)
