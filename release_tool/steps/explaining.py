"""What a digest is, by the ledger and by everything that releases leave in a bucket.

A release tells of itself in three ways: by the claims of its keys, by the documents under ``releases/<digest>/``, and
in the end by its marker, or by the tombstone in the marker's place. One that was interrupted has only the first two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.core import catalogue
from release_tool.core import ledger_columns as column
from release_tool.core.catalogue import MIN_DIGITS, Meaning
from release_tool.core.digest import SHA256_HEX
from release_tool.core.listing import place_of
from release_tool.core.publication import CLAIMS, MARKER, RELEASES, GivenUp, Released, claim_key, marker_key
from release_tool.errors import Fault, RequestError, UsageError
from release_tool.services.buckets import open_bucket
from release_tool.steps.claiming import read_claim, read_marker
from release_tool.steps.settings import address_of
from release_tool.steps.worktree import read_ledger

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from release_tool.core.ledger import Row
    from release_tool.core.publication import Claim
    from release_tool.services.bucket import Bucket

DIGITS = re.compile(rf"[0-9a-f]{{{MIN_DIGITS},64}}")
APPROVED = catalogue.MEANINGS[column.APPROVED]
UNFINISHED = "not complete"


def explained(repo: Path, digest: str, to: str | None) -> tuple[Meaning, ...]:
    """Return everything that ledger and bucket know of a digest.

    Args:
        repo: whose ledger is read.
        digest: at least the first eight digits.
        to: address of a bucket that is asked, too, or the name of a target.

    Raises:
        RequestError: it is no digest.
        UsageError: nothing is known of it.
        PublishError: the bucket refused, or holds what is no such document.
        Unreachable: it did not answer.
    """
    digits = digest.lower().rpartition(":")[2]
    if not DIGITS.fullmatch(digits):
        hint = f"hexadecimal, at least the first {MIN_DIGITS} digits"
        raise RequestError((Fault("SHA256", f"{digest[:100]!r} is no digest", hint),))
    ledger = read_ledger(repo)
    found = list(catalogue.explain(ledger, digits))
    if to:
        bucket = open_bucket(address_of(repo, to))
        found += in_bucket(bucket, digits)
        found += [
            meaning
            for row in ledger.rows
            if row.key
            and (catalogue.matches(row.data[column.ARCHIVE], digits) or (row.approved or "").startswith(digits))
            for meaning in _now(bucket, row)
        ]
    if not found:
        where = "ledger" + (f" and {to}" if to else "")
        raise UsageError(f"Nothing is known of {digits}: {where}.", hint="" if to else "Ask a bucket with --to.")
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """What a release has left in a bucket, beside its marker."""

    approved: str
    claims: tuple[Claim, ...]
    """Those that it holds."""
    lost: tuple[Claim, ...]
    """Those of others that were put in the place of its own."""
    documents: tuple[str, ...]
    """Keys under ``releases/<digest>/``."""

    @property
    def of(self) -> str:
        """Name and version, as its claims tell them; the digest without a claim."""
        places = (place_of(claim.key) for claim in (*self.claims, *self.lost))
        names = dict.fromkeys(f"{place[0]} {place[1]}" for place in places if place)
        return ", ".join(names) or self.approved


def in_bucket(bucket: Bucket, digits: str) -> list[Meaning]:
    """Return what all releases of a bucket say of a digest.

    Raises:
        PublishError: the bucket refused, or holds what is no such document.
        Unreachable: it did not answer.
    """
    found: list[Meaning] = []
    for left in _releases(bucket):
        slot = read_marker(bucket, left.approved)
        if isinstance(slot, Released):
            found += _complete(slot, digits)
        elif isinstance(slot, GivenUp):
            found += _given_up(slot, left, digits)
        else:
            found += _unfinished(left, digits)
    return found


def _releases(bucket: Bucket) -> Iterable[_Left]:
    """Return every release that has left anything, by its digest."""
    documents: dict[str, list[str]] = {}
    held: dict[str, list[Claim]] = {}
    lost: dict[str, list[Claim]] = {}
    for key in bucket.keys(RELEASES):
        if key.startswith(CLAIMS):
            claim = _claim(bucket, key)
            if claim is not None:
                held.setdefault(claim.approved, []).append(claim)
                lost.setdefault(claim.instead_of or "", []).append(claim)
        elif SHA256_HEX.fullmatch(digest := key.removeprefix(RELEASES).partition("/")[0]):
            documents.setdefault(digest, []).append(key)
    for digest in sorted({*documents, *held}):
        yield _Left(
            approved=digest,
            claims=tuple(held.get(digest, ())),
            lost=tuple(lost.get(digest, ())),
            documents=tuple(key for key in documents.get(digest, ()) if key != marker_key(digest)),
        )


def _claim(bucket: Bucket, name: str) -> Claim | None:
    """Return a claim by its own key; null where it was let go of in this very moment, or is no archive's."""
    key = name.removeprefix(CLAIMS).removesuffix(".json")
    found = read_claim(bucket, key) if column.KEY_SHAPE.fullmatch(key) and claim_key(key) == name else None
    return None if found is None else found[0]


