"""Take the claims of a release: one an archive's key, in key order, each created once.

Whoever holds all of them may write; whoever loses one lets go of its own. A claim is never removed or replaced but by
its ETag, so nobody undoes what another one has just done. Whether a release is complete or given up is decided by one
object that is created once, its marker: a release that was given up finds that place taken and can't be completed
behind the back of the one that took over.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from release_tool.core.codec import DocumentFault, decode, encode_text, parse_text, schema_of
from release_tool.core.publication import Claim, GivenUp, Released, claim_key, claims, marker_key
from release_tool.errors import AlreadyReleased, PublishError, Unreachable
from release_tool.services.bucket import Taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from release_tool.core.plan import ReleasePlan
    from release_tool.core.publication import Upload
    from release_tool.services.bucket import Bucket, Stored

MAX_DOCUMENT_BYTES = 1 << 20
JSON = "application/json"
TRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A claim that this release holds."""

    claim: Claim
    text: bytes
    """As it lies in the bucket."""
    stored: Stored
    fresh: bool = False
    """Whether this run took it; else an earlier run of the same release did."""
    before: bytes | None = None
    """The claim that this run replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims of one approved digest."""

    bucket: Bucket
    plan: ReleasePlan
    approved: str
    served: tuple[Upload, ...]
    """What the release puts under ml-models/."""
    take_over: str | None
    """The release that a person has given up."""
    now: Callable[[], str]
    """UTC, ``YYYY-MM-DDTHH:MM:SSZ``."""

    def take(self) -> tuple[Held, ...]:
        """Take every claim or none.

        The time of a release is that of its first claim; a run that goes on with it has it from there.

        Raises:
            AlreadyReleased: another release holds one, and those of this one are gone again; or this one was given up,
                or replaced after it was complete.
            PublishError: the store refused, or holds what is no claim.
            Unreachable: the store did not answer.
        """
        wanted = claims(self.plan, self.served, self.approved, self.now())
        slot = read_marker(self.bucket, self.approved)
        if isinstance(slot, GivenUp):
            raise given_up(slot)
        if slot is not None:
            return tuple(self._still_held(claim.key) for claim in wanted)
        held: list[Held] = []
        try:
            for claim in wanted:
                held.append(self._take(replace(claim, released_at=held[0].claim.released_at) if held else claim))
        except AlreadyReleased:
            # Others take a claim of this release only after its marker's place is taken. While that is empty, it never
            # held all of them and has sent nothing.
            if read_marker(self.bucket, self.approved) is None:
                self.let_go(held)
            raise
        return tuple(held)

    def check(self, held: tuple[Held, ...]) -> None:
        """Refuse to go on once a claim is not what it was.

        Raises:
            AlreadyReleased: it is another one's now, or gone.
        """
        for one in held:
            found = self.bucket.read(claim_key(one.claim.key), MAX_DOCUMENT_BYTES)
            if found is None or found[0] != one.text:
                raise AlreadyReleased(
                    f"The claim of {one.claim.key} was lost while this release was being published.",
                    hint="Look at releases/claims in the bucket: who holds it now decides what lies there.",
                )

    def let_go(self, held: list[Held]) -> None:
        """Put things back as they were before ``take``, by the ETags: what somebody else has done since stays.

        A claim that an earlier run put in another one's place stays: what was there is not known any more.
        """
        for one in reversed(held):
            name = claim_key(one.claim.key)
            with suppress(Taken):
                if one.before is not None:
                    self.bucket.write(name, one.before, match=one.stored.etag, content_type=JSON)
                elif one.claim.instead_of is None:
                    self.bucket.remove(name, match=one.stored.etag)

    def _still_held(self, key: str) -> Held:
        found = read_claim(self.bucket, key)
        if found is None or found[0].approved != self.approved:
            whose = f"belongs to the release {found[0].approved}" if found else "belongs to nobody"
            raise AlreadyReleased(
                f"This release was completed before, and {key} in {self.bucket.address} {whose} now.",
                hint="What was replaced does not come back by itself: plan a release that replaces what lies there.",
            )
        return Held(claim=found[0], text=found[1], stored=found[2])

    def _take(self, wanted: Claim) -> Held:
        name = claim_key(wanted.key)
        for _ in range(TRIES):
            with suppress(Taken):
                return self._write(name, wanted, match=None)
            found = read_claim(self.bucket, wanted.key)
            if found is None:
                continue  # who held it lost another one and let this one go
            theirs, text, stored = found
            if theirs.approved == self.approved:
                return Held(claim=theirs, text=text, stored=stored)
            mine = self._in_place_of(theirs, wanted)
            if mine is not None:
                with suppress(Taken):
                    return self._write(name, mine, match=stored.etag, before=text)
        raise Unreachable(f"{name} changes hands all the time.", hint="Run again when the others have ended.")

    def _write(self, name: str, claim: Claim, *, match: str | None, before: bytes | None = None) -> Held:
        text = encode_text(claim).encode()
        stored = self.bucket.write(name, text, match=match, content_type=JSON)
        return Held(claim=claim, text=text, stored=stored, fresh=True, before=before)

    def _in_place_of(self, theirs: Claim, wanted: Claim) -> Claim | None:
        """Return the claim that may replace another release's; null where that is to be looked at again.

        Raises:
            AlreadyReleased: it may not be replaced.
        """
        slot = read_marker(self.bucket, theirs.approved)
        where = f"{theirs.key} in {self.bucket.address}"
        who = f"{where} belongs to the release {theirs.approved}, claimed {theirs.released_at}"
        if isinstance(slot, GivenUp):
            return replace(wanted, instead_of=theirs.approved, leftovers=theirs.left_behind())
        if slot is not None:
            replaces = self.plan.replaces or {}
            if all(replaces.get(key) == sha256 for key, sha256 in theirs.objects.items()):
                return replace(wanted, instead_of=theirs.approved)
            other = ", and the plan replaces another one" if wanted.replaces else ""
            raise AlreadyReleased(
                f"{who}; it is complete{other}.",
                hint="Release a new version, or plan to replace it with check --overwrite.",
            )
        if self.take_over != theirs.approved:
            raise AlreadyReleased(
                f"{who}; it is not complete.",
                hint=hint_for_incomplete(theirs.approved),
            )
        self._give_up(theirs.approved)
        return None

    def _give_up(self, approved: str) -> None:
        tombstone = encode_text(GivenUp(approved=approved, by=self.approved, at=self.now())).encode()
        with suppress(Taken):  # completed, or given up, in this very moment: looked at again
            self.bucket.write(marker_key(approved), tombstone, match=None, content_type=JSON)


