"""Part files: rows as JSON lines in numbered files, each of them whole or absent, read as a stream.

The same rows give the same bytes. A stage that was killed keeps the parts that it had finished, and makes the others.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from release_tool.core.codec import DocumentFault, decode, encode
from release_tool.documents import disk_error
from release_tool.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import IO, Self

PART_ROWS = 10_000
"""Rows a part: what a killed run loses at most, and what one process works on."""
MOST_PARTS = 100_000


class Row(Protocol):
    """A frozen dataclass with the name of its files."""

    STEM: ClassVar[str]


R = TypeVar("R", bound=Any)


def part_path(folder: Path, stem: str, number: int) -> Path:
    """Return the path of a part: ``documents-00000.jsonl``.

    Raises:
        ValueError: there are more than the name has digits for; ``parts`` would not see it.
    """
    if not 0 <= number < MOST_PARTS:
        raise ValueError(f"{stem} has no part {number}")
    return folder / f"{stem}-{number:05}.jsonl"


def parts(folder: Path, stem: str) -> list[Path]:
    """Return the parts that are there, in order."""
    return sorted(folder.glob(f"{stem}-[0-9][0-9][0-9][0-9][0-9].jsonl"))


def line_of(row: Any) -> str:
    """Return a row as its line: keys in declared order, no spaces, UTF-8; what is null is left out."""
    data = {name: value for name, value in encode(row).items() if value is not None}
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a stream for a file that is in its place when the block has ended, and untouched where it fails.

    Raises:
        MachineError: the disk is full.
    """
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except BaseException as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise disk_error(error, path) from error
        raise


def write_part(path: Path, rows: Iterable[Any]) -> int:
    """Write a whole part or none, and return how many rows it has.

    Raises:
        MachineError: the disk is full.
    """
    count = 0
    with whole_file(path) as stream:
        for row in rows:
            stream.write(line_of(row).encode())
            count += 1
    return count


def read_part(path: Path, cls: type[R]) -> Iterator[R]:
    """Yield the rows of a part.

    Raises:
        IntegrityError: a line is not what its type says.
    """
    with path.open(encoding="utf-8", newline="\n") as stream:
        for number, line in enumerate(stream, 1):
            yield row_of(path, number, line, cls)


def row_of(path: Path, number: int, line: str | bytes, cls: type[R]) -> R:
    """Return a line as its row.

    Raises:
        IntegrityError: it is not what its type says.
    """
    try:
        return decode(cls, json.loads(line))
    except (DocumentFault, ValueError) as error:
        raise IntegrityError(
            f"{path.name}, line {number} is no row of {cls.STEM}: {error}",
            hint="Remove the folder of that stage and run it again.",
        ) from error


def read_rows(folder: Path, cls: type[R]) -> Iterator[R]:
    """Yield the rows of all parts of a type, in order."""
    for path in parts(folder, cls.STEM):
        yield from read_part(path, cls)


def read_some(folder: Path, cls: type[R], wanted: Iterable[int]) -> Iterator[R]:
    """Yield single rows of all parts of a type; the others are not decoded.

    Args:
        folder: of the parts.
        cls: their type.
        wanted: numbers of the rows over all parts, from 0, ascending.

    Raises:
        IntegrityError: a line is not what its type says.
    """
    numbers = iter(wanted)
    number = next(numbers, None)
    row = 0
    for path in parts(folder, cls.STEM):
        if number is None:
            return
        with path.open(encoding="utf-8", newline="\n") as stream:
            for line_number, line in enumerate(stream, 1):
                if row == number:
                    yield row_of(path, line_number, line, cls)
                    number = next(numbers, None)
                row += 1


def make_part(path: Path, make: Callable[[], Iterable[Any]]) -> None:
    """Make a part unless it is there; ``make`` is only called where it is not."""
    if not path.is_file():
        write_part(path, make())


@dataclass
class PartWriter:
    """Writes rows one after another into parts of ``rows`` each, holding none of them in memory."""

    folder: Path
    stem: str
    rows: int = field(default_factory=lambda: PART_ROWS)
    number: int = 0
    count: int = 0
    _stream: IO[str] | None = field(default=None, init=False)

    def add(self, row: Any) -> None:
        """Write one row.

        Raises:
            MachineError: the disk is full.
        """
        try:
            if self._stream is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._stream = self._aside.open("w", encoding="utf-8", newline="\n")
            self._stream.write(line_of(row))
            self.count += 1
            if self.count % self.rows == 0:
                self._end_part()
        except OSError as error:
            raise disk_error(error, self._path) from error

    @property
    def _path(self) -> Path:
        return part_path(self.folder, self.stem, self.number)

    @property
    def _aside(self) -> Path:
        return self._path.with_name(f".{self._path.name}.part")

    def _end_part(self) -> None:
        if self._stream is not None:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._aside.replace(self._path)
            self._stream = None
            self.number += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._end_part()
        except OSError as error:
            raise disk_error(error, self._path) from error
        finally:
            if self._stream is not None:
                with suppress(OSError):  # what was not flushed to a full disk
                    self._stream.close()
                self._aside.unlink(missing_ok=True)