def _complete(marker: Released, digits: str) -> Iterable[Meaning]:
    """Return what a marker says: it names every object of its release by the sha256."""
    key = marker_key(marker.approved)
    of = f"{marker.model_id} {marker.version}"
    if marker.approved.startswith(digits):
        yield Meaning(what=APPROVED, of=of, where=f"{key}, released {marker.released_at}: it is complete")
    for item in marker.objects:
        if item.sha256.startswith(digits):
            yield Meaning(what=item.key, of=of, where=f"named by {key}, {item.size:,} bytes")


def _given_up(slot: GivenUp, left: _Left, digits: str) -> Iterable[Meaning]:
    where = f"{marker_key(slot.approved)}: given up {slot.at}, taken over by {slot.by}"
    if slot.approved.startswith(digits):
        yield Meaning(what=APPROVED, of=left.of, where=where)
    if slot.by.startswith(digits):
        yield Meaning(what="the release that took over", of=left.of, where=where)
    yield from _claimed(left, digits, "given up")


def _unfinished(left: _Left, digits: str) -> Iterable[Meaning]:
    if left.approved.startswith(digits):
        since = f"claimed {left.claims[0].released_at}" if left.claims else "it holds no claim any more"
        count = len(left.documents)
        there = f"{count} document{'' if count == 1 else 's'} under {RELEASES}{left.approved}/, no {MARKER}"
        yield Meaning(what=APPROVED, of=left.of, where=f"{since}, {there}: {UNFINISHED}")
    yield from _claimed(left, digits, UNFINISHED)


def _claimed(left: _Left, digits: str, state: str) -> Iterable[Meaning]:
    """Return what the claims say of a release that is not complete: nothing else names its archives by the sha256."""
    for claim in left.claims:
        for key, sha256 in claim.objects.items():
            if sha256.startswith(digits):
                where = f"named by {claim_key(claim.key)}, claimed {claim.released_at} by {left.approved}: {state}"
                yield Meaning(what=key, of=left.of, where=where)


def _now(bucket: Bucket, row: Row) -> list[Meaning]:
    """Return what lies under a row's key now, and who claims it."""
    key = str(row.key)
    of = f"{row.name} {row.version} ({row.data[column.FORMAT]})"
    there = bucket.digest(key)
    same = there == row.data[column.ARCHIVE]
    where = "nothing lies there" if there is None else "these very bytes lie there" if same else f"other bytes: {there}"
    claim = read_claim(bucket, key)
    held_by = "nobody" if claim is None else f"the release {claim[0].approved}, {claim[0].released_at}"
    return [
        Meaning(what=f"{bucket.address}/{key}", of=of, where=where),
        Meaning(what="the claim", of=of, where=f"held by {held_by}"),
    ]
