"""Publish exactly once: claims, then archives, then what proves them, then checksums read back, then the marker.

Each request is safe to repeat and each has a condition that the store holds, so a killed run is continued by running it
again; and of any number that want one version with different bytes one goes on, and the others leave nothing behind.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.core.codec import encode_text
from release_tool.core.parts import of_bytes
from release_tool.core.publication import GivenUp, Released, ReleasedObject, claim_key, marker, marker_key
from release_tool.core.receipt import PublishedObject
from release_tool.errors import AlreadyReleased, IntegrityError, PublishError
from release_tool.services.bucket import Taken
from release_tool.steps.claiming import JSON, MAX_DOCUMENT_BYTES, given_up, read_marker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from release_tool.core.parts import FileParts
    from release_tool.core.plan import ReleasePlan
    from release_tool.core.publication import Upload
    from release_tool.services.bucket import Bucket, Stored
    from release_tool.steps.claiming import Claims, Held

TRIES = 3
"""How often an object is sent that can't be created and yet is not there: its upload in parts was ended elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """One publication of one approved digest, all of whose files were read and verified."""

    bucket: Bucket
    plan: ReleasePlan
    approved: str
    claims: Claims
    served: tuple[Upload, ...]
    """What goes under ml-models/."""
    evidence: tuple[Upload, ...]
    """What goes under releases/<approved>/."""
    parts: Mapping[str, FileParts]
    """Path in the work folder → what was read there."""
    path: Callable[[str], Path]
    """From a path in the work folder to the file."""
    advance: Callable[[int], None] = lambda _: None
    """Told how many more bytes are there."""

    def publish(self) -> tuple[str, tuple[PublishedObject, ...]]:
        """Return the time of the release and every object that it now consists of.

        Raises:
            AlreadyReleased: a key is taken by another release; nothing of this one stays behind.
            IntegrityError: bytes changed, here or there.
            PublishError: the store refused, or what the plan replaces is gone.
            Unreachable: the store did not answer; what is there is kept.
        """
        held = self.claims.take()
        self._look(held)
        for upload in self.served:
            self._place(upload, held)
        for upload in self.evidence:
            self._place(upload, held)
        objects = [self._read_back(upload) for upload in (*self.served, *self.evidence)]
        self.claims.check(held)
        released_at = held[0].claim.released_at
        objects.append(self._mark(released_at, objects))
        objects += [_published(one.stored, one.text) for one in held]
        return released_at, tuple(sorted(objects, key=lambda item: item.key))

    def planned(self) -> tuple[str, ...]:
        """Return every key that would be written, in order."""
        claimed = sorted(claim_key(artifact.key) for artifact in self.plan.artifacts)
        return (*claimed, *(upload.key for upload in (*self.served, *self.evidence)), marker_key(self.approved))

    def _look(self, held: tuple[Held, ...]) -> None:
        """Look at every key before anything is sent: something may lie there that nobody ever claimed."""
        for upload in self.served:
            found = self.bucket.head(upload.key)
            if found is not None and self._will_do(found, upload):
                continue
            refusal = self._missing(upload) if found is None else self._in_the_way(upload, held)
            if refusal is not None:
                if all(one.fresh for one in held):
                    self.claims.let_go(list(held))
                raise refusal

    def _missing(self, upload: Upload) -> PublishError | None:
        """Return why an object may not be created: the plan replaces one, and there is none.

        A killed run that goes on finds old bytes or its own under each such key, never nothing. Where the release is
        complete, the object was replaced, and only what somebody removed since is put back.
        """
        planned = (self.plan.replaces or {}).get(upload.key)
        if planned is None or isinstance(read_marker(self.bucket, self.approved), Released):
            return None
        return nothing_to_replace(upload.key, planned, self.bucket)

    def _in_the_way(self, upload: Upload, held: tuple[Held, ...]) -> AlreadyReleased | None:
        """Return why other bytes may not be overwritten; null where the plan does it, or a dead release left them.

        Raises:
            IntegrityError: they lie among what proves this very release.
        """
        there, key = self.bucket.digest(upload.key), upload.key
        planned = (self.plan.replaces or {}).get(key)
        leftovers = {sha256 for one in held if key in one.claim.objects for sha256 in one.claim.leftovers}
        if there is None or there == planned or there in leftovers:
            return None
        if upload not in self.served:
            raise IntegrityError(
                f"{key} in {self.bucket.address} holds other bytes than were approved.",
                hint="Nobody but this release writes there: find out who did.",
            )
        if planned is not None:
            return AlreadyReleased(
                f"{key} in {self.bucket.address} has the digest {there}; the plan replaces {planned}.",
                hint="It was released again since: run check --overwrite and everything after it again.",
            )
        return AlreadyReleased(
            f"{key} in {self.bucket.address} exists with other bytes: {there}.",
            hint="Release a new version, or plan to replace it with check --overwrite.",
        )

    def _place(self, upload: Upload, held: tuple[Held, ...]) -> None:
        """Send a file unless it is there; over other bytes only where these may be replaced."""
        for _ in range(TRIES):
            found = self.bucket.head(upload.key)
            if found is not None and self._will_do(found, upload):
                self.advance(upload.file.size)
                return
            refusal = self._missing(upload) if found is None else self._in_the_way(upload, held)
            if refusal is not None:
                raise refusal
            # Taken: by the same release elsewhere, by a request of ours whose answer was lost, or by one who shouldn't.
            with suppress(Taken):
                self.bucket.send(
                    upload.key,
                    self.path(upload.file.path),
                    self.parts[upload.file.path],
                    match=None if found is None else found.etag,
                    content_type=upload.content_type,
                    advance=self.advance,
                )
                return
        raise PublishError(
            f"{upload.key} in {self.bucket.address} can't be created and is not there.",
            hint="Somebody writes and removes there: look at the bucket's policy and who has its rights.",
        )

    def _will_do(self, found: Stored, upload: Upload) -> bool:
        """Tell whether an object holds a file's bytes: by the store's checksum, else by reading it."""
        if not upload.fixed:  # a page that was rendered twice may differ; the first one stays
            return True
        file = self.parts[upload.file.path]
        told = found.holds(file)
        return self.bucket.digest(found.key) == file.sha256 if told is None else told

    def _read_back(self, upload: Upload) -> PublishedObject:
        found = self.bucket.head(upload.key)
        if found is None or not self._will_do(found, upload):
            raise PublishError(
                f"{upload.key} in {self.bucket.address} {'is gone' if found is None else 'holds other bytes'} after it"
                " was sent; the release is not marked as complete.",
                hint="Look at the store and at who else writes there, then publish again.",
            )
        sha256 = upload.file.sha256 if upload.fixed else (self.bucket.digest(upload.key) or "")
        return PublishedObject(
            key=upload.key,
            size=found.size,
            sha256=sha256,
            etag=found.etag,
            version_id=found.version_id,
            replaced=(self.plan.replaces or {}).get(upload.key),
        )

    def _mark(self, released_at: str, objects: list[PublishedObject]) -> PublishedObject:
        """Write the marker, or find that it is there: the release is complete."""
        listed = [ReleasedObject(key=item.key, size=item.size, sha256=item.sha256) for item in objects]
        wanted = marker(self.plan, self.approved, released_at, listed)
        text, key = encode_text(wanted).encode(), marker_key(self.approved)
        with suppress(Taken):
            return _published(self.bucket.write(key, text, match=None, content_type=JSON), text)
        slot = read_marker(self.bucket, self.approved)
        if isinstance(slot, GivenUp):
            raise given_up(slot)
        found = self.bucket.read(key, MAX_DOCUMENT_BYTES)
        if slot != wanted or found is None:
            raise IntegrityError(
                f"{key} in {self.bucket.address} marks something else than this release.",
                hint="Nobody but this release writes there: find out who did.",
            )
        return _published(found[1], found[0])


def nothing_to_replace(key: str, planned: str, bucket: Bucket) -> PublishError:
    """Return the refusal of an overwrite of what is not there."""
    return PublishError(
        f"{key} is not in {bucket.address}; the plan replaces {planned} there.",
        hint="Look who removed it, and whether the address is the right one. check --overwrite and everything after it"
        " again plans for what lies there now.",
    )


def _published(stored: Stored, data: bytes) -> PublishedObject:
    file = of_bytes(data)
    return PublishedObject(
        key=stored.key, size=file.size, sha256=file.sha256, etag=stored.etag, version_id=stored.version_id
    )
