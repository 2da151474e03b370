"""Where the files of the records disagree with the ledger, and with each other. Says it; changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core import listing as files
from release_tool.core.changelog import CHANGELOG, SHOWN_DIGITS, named
from release_tool.core.history import HISTORY
from release_tool.core.ledger import LEDGER, key_of
from release_tool.core.yank import listed, names_in_listings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from release_tool.core.excluded import Exclusion
    from release_tool.core.ledger import Ledger, Row
    from release_tool.core.listing import Listing
    from release_tool.core.yank import Records

Version = tuple[str, str]
"""Name and version."""


def disagreements(
    records: Records, *, history: str | None, rendered: str, changelog: str | None, excluded: Sequence[Exclusion] = ()
) -> tuple[str, ...]:
    """Return one line for each place where the files disagree.

    Args:
        records: ledger and listings.
        history: the page as it lies there; null without one.
        rendered: the page as the ledger makes it.
        changelog: its text; null without one.
        excluded: what the listings leave out on purpose.
    """
    return (
        *_repeats(records.ledger),
        *_history(history, rendered),
        *_changelog(records.ledger, changelog),
        *_listings(records, excluded),
        *_each_other(records.all_versions, records.served),
    )


def _repeats(ledger: Ledger) -> list[str]:
    seen: set[tuple[str, str]] = set()
    found = []
    for number, row in enumerate(ledger.rows, 1):
        if row.identity in seen:
            found.append(f"{LEDGER}, row {number}: {key_of(row)} stands there already with the same digest")
        if row.identity:
            seen.add(row.identity)
    return found


def _history(history: str | None, rendered: str) -> list[str]:
    if history == rendered:
        return []
    if history is None:
        return [f"{HISTORY}: it is not there"]
    there, wanted = history.splitlines(), rendered.splitlines()
    same = next((i for i, (one, other) in enumerate(zip(there, wanted, strict=False)) if one != other), None)
    line = min(len(there), len(wanted)) if same is None else same
    return [f"{HISTORY}, line {line + 1}: it is not what {LEDGER} makes of it"]


def _changelog(ledger: Ledger, changelog: str | None) -> list[str]:
    there = named(changelog or "")
    lost = {
        row.approved: f"{row.model_id} {row.version}"
        for row in ledger.rows
        if row.approved and row.approved[:SHOWN_DIGITS] not in there
    }
    return [f"{CHANGELOG}: nothing in it names {what}, digest {digest[:SHOWN_DIGITS]}" for digest, what in lost.items()]


def by_version(ledger: Ledger) -> dict[Version, list[Row]]:
    """Return the rows of each version, by registered name, or by model id where a row is older than this tool."""
    found: dict[Version, list[Row]] = {}
    for row in ledger.rows:
        found.setdefault((row.name or row.model_id, row.version), []).append(row)
    return found


def _listings(records: Records, excluded: Sequence[Exclusion]) -> list[str]:
    all_pairs, served_pairs = files.pairs(records.all_versions), files.pairs(records.served)
    by_name = {entry["name"]: entry for entry in records.all_versions.entries}
    served = {entry["name"]: entry for entry in records.served.entries}
    found = []
    for (name, version), rows in by_version(records.ledger).items():
        if any(row.yanked is not None for row in rows):
            for one in names_in_listings(records, name, version):
                places = ((files.ALL_VERSIONS, all_pairs), (files.SERVED, served_pairs))
                found += [f"{file}: {one} {version} is yanked" for file, there in places if (one, version) in there]
        elif rows[0].name is not None and (formats := set(listed(name, version, rows, excluded).formats)):
            if (name, version) not in all_pairs:
                found.append(f"{files.ALL_VERSIONS}: {name} {version} is missing")
            elif lost := formats - set(by_name[name]["versions"][version]["format"]):
                found.append(f"{files.ALL_VERSIONS}: {name} {version} lacks {', '.join(sorted(lost))}")
            if (name, version) not in served_pairs:
                found.append(f"{files.SERVED}: {name} {version} is missing")
            elif lost := formats - set(served[name]["format"]):
                found.append(f"{files.SERVED}: {name} lacks {', '.join(sorted(lost))}")
    return found


def _each_other(all_versions: Listing, served: Listing) -> list[str]:
    one, other = files.pairs(all_versions), files.pairs(served)
    return [
        *(f"{files.SERVED}: {name} {version} is only in {files.ALL_VERSIONS}" for name, version in sorted(one - other)),
        *(f"{files.ALL_VERSIONS}: {name} {version} is only in {files.SERVED}" for name, version in sorted(other - one)),
    ]
