"""Make both listings anew from the keys of the bucket: what lies there, less what is yanked or excluded.

Law (a test holds it): an entry whose objects exist is never lost. It goes only where the ledger has yanked it, or
where it was named; anything else is told, and nothing is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from release_tool.core import listing as files
from release_tool.core.escape import one_line
from release_tool.core.excluded import hides
from release_tool.core.kinds import Format
from release_tool.core.listing import Listed
from release_tool.core.naming import CONFIG_FILE, ROOT, derived_key
from release_tool.core.ordered import version_key
from release_tool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from release_tool.core.excluded import Exclusion
    from release_tool.core.ledger import Ledger, Row
    from release_tool.core.listing import Listing
    from release_tool.core.yank import Records

Version = tuple[str, str]
"""Registered name and version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What lies in a bucket."""

    whole: dict[Version, set[str]]
    """Name and version → formats of which archive and config.json are there."""
    halves: tuple[str, ...]
    """Folders in which one of both is missing."""

    @property
    def versions(self) -> set[Version]:
        """Everything of which anything is there."""
        places = (files.place_of(f"{folder}{CONFIG_FILE}") for folder in self.halves)
        return {*self.whole, *(place[:2] for place in places if place)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """The listings as they would be, and what of the old ones is not in them."""

    all_versions: Listing
    served: Listing
    lost: tuple[Version, ...]
    """Listed until now and there, and neither yanked nor named with ``--drop``."""
    gone: tuple[Version, ...]
    """Listed until now, and not there."""


def found_in(keys: Iterable[str]) -> Found:
    """Return what lies in a bucket by its keys."""
    there: dict[tuple[str, str, str], set[str]] = {}
    for key in keys:
        place = files.place_of(key)
        if place is not None and place[2] in set(Format):
            there.setdefault(place, set()).add(key)
    whole: dict[Version, set[str]] = {}
    halves = []
    for (name, version, fmt), held in there.items():
        folder = f"{ROOT}/{name}/{version}/{fmt}/"
        if {f"{folder}{CONFIG_FILE}", derived_key(name, version, Format(fmt))} <= held:
            whole.setdefault((name, version), set()).add(fmt)
        else:
            halves.append(folder)
    return Found(whole=whole, halves=tuple(sorted(halves)))


def yanked(ledger: Ledger, versions: Iterable[Version]) -> set[Version]:
    """Return which of these versions the ledger has yanked."""
    hidden: dict[str, list[Row]] = {}
    for row in ledger.rows:
        if row.yanked is not None:
            hidden.setdefault(row.version, []).append(row)
    return {(name, version) for name, version in versions if any(row.is_named(name) for row in hidden.get(version, ()))}


def meant(name: str, version: str, there: Collection[Version], ledger: Ledger) -> tuple[Version, ...]:
    """Return the versions that ``NAME@VERSION`` means, as ``models`` reads names.

    Args:
        name: a registered name, or a model id, which means every model of it.
        version: of the model.
        there: what lies in the bucket or is listed.
        ledger: tells what is registered under a name of its own.

    Raises:
        UsageError: nothing of it is there; the closest names are named.
    """
    own = {row.name for row in ledger.rows if row.name and row.version == version and row.is_named(name)}
    names = {one for one, _ in there}
    if name not in names:
        own |= {one for one in names if one.partition("/")[2] == name}
    found = tuple(sorted((one, its) for one, its in there if its == version and (one == name or one in own)))
    if found:
        return found
    of_it = sorted({its for one, its in there if one == name or one in own}, key=version_key)
    if of_it:
        hint = f"It has {', '.join(of_it)}."
    else:
        close = get_close_matches(name, sorted({*names, *(one.partition("/")[2] for one in names)}), n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(close)}?" if close else "release-tool listing show shows every name."
    raise UsageError(
        f"{one_line(name)}@{one_line(version)} lies neither in the bucket nor is it listed: nothing is dropped.",
        hint=hint,
    )


def rebuild(
    records: Records,
    found: Found,
    *,
    excluded: Sequence[Exclusion],
    dropped: Collection[Version],
    descriptions: Mapping[Version, str],
) -> Rebuilt:
    """Return both listings made anew.

    Args:
        records: the ledger, and the listings as they are: their entries keep their places.
        found: what lies in the bucket.
        excluded: what is left out on purpose.
        dropped: what was named to be left out.
        descriptions: of what is in the bucket, by its config.json; a version without one keeps what is listed.
    """
    before = files.pairs(records.all_versions) | files.pairs(records.served)
    hidden = yanked(records.ledger, {*before, *found.whole})
    wanted: dict[Version, tuple[str, ...]] = {}
    for (name, version), formats in found.whole.items():
        left = tuple(sorted(fmt for fmt in formats if not hides(excluded, name, version, fmt)))
        if left and (name, version) not in hidden and (name, version) not in dropped:
            wanted[name, version] = left
    missing = sorted(before - set(wanted))
    return Rebuilt(
        all_versions=_all_versions(records.all_versions, wanted, descriptions),
        served=_served(records.served, wanted),
        lost=tuple(one for one in missing if one in found.whole and one not in hidden and one not in dropped),
        gone=tuple(one for one in missing if one not in found.whole),
    )


def _all_versions(
    listing: Listing, wanted: Mapping[Version, tuple[str, ...]], descriptions: Mapping[Version, str]
) -> Listing:
    for name in listing.names():
        entry = listing.entry(name) or {}
        left = {
            version: {**facts, "format": [fmt for fmt in facts["format"] if fmt in wanted[name, version]]}
            for version, facts in entry["versions"].items()
            if (name, version) in wanted
        }
        listing = listing.with_entry(name, {**entry, "versions": left} if left else None)
    for (name, version), formats in sorted(wanted.items()):
        one = Listed(name=name, version=version, formats=formats, description=descriptions.get((name, version)))
        listing = files.add_version(listing, one)
    return listing


def _served(listing: Listing, wanted: Mapping[Version, tuple[str, ...]]) -> Listing:
    needed: dict[str, set[str]] = {}
    for (name, _), formats in wanted.items():
        needed.setdefault(name, set()).update(formats)
    for name in listing.names():
        entry = listing.entry(name) or {}
        left = [version for version in entry["version"] if (name, version) in wanted]
        kept = {**entry, "version": left, "format": [fmt for fmt in entry["format"] if fmt in needed.get(name, ())]}
        listing = listing.with_entry(name, kept if left else None)
    for (name, version), formats in sorted(wanted.items()):
        listing = files.add_served(listing, Listed(name=name, version=version, formats=formats))
    return listing
