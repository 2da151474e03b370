"""The values of MODEL_UPLOAD_HISTORY.md and of a changelog entry, ready for their templates.

The history is a view of the ledger and nothing else: the same rows in the same order, older ones included.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from release_tool.core import ledger_columns as column
from release_tool.core.changelog import SHOWN_DIGITS
from release_tool.core.ledger import replaced
from release_tool.core.yank import AT, REASON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from release_tool.core.ledger import Ledger, Row

HISTORY = "MODEL_UPLOAD_HISTORY.md"
HISTORY_TEMPLATE = "history.md.j2"
ENTRY_TEMPLATE = "changelog_entry.md.j2"

STATE = "State"

COLUMNS = (
    column.TIME, column.UPLOADER, column.MODEL_ID, column.VERSION, column.FORMAT, column.DIMENSION, column.POOLING,
    column.RUN_ID, column.KIND, column.REVISION, column.ARCHIVE, column.APPROVED, column.BUILD_RESULT, STATE,
)  # fmt: skip
AS_CODE = {COLUMNS.index(column.MODEL_ID): 0} | {
    COLUMNS.index(name): SHOWN_DIGITS for name in (column.REVISION, column.ARCHIVE, column.APPROVED)
}
"""Place of a column → how many digits of it are shown; 0 for all."""
_ALL = itemgetter(*COLUMNS[:-1])


class Code(str):
    """Text that a page shows as code."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What ``history.md.j2`` gets."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    """One cell a column; null where nobody said anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangelogEntry:
    """What ``changelog_entry.md.j2`` gets: one release."""

    model_id: str
    names: str
    """Registered names, joined by a comma."""
    version: str
    kinds: str
    formats: str
    date: str
    """``YYYY-MM-DD``, UTC."""
    uploader: str | None
    digest: str
    """The first digits of the approved one: an entry must show them, it is recognised by them."""
    replaces: str | None
    """The first digits of the archives that were replaced."""


def history_of(ledger: Ledger) -> History:
    """Return the page's values."""
    gone = replaced(ledger.rows)
    rows = (_cells(row, is_gone=bool(gone) and row.identity in gone) for row in ledger.rows)
    return History(columns=COLUMNS, rows=tuple(rows))


def _cells(row: Row, *, is_gone: bool) -> tuple[str | None, ...]:
    try:
        cells = list(_ALL(row.data))
    except KeyError:  # an older row lacks ours
        cells = [row.data.get(name) for name in COLUMNS[:-1]]
    for place, digits in AS_CODE.items():
        value = cells[place]
        if value is not None:
            cells[place] = Code(value.rpartition(":")[2][:digits] if digits else value)
    return (*cells, state(row, is_gone=is_gone))


def state(row: Row, *, is_gone: bool) -> str:
    """Return whether an archive may be used; ``is_gone``: another one was put in its place."""
    if row.yanked is not None:
        return f"yanked {row.yanked[AT]}: {row.yanked[REASON]}"
    return "replaced" if is_gone else "released"


def short(digest: str) -> str:
    """Return as many digits of a digest as tell it from all others, its algorithm left out."""
    return digest.rpartition(":")[2][:SHOWN_DIGITS]


def entry_of(rows: Sequence[Row]) -> ChangelogEntry:
    """Return the values of the entry of one release."""
    first = rows[0]
    replaced = [str(row.data[column.REPLACES]) for row in rows if row.data.get(column.REPLACES)]
    return ChangelogEntry(
        model_id=first.model_id,
        names=", ".join(dict.fromkeys(row.name or row.model_id for row in rows)),
        version=first.version,
        kinds=", ".join(dict.fromkeys(str(row.data.get(column.KIND)) for row in rows)),
        formats=", ".join(dict.fromkeys(fmt for row in rows for fmt in row.formats)),
        date=str(first.data.get(column.TIME))[:10],
        uploader=first.data.get(column.UPLOADER),
        digest=short(first.approved or ""),
        replaces=", ".join(short(one) for one in replaced) or None,
    )
