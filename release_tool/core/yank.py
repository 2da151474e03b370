"""Yank a version: its bytes stay, the listings lose it, the ledger says when, by whom and why. And restore it.

What a version takes along out of the listings is kept in the ledger, in the order that it had there. Law (a test
holds it): after a restore the listings are those of a ledger that never held the yank, whatever was recorded in
between. To the byte; only where a list was out of order to begin with and several yanks overlap, what was recorded in
between may stand elsewhere in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from release_tool.core import listing as files
from release_tool.core.excluded import Exclusion, hides
from release_tool.core.ledger_columns import DESCRIPTION, VERSION, YANKED
from release_tool.core.listing import Entry, Listed, Listing
from release_tool.core.ordered import insert, put_back, text_key, version_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from release_tool.core.ledger import Ledger, Row

AT, BY, REASON, TAKEN = "at", "by", "reason", "taken"
ENTRY, ORDER = "entry", "order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The ledger and both listings, which change together."""

    ledger: Ledger
    all_versions: Listing
    served: Listing


def is_hidden(rows: Iterable[Row]) -> bool:
    """Tell whether a version is yanked: one of its rows is."""
    return any(row.yanked is not None for row in rows)


def listed(name: str, version: str, rows: Iterable[Row], excluded: Iterable[Exclusion] = ()) -> Listed:
    """Return what the listings say of a version by its rows: every format, the description of the latest."""
    rows = tuple(rows)
    hidden = tuple(excluded)
    formats = {fmt for row in rows for fmt in row.formats if not hides(hidden, name, version, fmt)}
    described = [row.data[DESCRIPTION] for row in rows if row.data.get(DESCRIPTION) is not None]
    return Listed(
        name=name, version=version, formats=tuple(sorted(formats)), description=described[-1] if described else None
    )


def show(records: Records, name: str, version: str, excluded: Iterable[Exclusion] = ()) -> Records:
    """Return the records with a version of ours in both listings; unchanged where it is yanked or excluded."""
    rows = [row for row in records.ledger.rows if row.data[VERSION] == version and row.name == name]
    if is_hidden(rows):
        return records
    one = listed(name, version, rows, excluded)
    if not one.formats:
        return records
    return replace(
        records,
        all_versions=files.add_version(records.all_versions, one),
        served=files.add_served(records.served, one),
    )


def yank(records: Records, name: str, version: str, *, at: str, by: str | None, reason: str) -> Records:
    """Return the records with a version taken out of the listings; a second yank changes nothing.

    Args:
        records: as they are.
        name: registered name, or a model id for rows that are older than this tool.
        version: of the model.
        at: UTC, ``YYYY-MM-DDTHH:MM:SSZ``.
        by: ``@login``, null where nobody said.
        reason: for people.
    """
    named = names_in_listings(records, name, version)
    ledger = records.ledger
    if not is_hidden(rows_of(ledger, name, version)):
        word: dict[str, Any] = {AT: at, BY: by, REASON: reason}
        taken = [taken_from(records, one) for one in named]
        rows, first = [], True
        for row in ledger.rows:
            if row.is_named(name) and row.version == version:
                said = {**word, TAKEN: taken} if first else word
                rows.append(row.with_data({**row.data, YANKED: said}))
                first = False
            else:
                rows.append(row)
        ledger = ledger.with_rows(tuple(rows))
    all_versions, served = records.all_versions, records.served
    for one in named:
        formats = formats_of(records, one)
        served = files.take_served(served, one, version, formats)
        all_versions = files.take_version(all_versions, one, version)
    return Records(ledger=ledger, all_versions=all_versions, served=served)


def restore(records: Records, name: str, version: str, excluded: Iterable[Exclusion] = ()) -> Records:
    """Return the records with a yanked version back where it was; unchanged where it is not yanked."""
    own = rows_of(records.ledger, name, version)
    if not is_hidden(own):
        return records
    taken: list[dict[str, Any]] = [item for row in own if row.yanked for item in row.yanked.get(TAKEN, [])]
    found = records
    for item in taken:
        found = _put(found, item, version)
    rows = []
    for row in records.ledger.rows:
        if row.version == version and row.is_named(name):
            rows.append(row.with_data({column: value for column, value in row.data.items() if column != YANKED}))
        else:
            rows.append(_told(row, taken, version))
    found = replace(found, ledger=records.ledger.with_rows(tuple(rows)))
    for one in {row.name for row in own if row.name and taken}:
        found = show(found, one, version, excluded)
    return found


def rows_of(ledger: Ledger, name: str, version: str) -> tuple[Row, ...]:
    """Return the rows of a version."""
    return tuple(row for row in ledger.rows if row.data[VERSION] == version and row.is_named(name))


def names_in_listings(records: Records, name: str, version: str) -> tuple[str, ...]:
    """Return the names under which the listings may have a version: the ledger's, or all that end in a model id."""
    rows = rows_of(records.ledger, name, version)
    own = {row.name for row in rows if row.name}
    if own:
        return tuple(sorted(own))
    there = {*records.all_versions.names(), *records.served.names()}
    ids = {row.model_id for row in rows}
    return tuple(sorted(one for one in there if one in ids or one.partition("/")[2] in ids))


