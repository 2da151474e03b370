"""What a publication writes: which files under which keys, in which order, and the documents it leaves in the bucket.

The layout is fixed here and nowhere else. Under ``ml-models/`` lie archives and config.json alone, because the release
job mirrors that tree; claims lie under ``releases/claims/``; everything that proves the release lies under
``releases/<approved digest>/``, the marker last of all. What fine-tuning in AWS runs lies under ``releases/finetune/``,
see ``core/tuning_packages.py``. Pure: nothing here looks at a bucket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from release_tool.core.bundle import FileDigest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from release_tool.core.bundle import Bundle
    from release_tool.core.plan import ReleasePlan
    from release_tool.core.review import Review

CLAIMS = "releases/claims/"
RELEASES = "releases/"
MARKER = "released.json"
CONTENT_TYPES = {".json": "application/json", ".zip": "application/zip", ".md": "text/markdown", ".html": "text/html"}
OTHER_CONTENT = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One file of the work folder and the key that it gets."""

    key: str
    file: FileDigest
    fixed: bool = True
    """False for the pages: they show the approved digest and are no part of it."""

    @property
    def content_type(self) -> str:
        """The media type, by the ending of the key."""
        return CONTENT_TYPES.get(self.key[self.key.rfind(".") :], OTHER_CONTENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """``releases/claims/<key of the archive>.json``: who may write this archive and its config.json."""

    SCHEMA: ClassVar[str] = "release-tool/claim@1"

    schema: str = "release-tool/claim@1"
    key: str
    approved: str
    """The digest that was approved; only a publication of this digest goes on."""
    released_at: str
    """UTC, ``YYYY-MM-DDTHH:MM:SSZ``: the time of the release, whenever its last byte arrives."""
    objects: dict[str, str]
    """Key → sha256 of what this release puts there: the archive and its config.json."""
    replaces: dict[str, str] | None = None
    """Key → sha256 that the plan overwrites on purpose, of these two; null for a normal release."""
    instead_of: str | None = None
    """The release whose claim this one replaced: complete and named by the plan, or given up."""
    leftovers: tuple[str, ...] = ()
    """The sha256 of what releases that were given up may have left under these keys; it may be overwritten."""

    def left_behind(self) -> tuple[str, ...]:
        """Return what lies under these keys for no one's good once this release is given up, sorted.

        Never what it wanted to replace: those are the bytes of a complete release, and only a plan can name them.
        """
        return tuple(sorted({*self.leftovers, *self.objects.values()} - set((self.replaces or {}).values())))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedObject:
    """One object of a complete release."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """``releases/<approved digest>/released.json``: the commit marker. Without it nothing is released."""

    SCHEMA: ClassVar[str] = "release-tool/released@1"

    schema: str = "release-tool/released@1"
    approved: str
    model_id: str
    version: str
    released_at: str
    """As in the claims."""
    replaces: dict[str, str] | None
    """Key of an object → sha256 that it had before; null for a normal release."""
    objects: tuple[ReleasedObject, ...]
    """Sorted by key: everything but the claims and this marker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """What lies in the marker's place once another release has taken over: this one can't be completed any more.

    Marker and tombstone have one key, created once: whichever is there first decides.
    """

    SCHEMA: ClassVar[str] = "release-tool/given-up@1"

    schema: str = "release-tool/given-up@1"
    approved: str
    by: str
    """The approved digest of the release that was told to take over."""
    at: str
    """UTC, ``YYYY-MM-DDTHH:MM:SSZ``."""


def claim_key(key: str) -> str:
    """Return where the claim of an archive's key lies."""
    return f"{CLAIMS}{key}.json"


def marker_key(approved: str) -> str:
    """Return where the commit marker of a release lies."""
    return f"{RELEASES}{approved}/{MARKER}"


def model_uploads(plan: ReleasePlan, bundles: Mapping[str, Bundle]) -> tuple[Upload, ...]:
    """Return what goes under ``ml-models/``: by key, each archive before its config.json.

    A client that finds a config.json finds the archive that it describes.
    """
    found: list[Upload] = []
    for artifact in sorted(plan.artifacts, key=lambda item: item.key):
        bundle = bundles[artifact.id]
        found += [Upload(key=artifact.key, file=bundle.archive), Upload(key=artifact.config_key, file=bundle.config)]
    return tuple(found)


def evidence_uploads(
    plan: ReleasePlan, bundles: Mapping[str, Bundle], review: Review, own: FileDigest
) -> tuple[Upload, ...]:
    """Return what goes under ``releases/<approved digest>/``: all that was approved but the archives, and the pages.

    Args:
        plan: the plan.
        bundles: artifact id → bundle.
        review: has a digest.
        own: review.json itself.
    """
    served = {upload.file.path for upload in model_uploads(plan, bundles)}
    folder = f"{RELEASES}{review.digest}/"
    approved = [Upload(key=folder + file.path, file=file) for file in review.files if file.path not in served]
    pages = [Upload(key=folder + file.path, file=file, fixed=False) for file in (*review.pages, own)]
    return tuple(sorted([*approved, *pages], key=lambda upload: upload.key))


def claims(plan: ReleasePlan, served: Iterable[Upload], approved: str, released_at: str) -> tuple[Claim, ...]:
    """Return one claim an archive's key, in the order in which they must be taken: by key.

    Two publications that want some of the same keys meet at the first of those and never hold one each.
    """
    sha256 = {upload.key: upload.file.sha256 for upload in served}
    replaces = plan.replaces or {}
    found = []
    for artifact in sorted(plan.artifacts, key=lambda item: item.key):
        keys = (artifact.key, artifact.config_key)
        found.append(
            Claim(
                key=artifact.key,
                approved=approved,
                released_at=released_at,
                objects={key: sha256[key] for key in keys},
                replaces={key: replaces[key] for key in keys if key in replaces} or None,
            )
        )
    return tuple(found)


def marker(plan: ReleasePlan, approved: str, released_at: str, objects: Iterable[ReleasedObject]) -> Released:
    """Return the commit marker of a release."""
    return Released(
        approved=approved,
        model_id=plan.source.model_id,
        version=plan.request.version,
        released_at=released_at,
        replaces=plan.replaces,
        objects=tuple(sorted(objects, key=lambda item: item.key)),
    )


def licence_refusal(plan: ReleasePlan) -> str | None:
    """Say why the licence forbids publishing; null when it is listed, or a person has accepted it by name."""
    licence = plan.source.licence
    if licence.listed or licence.accepted:
        return None
    if licence.declared is None:
        return "the model's card names no licence, and nobody has accepted one"
    return f"nobody has accepted the licence {licence.declared!r}"
