"""Read what was approved, and refuse everything else.

Each file is read once; its digest is compared with review.json, and the digest over all of them with the one that
people approved. After that every document is what they saw, and what forbids a release is asked again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.core.publication import licence_refusal
from release_tool.core.review import REVIEW_NAME, Review
from release_tool.documents import file_parts
from release_tool.errors import IntegrityError, UsageError, ValidationFailed
from release_tool.steps.review_reading import read_release

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.core.bundle import Bundle, FileDigest
    from release_tool.core.parts import FileParts
    from release_tool.core.plan import ReleasePlan
    from release_tool.documents import WorkFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """A release whose bytes are those that were approved."""

    plan: ReleasePlan
    bundles: Mapping[str, Bundle]
    review: Review
    parts: Mapping[str, FileParts]
    """Path in the work folder → what was read there: every approved file, the pages, and review.json."""


def read_approved(work: WorkFolder, approved: str) -> Approved:
    """Return the release of a work folder.

    Args:
        work: the work folder.
        approved: the digest that people approved.

    Raises:
        UsageError: a step before has not run; nobody has accepted the licence.
        IntegrityError: the digest, or the bytes of a file, are not the approved ones.
        ValidationFailed: something speaks against a release.
    """
    review = work.read(Review, REVIEW_NAME, made_by="review")
    wrong = review.fault()
    if wrong is not None:
        raise IntegrityError(f"{REVIEW_NAME} contradicts itself: {wrong}.", hint="Run release-tool review again.")
    if review.digest is None:
        raise ValidationFailed(f"The release may not be published: {review.reasons[0]}.")
    if review.digest != approved:
        raise IntegrityError(
            f"{approved} was approved; the release in the work folder has the digest {review.digest}.",
            hint="Approve this one, or use the work folder that was approved.",
        )
    parts = {file.path: _read(work, file) for file in (*review.files, *review.pages)}
    parts[REVIEW_NAME] = file_parts(work.path(REVIEW_NAME))
    found = read_release(work, look_inside=False)
    if found.review.reasons:
        raise ValidationFailed(f"The release may not be published: {found.review.reasons[0]}.")
    if found.review.digest != approved:
        raise IntegrityError(
            f"The files of the work folder make the digest {found.review.digest}, not {approved}.",
            hint="Files came or went after the review; run release-tool review again.",
        )
    refusal = licence_refusal(found.plan)
    if refusal is not None:
        raise UsageError(
            f"The release may not be published: {refusal}.",
            hint="Plan it again with --accept-licence, and have that approved.",
        )
    return Approved(plan=found.plan, bundles=found.bundles, review=review, parts=parts)


def _read(work: WorkFolder, file: FileDigest) -> FileParts:
    path = work.path(file.path)
    if not path.is_file():
        raise IntegrityError(f"{file.path} was approved and is gone.", hint="Use the work folder that was approved.")
    found = file_parts(path)
    if (found.size, found.sha256) != (file.size, file.sha256):
        raise IntegrityError(
            f"{file.path} is not the file that was approved: its bytes have changed.",
            hint="Use the work folder that was approved, or review it again.",
        )
    return found