def formats_of(records: Records, name: str) -> dict[str, set[str]]:
    """Return version → formats of a model, from the listing that says it and from the ledger."""
    found = {version: set(formats) for version, formats in files.versions_of(records.all_versions, name).items()}
    for row in records.ledger.rows:
        if row.name == name:
            found.setdefault(row.version, set()).update(row.formats)
    return found


def taken_from(records: Records, name: str) -> dict[str, Any]:
    """Return what stands in the listings under a name before something is taken out of it."""
    return {
        file: {ENTRY: entry, ORDER: _order(listing, name)}
        for file, listing in ((files.ALL_VERSIONS, records.all_versions), (files.SERVED, records.served))
        if (entry := listing.entry(name)) is not None
    }


def _order(listing: Listing, name: str) -> list[str] | None:
    """Return the names of a listing in which an entry could not be put back by its name; else null."""
    names = listing.names()
    without = [item for item in names if item != name]
    return None if insert(without, name, text_key) == names else names


def _put(records: Records, item: dict[str, Any], version: str) -> Records:
    """Return the records with one version back in the listings that it was taken from."""
    everywhere, served = item.get(files.ALL_VERSIONS), item.get(files.SERVED)
    found = records
    if everywhere and version in everywhere[ENTRY]["versions"]:
        name = everywhere[ENTRY]["name"]
        entry = _with_version(everywhere[ENTRY], records.all_versions.entry(name), version)
        order = everywhere[ORDER] or ()
        found = replace(found, all_versions=records.all_versions.with_entry(name, entry, order))
    if served and version in served[ENTRY]["version"]:
        name = served[ENTRY]["name"]
        entry = _with_served(served[ENTRY], records.served.entry(name), version, _known(records, item, name))
        found = replace(found, served=records.served.with_entry(name, entry, served[ORDER] or ()))
    return found


def _known(records: Records, item: dict[str, Any], name: str) -> dict[str, set[str]]:
    """Return version → formats of a model as they were known when something was taken out."""
    known = {row.version: set(row.formats) for row in records.ledger.rows if row.name == name}
    stood = item.get(files.ALL_VERSIONS)
    for version, facts in (stood[ENTRY]["versions"] if stood else {}).items():
        known.setdefault(version, set()).update(facts["format"])
    return known


def _with_version(before: Entry, now: Entry | None, version: str) -> Entry:
    there = {} if now is None else now["versions"]
    facts = {**there, version: there.get(version, before["versions"][version])}
    order = put_back(list(before["versions"]), list(there), set(facts), version_key)
    return {**(now or before), "versions": {item: facts[item] for item in order}}


def _with_served(before: Entry, now: Entry | None, version: str, known: Mapping[str, set[str]]) -> Entry:
    versions = [] if now is None else now["version"]
    formats = [] if now is None else now["format"]
    gone = [item for item in before["version"] if item != version and item not in versions]
    others = {fmt for item in gone for fmt in known.get(item, ())}
    own = known.get(version, set(before["format"]))
    wanted = {fmt for fmt in before["format"] if fmt in own or fmt not in others} | set(formats)
    return {
        **(now or before),
        "version": put_back(before["version"], versions, {*versions, version}, version_key),
        "format": put_back(before["format"], formats, wanted, text_key),
    }


def _told(row: Row, taken: list[dict[str, Any]], version: str) -> Row:
    """Return a row that is still yanked, which knows the place of what was yanked before it and is back again."""
    if row.yanked is None or TAKEN not in row.yanked:
        return row
    known = [{file: dict(stood) for file, stood in item.items()} for item in row.yanked[TAKEN]]
    for own in known:
        for back in taken:
            for file in own.keys() & back.keys():
                _tell(own[file], row.version, back[file], version)
    return row.with_data({**row.data, YANKED: {**row.yanked, TAKEN: known}})


def _tell(own: dict[str, Any], own_version: str, back: Mapping[str, Any], version: str) -> None:
    """Put what is back into what a later yank has kept; an earlier one had seen it, or it was recorded since."""
    entry, before = own[ENTRY], back[ENTRY]
    later = entry["name"] == before["name"] and own_version in _versions(before) and version not in _versions(entry)
    if later and version in before.get("versions", ()):
        own[ENTRY] = _with_version(before, entry, version)
    elif later and version in before.get("version", ()):
        own[ENTRY] = _with_served(before, entry, version, {})
    names = own[ORDER] or []
    if back[ORDER] and entry["name"] in back[ORDER] and before["name"] not in names:
        own[ORDER] = put_back(back[ORDER], names or [entry["name"]], {*back[ORDER], *names}, text_key)


def _versions(entry: Entry) -> Any:
    return entry["versions"] if "versions" in entry else entry["version"]
