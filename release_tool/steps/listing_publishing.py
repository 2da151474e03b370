"""Write the listings into a bucket: each over exactly the one that was read there, and never losing an entry unawares.

The one that OpenSearch reads is written last. Two that publish at the same time meet at the store's condition; who
loses reads again what the other one has written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.core.digest import sha256_bytes
from release_tool.core.listing import LISTINGS, pairs, parse
from release_tool.core.listing_rebuild import yanked
from release_tool.core.naming import ROOT
from release_tool.errors import PublishError, RecordError, Unreachable
from release_tool.services.bucket import Taken
from release_tool.steps.worktree import read_state

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.listing import Listing
    from release_tool.services.bucket import Bucket, Stored
    from release_tool.steps.worktree import State

JSON = "application/json"
MAX_LISTING_BYTES = 64 << 20
TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One listing in the bucket."""

    key: str
    sha256: str
    written: bool
    """False where the very same bytes lay there already."""
    etag: str | None
    version_id: str | None


def publish_listings(repo: Path, bucket: Bucket, *, dry_run: bool = False) -> tuple[Sent, ...]:
    """Write both listings of a repository.

    Args:
        repo: the repository.
        bucket: where to.
        dry_run: only look.

    Raises:
        RecordError: there is no listing; the bucket's has what this one lacks.
        PublishError: the bucket refused, or what lies there is no listing.
        Unreachable: it did not answer, or others write there all the time.
    """
    state = read_state(repo)
    listings = {LISTINGS[0]: state.records.all_versions, LISTINGS[1]: state.records.served}
    for name, listing in listings.items():
        if listing.source is None:
            raise RecordError(f"{name} is not there.", hint="Run release-tool record, or listing rebuild, first.")
    for name, listing in listings.items():  # both, before either is written
        _there(bucket, state, name, listing)
    return tuple(_send(bucket, state, name, listing, dry_run=dry_run) for name, listing in listings.items())


def _send(bucket: Bucket, state: State, name: str, listing: Listing, *, dry_run: bool) -> Sent:
    key, data = f"{ROOT}/{name}", listing.data()
    for _ in range(TRIES):
        found = _there(bucket, state, name, listing)
        stored = found[1] if found else None
        if (found and found[0] == data) or dry_run:
            return _sent(key, data, stored, written=found is None or found[0] != data)
        try:
            stored = bucket.write(key, data, match=stored.etag if stored else None, content_type=JSON)
        except Taken:
            continue
        return _sent(key, data, stored, written=True)
    raise Unreachable(f"{key} in {bucket.address} changes all the time.", hint="Run again when the others have ended.")


def _sent(key: str, data: bytes, stored: Stored | None, *, written: bool) -> Sent:
    return Sent(
        key=key,
        sha256=sha256_bytes(data),
        written=written,
        etag=stored.etag if stored else None,
        version_id=stored.version_id if stored else None,
    )


def _there(bucket: Bucket, state: State, name: str, listing: Listing) -> tuple[bytes, Stored] | None:
    """Return the bucket's listing, once nothing of it would be lost."""
    key = f"{ROOT}/{name}"
    found = bucket.read(key, MAX_LISTING_BYTES)
    if found is None:
        return None
    try:
        there = parse(found[0], name)
    except RecordError as error:
        raise PublishError(
            f"{key} in {bucket.address} is no listing: {error}", hint="Look who wrote it; it is not touched."
        ) from error
    missing = pairs(there) - pairs(listing)
    hidden = yanked(state.records.ledger, missing)
    whole = {(one.name, one.version) for one in state.excluded if one.format is None}
    lost = sorted(missing - hidden - whole)
    if lost:
        lines = "\n".join(f"  - {one}@{version}" for one, version in lost)
        raise RecordError(
            f"{key} in {bucket.address} lists what {name} of the repository lacks:\n{lines}",
            hint="Take the newest state of the repository, run listing rebuild, or yank what is not to be listed.",
        )
    return found
