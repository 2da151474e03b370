"""Texts by their ids, from the part files of documents or queries: 16 bytes of memory a row, however long the texts.

A row is found by the hash of its id, and its place in the files is kept beside it. The row that is read there says
itself which id it has, so that two ids with the same hash are told apart. The index is two arrays in a folder, made
once and mapped into memory by every process that opens it after that.
"""

from __future__ import annotations

import json
import os
import shutil
from array import array
from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from release_tool.core.codec import DocumentFault, decode
from release_tool.core.finetune.records import Document, Query
from release_tool.documents import disk_error
from release_tool.errors import IntegrityError
from release_tool.part_files import parts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Self

    import numpy as np

FOLDER = "lookup"
HASHES, PLACES, MADE_OF = "hashes.npy", "places.npy", "made-of.json"
OFFSET_BITS = 40
"""Of a place: a part may have a terabyte, and there are at most 100,000 of them."""
BEGINNING = '{"id":'
"""Of every line: the id is the first key that part_files writes."""
DECODER = json.JSONDecoder()
READ_AT_ONCE = 4096
OPEN_FILES = 32


class TextLookup:
    """Finds rows by their ids; ``open`` makes one."""

    def __init__(self, paths: list[Path], index: Path, cls: type[Document | Query]) -> None:
        import numpy as np

        self._paths = paths
        self._cls = cls
        self._hashes: np.ndarray = np.load(index / HASHES, mmap_mode="r")
        self._places: np.ndarray = np.load(index / PLACES, mmap_mode="r")
        self._open: OrderedDict[int, int] = OrderedDict()

    @classmethod
    def open(cls, folder: Path, scratch: Path, rows: type[Document | Query] = Document) -> Self:
        """Open the index of a stage's files, made where it is not there.

        Args:
            folder: of the stage that has the part files.
            scratch: where the index is kept, of the stage that looks things up.
            rows: which of the files.

        Raises:
            IntegrityError: a line of them is no such row.
            MachineError: the disk is full.
        """
        paths = parts(folder, rows.STEM)
        index = scratch / f"{FOLDER}-{rows.STEM}"
        made_of = json.dumps([[path.name, path.stat().st_size] for path in paths])
        known = index / MADE_OF
        if not (known.is_file() and known.read_text(encoding="utf-8") == made_of):
            try:
                _build(paths, index, made_of, rows)
            except OSError as error:
                raise disk_error(error, index) from error
        return cls(paths, index, rows)

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self._hashes)

    def row(self, wanted: str) -> Any:
        """Return the row of an id.

        Raises:
            IntegrityError: there is none.
        """
        for place in self._candidates(wanted):
            found = self._read(place)
            if found.id == wanted:
                return found
        raise _unknown(wanted, self._cls)

    def whole(self, wanted: str) -> str:
        """Return the text of an id: a document's title and text, a query's text.

        Raises:
            IntegrityError: there is none.
        """
        return _text(self.row(wanted))

    def many(self, wanted: Iterable[str]) -> list[str]:
        """Return the texts of ids, in their order; each row is read once, and the files are read forwards.

        Raises:
            IntegrityError: one is not there.
        """
        ids = list(wanted)
        places = sorted((place, one) for one in dict.fromkeys(ids) for place in self._candidates(one))
        found: dict[str, str] = {}
        for place, one in places:
            if one not in found and (row := self._read(place)).id == one:
                found[one] = _text(row)
        for one in ids:
            if one not in found:
                raise _unknown(one, self._cls)
        return [found[one] for one in ids]

    def close(self) -> None:
        """Close the files that are open."""
        while self._open:
            os.close(self._open.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _candidates(self, wanted: str) -> list[int]:
        key = _hash(wanted)
        first, end = (int(self._hashes.searchsorted(_unsigned(key), side)) for side in ("left", "right"))
        return [int(place) for place in self._places[first:end]]

    def _read(self, place: int) -> Any:
        part, offset = place >> OFFSET_BITS, place & ((1 << OFFSET_BITS) - 1)
        stream = self._stream(part)
        size, data = READ_AT_ONCE, b""
        while b"\n" not in data:
            more = os.pread(stream, size, offset + len(data))
            if not more:
                break
            data += more
            size *= 2
        try:
            return decode(self._cls, json.loads(data.partition(b"\n")[0]))
        except (DocumentFault, ValueError) as error:
            raise _no_row(self._paths[part].name, self._cls) from error

    def _stream(self, part: int) -> int:
        if part in self._open:
            self._open.move_to_end(part)
            return self._open[part]
        if len(self._open) == OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        self._open[part] = os.open(self._paths[part], os.O_RDONLY | os.O_CLOEXEC)
        return self._open[part]


def _build(paths: list[Path], index: Path, made_of: str, cls: type[Document | Query]) -> None:
    """Make the index whole or not at all; 40 bytes a row while it is sorted."""
    import numpy as np

    hashes, places = array("Q"), array("Q")
    for number, path in enumerate(paths):
        offset = 0
        with path.open("rb") as stream:
            for line in stream:
                hashes.append(_hash(_id_of(line, path.name, cls)))
                places.append(number << OFFSET_BITS | offset)
                offset += len(line)
    aside = index.with_name(f"{index.name}.part{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    found = np.frombuffer(hashes, dtype=np.uint64)
    order = np.argsort(found, kind="stable")
    np.save(aside / HASHES, found[order])
    np.save(aside / PLACES, np.frombuffer(places, dtype=np.uint64)[order])
    (aside / MADE_OF).write_text(made_of, encoding="utf-8")
    shutil.rmtree(index, ignore_errors=True)
    aside.rename(index)


def _id_of(line: bytes, name: str, cls: type) -> str:
    """Return the id of a line without reading all of its JSON."""
    try:
        text = line.decode()
        if text.startswith(BEGINNING):
            found, _ = DECODER.raw_decode(text, len(BEGINNING))
            if isinstance(found, str):
                return found
    except ValueError as error:
        raise _no_row(name, cls) from error
    raise _no_row(name, cls)


def _hash(wanted: str) -> int:
    return int.from_bytes(blake2b(wanted.encode(), digest_size=8).digest(), "little")


def _unsigned(value: int) -> Any:
    import numpy as np

    return np.uint64(value)


def _text(row: Document | Query) -> str:
    return row.whole if isinstance(row, Document) else row.text


def _no_row(name: str, cls: Any) -> IntegrityError:
    return IntegrityError(
        f"{name} has a line that is no row of {cls.STEM}.",
        hint="Remove the folder of that stage and run it again.",
    )


def _unknown(wanted: str, cls: Any) -> IntegrityError:
    from release_tool.core.escape import one_line
    from release_tool.core.quantity import clip

    return IntegrityError(
        f"No row of {cls.STEM} has the id {clip(one_line(wanted), 80)!r}.",
        hint="Run the stages again: release-tool finetune run.",
    )
