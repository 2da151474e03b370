"""The ledger, ``supported_models.json``: one row an archive that was ever released, oldest first.

The first eight columns are those of the catalogue that this tool carries on, with its names and text formats; ours
stand after them, and columns that nobody here knows are kept. A row keeps the very text that it was read from until
one of its values changes, so a file reads in and back byte for byte, whoever wrote it.

Laws (tests hold them): ``parse(data).data() == data``; adding a row twice is adding it once; two rows may be added in
either order; everything that is not added or changed keeps its bytes. Absence is null; words for it belong to
templates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core import json_rows
from release_tool.core.ledger_columns import (
    APPROVED,
    ARCHIVE,
    BOTH,
    FORMAT,
    KEY,
    MODEL_ID,
    REPLACES,
    TIME,
    VERSION,
    YANKED,
    row_fault,
)
from release_tool.core.naming import ROOT
from release_tool.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LEDGER = "supported_models.json"
EMPTY = b"[]\n"
STYLE = json_rows.Style(4)
"""Four spaces, as the catalogue was always written; ASCII, so that no sign in a row can deceive who reads a change."""


class Row(json_rows.Item):
    """One archive that was released."""

    __slots__ = ()

    @property
    def model_id(self) -> str:
        """``org/name``."""
        return str(self.data[MODEL_ID])

    @property
    def version(self) -> str:
        """Of the release."""
        return str(self.data[VERSION])

    @property
    def formats(self) -> tuple[str, ...]:
        """As they stand in object keys; two where an old row says BOTH."""
        word = str(self.data[FORMAT])
        return ("onnx", "torch_script") if word == BOTH else (word.lower(),)

    @property
    def key(self) -> str | None:
        """Object key of the archive; null for rows that are older than this tool."""
        return self.data.get(KEY)

    @property
    def approved(self) -> str | None:
        """The digest that people approved; null for older rows."""
        return self.data.get(APPROVED)

    @property
    def identity(self) -> tuple[str, str] | None:
        """What makes a row the same row; null for older ones, which may stand here more than once."""
        return (self.approved, self.key) if self.approved and self.key else None

    @property
    def name(self) -> str | None:
        """The registered name, as the listings have it; null for older rows: they do not say it."""
        return "/".join(self.key.split("/")[1:-3]) if self.key else None

    @property
    def yanked(self) -> Mapping[str, Any] | None:
        """When, by whom, why, and what stood in the listings; null for what may be used."""
        return self.data.get(YANKED)

    def is_named(self, name: str) -> bool:
        """Tell whether a name of the listings, or a model id, means this row."""
        if self.name is not None:
            return name in (self.name, self.model_id)
        return name == self.model_id or name.partition("/")[2] == self.model_id

    def with_data(self, data: Mapping[str, Any]) -> Row:
        """Return the row with other values; the very same row where none differs."""
        same = dict(data) == dict(self.data) and list(data) == list(self.data)
        return self if same else Row(data)


@dataclass(frozen=True, slots=True)
class Ledger:
    """All rows, and the text that they came from."""

    rows: tuple[Row, ...]
    read: tuple[Row, ...] = ()
    source: str = EMPTY.decode()

    def data(self) -> bytes:
        """Return the file."""
        if self.rows == self.read:
            return self.source.encode()
        return json_rows.render(self.rows, json_rows.style_of(self.source, STYLE)).encode()

    def with_rows(self, rows: tuple[Row, ...]) -> Ledger:
        """Return the ledger with other rows."""
        return Ledger(rows, self.read, self.source)

    def add(self, data: Mapping[str, Any]) -> Ledger:
        """Return the ledger with a row of ours in its place.

        A row of the same approved digest and key is updated where ``data`` says something, and nowhere else; another
        one is inserted by its time, so that the order in which rows arrive does not matter.
        """
        row = Row(dict(data))
        approved, key = data[APPROVED], data[KEY]
        same = [
            index
            for index, old in enumerate(self.rows)
            if old.data.get(APPROVED) == approved and old.data.get(KEY) == key
        ]
        if not same:
            place = _place(self.rows, row)
            return self.with_rows((*self.rows[:place], row, *self.rows[place:]))
        old = self.rows[same[0]]
        said = {column: value for column, value in data.items() if value is not None or column not in old.data}
        kept = [item for index, item in enumerate(self.rows) if index not in same[1:]]
        kept[same[0]] = old.with_data({**old.data, **said})
        return self.with_rows(tuple(kept))


def _place(rows: tuple[Row, ...], row: Row) -> int:
    wanted = sort_key(row)
    place = len(rows)
    while place and sort_key(rows[place - 1]) > wanted:
        place -= 1
    return place


def sort_key(row: Row) -> tuple[str, ...]:
    """Return what rows are ordered by: time, version, id and format as texts, as ever, then what tells ours apart."""
    columns = (TIME, VERSION, MODEL_ID, FORMAT, KEY, APPROVED)
    return tuple(str(row.data.get(column) or "") for column in columns)


def parse(data: bytes, name: str = LEDGER) -> Ledger:
    """Read the ledger.

    Args:
        data: the file.
        name: of the file, for messages.

    Raises:
        RecordError: it is no list of rows, with the row and the line.
    """
    hint = f"Correct {name} by hand or take the last version of it that was good from git; nothing was changed."
    try:
        text = data.decode()
        rows = json_rows.parse(text, Row, deep=False)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RecordError(f"{name}, line {line}: it is not UTF-8 text.", hint=hint) from error
    except json_rows.Fault as fault:
        raise RecordError(f"{name}, row {fault.item} (line {fault.line}): {fault}.", hint=hint) from fault
    for number, row in enumerate(rows, 1):
        wrong = row_fault(row.data)
        if wrong:
            line = text.count("\n", 0, row.start) + 1
            raise RecordError(f"{name}, row {number} (line {line}): {wrong}.", hint=hint)
    return Ledger(rows, rows, text)


def of_release(ledger: Ledger, approved: str) -> tuple[Row, ...]:
    """Return the rows of one release, by the digest that was approved."""
    return tuple(row for row in ledger.rows if row.data.get(APPROVED) == approved)


def replaced(rows: Iterable[Row]) -> frozenset[tuple[str, str]]:
    """Return the identities of the rows whose archive a later one of the same key was put in the place of.

    A key holds one archive: that of its last row. Of two in the same second the one that names the other is the later.

    Args:
        rows: in the order of the ledger.
    """
    rows = tuple(rows)
    keys = [row.data.get(KEY) for row in rows]
    if len(keys) - keys.count(None) == len(set(keys) - {None}):  # so it is in nearly every ledger
        return frozenset()
    last: dict[str, Row] = {}
    gone: set[tuple[str, str]] = set()
    for row in rows:
        key = row.key
        if key is None:
            continue
        before = last.get(key)
        if before is None:
            if row.identity is not None:
                last[key] = row
            continue
        later = before if row.identity is None or _names(before, row) else row
        gone |= {item for item in (before.identity, row.identity) if item is not None and item != later.identity}
        last[key] = later
    return frozenset(gone - {row.identity for row in last.values()})


def _names(later: Row, row: Row) -> bool:
    """Tell whether a row says that it replaced another one of the same second, and not the other way round."""
    if later.data.get(TIME) != row.data.get(TIME) or later.data.get(REPLACES) is None:
        return False
    return later.data[REPLACES] == row.data.get(ARCHIVE) and row.data.get(REPLACES) != later.data.get(ARCHIVE)


def key_of(row: Row) -> str:
    """Return the folder of a row's archive in the bucket, for messages; its model id where it has no key."""
    return (row.key or row.model_id).removeprefix(f"{ROOT}/")
