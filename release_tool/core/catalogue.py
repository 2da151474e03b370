"""Every version that was ever released, as the ledger tells it: found by name, listed, compared, explained."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from release_tool.core import ledger_columns as column
from release_tool.core.escape import one_line
from release_tool.core.ledger import replaced
from release_tool.core.ordered import version_key
from release_tool.core.yank import AT, BY, REASON, is_hidden
from release_tool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from release_tool.core.ledger import Ledger, Row

SPLIT = "@"
MIN_DIGITS = 8
"""Of a digest that is looked for: fewer would find what is not meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of one model: all its rows."""

    name: str
    """Registered name; the model id where the rows are older than this tool."""
    version: str
    rows: tuple[Row, ...]

    @property
    def model_id(self) -> str:
        """``org/name``."""
        return self.rows[0].model_id

    @property
    def formats(self) -> tuple[str, ...]:
        """Every format, each once."""
        return tuple(dict.fromkeys(fmt for row in self.rows for fmt in row.formats))

    @property
    def yanked(self) -> bool:
        """Whether it was taken out of the listings."""
        return is_hidden(self.rows)

    @property
    def latest(self) -> tuple[Row, ...]:
        """The rows of the newest approval: what an older one said of a version is not true of what replaced it."""
        if len({row.approved for row in self.rows}) == 1:
            return self.rows
        gone = replaced(self.rows)
        newest = [row.approved for row in self.rows if row.identity not in gone][-1]
        return tuple(row for row in self.rows if row.approved == newest)


def said(rows: Sequence[Row], name: str) -> Any:
    """Return what the last row that says anything says of a column; null when none does."""
    return next((row.data[name] for row in reversed(rows) if row.data.get(name) is not None), None)


def releases(ledger: Ledger) -> tuple[Release, ...]:
    """Return every version, in the order in which the ledger first names it."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in ledger.rows:
        found.setdefault((row.name or row.model_id, row.version), []).append(row)
    return tuple(Release(name=name, version=version, rows=tuple(rows)) for (name, version), rows in found.items())


def split_name(word: str) -> tuple[str, str | None]:
    """Return name and version of ``NAME@VERSION``; null without a version."""
    name, at, version = word.partition(SPLIT)
    return name, version if at else None


def find(ledger: Ledger, word: str) -> tuple[Release, ...]:
    """Return the releases that ``NAME`` or ``NAME@VERSION`` means, by version.

    Args:
        ledger: all rows.
        word: a registered name or a model id, with a version or without one.

    Raises:
        UsageError: there is none; the closest names are named.
    """
    name, version = split_name(word)
    every = releases(ledger)
    named = [one for one in every if any(row.is_named(name) for row in one.rows)]
    found = [one for one in named if version in (None, one.version)]
    if found:
        return tuple(sorted(found, key=lambda one: (one.name, version_key(one.version))))
    if named:
        there = ", ".join(sorted({one.version for one in named}, key=version_key))
        raise UsageError(f"{one_line(name)} has no version {one_line(str(version))}.", hint=f"It has {there}.")
    known = sorted({one.name for one in every} | {one.model_id for one in every})
    close = get_close_matches(name, known, n=3, cutoff=0.5) or [one for one in known if one.endswith(f"/{name}")][:3]
    hint = f"Did you mean {' or '.join(close)}?" if close else "release-tool models list shows every name."
    raise UsageError(f"Nothing called {one_line(name)} was ever released.", hint=hint)


def find_one(ledger: Ledger, word: str) -> tuple[str, str]:
    """Return name and version of ``NAME@VERSION``, both of which must be there.

    Raises:
        UsageError: the version is missing, or there is no such release.
    """
    name, version = split_name(word)
    if not name or not version:
        raise UsageError(f"{one_line(word)!r} names no version.", hint="Write NAME@VERSION, such as acme/tiny@1.0.0.")
    find(ledger, word)
    return name, version


def listing_lines(found: Iterable[Release]) -> list[dict[str, Any]]:
    """Return one object a release, for ``models list``."""
    return [_listing_line(one, one.latest) for one in found]


def _listing_line(one: Release, latest: Sequence[Row]) -> dict[str, Any]:
    return {
        "name": one.name,
        "version": one.version,
        "kind": said(latest, column.KIND),
        "formats": list(one.formats),
        "dimension": said(latest, column.DIMENSION),
        "released": said(latest, column.TIME),
        "approved": said(latest, column.APPROVED),
        "build": said(latest, column.BUILD_RESULT),
        "yanked": one.yanked,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing in which two releases differ."""

    what: str
    """Where: artifact, document and path in it."""
    first: str | None
    """Null where only the second has it."""
    second: str | None


def flat(data: Any, path: str = "") -> dict[str, str]:
    """Return the leaves of JSON data by their path: ``export.versions.torch`` → ``2.13.0``."""
    if isinstance(data, dict) and data:
        return {key: text for name, value in data.items() for key, text in flat(value, f"{path}.{name}").items()}
    if isinstance(data, (list, tuple)) and data:
        return {key: text for index, value in enumerate(data) for key, text in flat(value, f"{path}[{index}]").items()}
    return {} if data is None else {path.removeprefix("."): str(data)}


def differences(first: Mapping[str, str], second: Mapping[str, str]) -> tuple[Difference, ...]:
    """Return what differs, in the order of the first, then what only the second has."""
    paths = dict.fromkeys((*first, *second))
    return tuple(
        Difference(what=path, first=first.get(path), second=second.get(path))
        for path in paths
        if first.get(path) != second.get(path)
    )


RUN = frozenset(
    {column.UPLOADER, column.TIME, column.RUN_ID, column.RUN_URL, column.BUILD_NUMBER, column.BUILD_URL, column.YANKED}
)
"""Columns that say how a release went, not what it is."""


def facts(release: Release) -> dict[str, str]:
    """Return what the ledger says of a release, by ``format: column``; about the run only what it came to."""
    found: dict[str, str] = {}
    for row in release.rows:
        for name, value in row.data.items():
            if name not in RUN:
                found |= flat(value, f"{row.data[column.FORMAT].lower()}: {name}")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """One thing that a digest is."""

    what: str
    of: str
    where: str


MEANINGS = {
    column.ARCHIVE: "the archive",
    column.APPROVED: "the digest that was approved",
    column.REVISION: "the revision of the source",
    column.REPLACES: "the archive that was replaced",
}


def matches(value: object, digits: str) -> bool:
    """Tell whether a value is a digest, or a commit, that begins with these digits."""
    return isinstance(value, str) and value.rpartition(":")[2].startswith(digits)


def explain(ledger: Ledger, digits: str) -> tuple[Meaning, ...]:
    """Return everything that the ledger says a digest is.

    Args:
        ledger: all rows.
        digits: the first of it, lower-case hex, or all.
    """
    found = []
    gone = replaced(ledger.rows)
    for number, row in enumerate(ledger.rows, 1):
        for name, what in MEANINGS.items():
            if matches(row.data.get(name), digits):
                of = f"{row.name or row.model_id} {row.version} ({row.data[column.FORMAT]})"
                at = row.data.get(column.TIME) or "at a time that nobody wrote down"
                since = f"released {at}{', replaced since' if row.identity in gone else ''}{_state(row)}"
                found.append(Meaning(what=what, of=of, where=f"row {number} of the ledger, {since}"))
    return tuple(found)


def _state(row: Row) -> str:
    if row.yanked is None:
        return ""
    by = f" by {row.yanked[BY]}" if row.yanked.get(BY) else ""
    return f", yanked {row.yanked[AT]}{by}: {row.yanked[REASON]}"