def read_claim(bucket: Bucket, key: str) -> tuple[Claim, bytes, Stored] | None:
    """Return the claim of an archive's key, its text and how it is stored; null where nobody claims it.

    Raises:
        PublishError: the store refused, or what lies there is no claim.
    """
    return _read(bucket, claim_key(key), Claim)


def read_marker(bucket: Bucket, approved: str) -> Released | GivenUp | None:
    """Return what became of a release: complete, given up, or neither.

    Raises:
        PublishError: the store refused, or what lies there is no marker.
    """
    found = _read(bucket, marker_key(approved), Released, GivenUp)
    return None if found is None else found[0]


def hint_for_incomplete(approved: str, to: str = "") -> str:
    """Return what to do about a release that holds a claim and is not complete.

    Args:
        approved: its digest.
        to: where --take-over belongs, for another command than publish.
    """
    option = f"--take-over {approved}"
    return f"Let it end, or publish it again; if it is dead for good, add {option}{f' {to}' if to else ''}"


def given_up(slot: GivenUp) -> AlreadyReleased:
    """Return the refusal of a release that was given up."""
    return AlreadyReleased(
        f"The release {slot.approved} was given up {slot.at}, when {slot.by} took over its claims.",
        hint="It can't come back: publish the other one, or plan, prove and approve a new release.",
    )


def _read(bucket: Bucket, key: str, *wanted: Any) -> tuple[Any, bytes, Stored] | None:
    found = bucket.read(key, MAX_DOCUMENT_BYTES)
    if found is None:
        return None
    why: object = f"expected {' or '.join(cls.SCHEMA for cls in wanted)}"
    try:
        data = parse_text(found[0].decode())
        for cls in wanted:
            if schema_of(data) == cls.SCHEMA:
                return decode(cls, data), *found
    except (DocumentFault, UnicodeDecodeError) as error:
        why = error
    raise PublishError(
        f"{key} in {bucket.address} is nothing that this release-tool can read: {why}",
        hint="Look who wrote it; it is not touched.",
    )
