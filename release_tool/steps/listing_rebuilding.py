"""Make both listings of a repository anew from the keys of a bucket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.core.catalogue import split_name
from release_tool.core.excluded import EXCLUDED, Exclusion, excluded_text
from release_tool.core.listing import ALL_VERSIONS, SERVED, pairs
from release_tool.core.listing_rebuild import found_in, meant, rebuild
from release_tool.core.naming import CONFIG_FILE, ROOT
from release_tool.errors import Fault, PublishError, RecordError, RequestError
from release_tool.services.buckets import is_missing_folder, open_bucket
from release_tool.steps.claiming import MAX_DOCUMENT_BYTES
from release_tool.steps.settings import address_of
from release_tool.steps.worktree import diff_of, held, read_mendable, write_changes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from release_tool.core.listing_rebuild import Rebuilt, Version
    from release_tool.services.bucket import Bucket
    from release_tool.steps.worktree import State


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingRebuilt:
    """What ``listing rebuild`` did, or with --draft would do."""

    to: str
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    """NAME@VERSION that were listed and do not lie in the bucket."""
    halves: tuple[str, ...]
    """Folders of the bucket in which archive or config.json is missing: not listed."""
    unreadable: tuple[str, ...] = ()
    """What is wrong with each listing that could not be read."""
    diff: str | None = None


def run_rebuild(repo: Path, to: str, drop: Iterable[str], *, draft: bool = False) -> ListingRebuilt:
    """Make both listings of the repository anew.

    Args:
        repo: the repository.
        to: address of the bucket, or the name of a target.
        drop: ``NAME@VERSION`` of what is left out although it lies there.
        draft: change nothing.

    Raises:
        UsageError: a name to drop means nothing that lies there or is listed.
        RecordError: an entry would be lost; a file is not what it must be.
        PublishError: the bucket refused, or is a folder that does not exist.
        Unreachable: it did not answer.
    """
    bucket = open_bucket(address_of(repo, to))
    named = [_version(word) for word in drop]
    with held(repo, "listing rebuild", draft=draft):
        state, unreadable = read_mendable(repo)
        keys = tuple(bucket.keys(f"{ROOT}/"))
        _refuse_nothing(bucket, state, keys, unreadable)
        found = found_in(keys)
        there = {*found.versions, *pairs(state.records.all_versions), *pairs(state.records.served)}
        dropped = tuple(one for name, version in named for one in meant(name, version, there, state.records.ledger))
        made = rebuild(
            state.records,
            found,
            excluded=state.excluded,
            dropped=dropped,
            descriptions=_descriptions(bucket, found.whole),
        )
        _refuse_loss(made)
        after = {ALL_VERSIONS: made.all_versions.data(), SERVED: made.served.data()}
        changes = state.changes({**after, **_excluded(state, dropped)})
        if not draft:
            write_changes(repo, changes)
    return ListingRebuilt(
        to=bucket.address,
        changed=tuple(change.name for change in changes),
        gone=tuple(f"{name}@{version}" for name, version in made.gone),
        halves=found.halves,
        unreadable=unreadable,
        diff=diff_of(changes) if draft else None,
    )


def _version(word: str) -> Version:
    name, version = split_name(word)
    if not name or not version:
        raise RequestError((Fault("--drop", f"{word[:200]!r} names no version", "NAME@VERSION"),))
    return name, version


def _refuse_nothing(bucket: Bucket, state: State, keys: tuple[str, ...], unreadable: tuple[str, ...]) -> None:
    """Refuse to empty the listings because nothing is where the bucket is said to be."""
    if keys:
        return
    if is_missing_folder(bucket):
        raise PublishError(f"{bucket.address} does not exist.", hint="Correct the address of --to.")
    if unreadable or state.records.all_versions.entries or state.records.served.entries:
        raise RecordError(
            f"Nothing at all lies under {ROOT}/ in {bucket.address}, and the listings have entries.",
            hint="Correct the address of --to; listings that are to be empty are emptied by hand.",
        )


def _excluded(state: State, dropped: Iterable[Version]) -> dict[str, bytes]:
    """Return excluded.json with what was dropped; nothing where it says so already."""
    known = {(one.name, one.version) for one in state.excluded if one.format is None}
    more = [
        Exclusion(name=name, version=version, reason="dropped by listing rebuild")
        for name, version in dropped
        if (name, version) not in known
    ]
    return {EXCLUDED: excluded_text((*state.excluded, *more)).encode()} if more else {}


def _descriptions(bucket: Bucket, versions: dict[Version, set[str]]) -> dict[Version, str]:
    """Return what the config.json of each version says; nothing for one that says nothing."""
    found: dict[Version, str] = {}
    for (name, version), formats in versions.items():
        there = bucket.read(f"{ROOT}/{name}/{version}/{min(formats)}/{CONFIG_FILE}", MAX_DOCUMENT_BYTES)
        try:
            data = json.loads(there[0]) if there else {}
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict) and isinstance(data.get("description"), str):
            found[name, version] = data["description"]
    return found


def _refuse_loss(made: Rebuilt) -> None:
    if made.lost:
        lines = "\n".join(f"  - {name}@{version}" for name, version in made.lost)
        raise RecordError(
            f"The listings would lose what lies in the bucket and was not yanked:\n{lines}",
            hint="Name each with --drop NAME@VERSION, yank it, or correct model_listing/excluded.json.",
        )
