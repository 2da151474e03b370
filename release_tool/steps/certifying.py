"""Fold what was measured about an archive into its certificate; shared by ``validate``, ``quality`` and ``bench``."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from release_tool.core.bundle import Bundle, bundle_name
from release_tool.core.certificate import Certificate, certificate_name, fold
from release_tool.core.proof import RINGS, Proof, proof_name
from release_tool.core.quality import Quality, quality_name
from release_tool.core.speed import Speed, speed_name
from release_tool.errors import ReleaseError

if TYPE_CHECKING:
    from release_tool.documents import WorkFolder
    from release_tool.global_options import Context
    from release_tool.steps.release_reading import Release


M = TypeVar("M", Quality, Speed)


def measured_uses(work: WorkFolder, bundle: Bundle) -> dict[str, str]:
    """Return what a document of quality or speed names as its ground."""
    return work.uses("plan.json", "source.json", bundle_name(bundle.artifact))


def current_quality(work: WorkFolder, bundle: Bundle) -> Quality | None:
    """Return the document of quality that lies in the folder, if it is about these very bytes."""
    return _current(work, bundle, Quality, quality_name(bundle.artifact), "quality")


def current_speed(work: WorkFolder, bundle: Bundle) -> Speed | None:
    """Return the document of speed that lies in the folder, if it is about these very bytes."""
    return _current(work, bundle, Speed, speed_name(bundle.artifact), "bench")


def _current(work: WorkFolder, bundle: Bundle, cls: type[M], name: str, made_by: str) -> M | None:
    if not work.has(name):
        return None
    try:
        found = work.read(cls, name, made_by=made_by)
    except ReleaseError:
        return None
    same = (found.artifact, found.kind, found.archive_sha256, found.uses) == (
        bundle.artifact,
        bundle.kind,
        bundle.archive.sha256,
        measured_uses(work, bundle),
    )
    return found if same else None


def write_certificate(context: Context, release: Release, bundle: Bundle) -> Certificate:
    """Fold what lies in the folder; a document of quality or speed about other bytes is removed."""
    from release_tool.models.answers import answers_name

    work = release.work
    names = [name for ring in RINGS if work.has(name := proof_name(ring, bundle.artifact))]
    proofs = tuple(work.read(Proof, name, made_by="validate") for name in names)
    quality, speed = current_quality(work, bundle), current_speed(work, bundle)
    for found, name, step in (
        (quality, quality_name(bundle.artifact), "quality"),
        (speed, speed_name(bundle.artifact), "bench"),
    ):
        if found is not None:
            names.append(name)
        elif work.has(name):
            work.path(name).unlink()
            words = f"{name} is about other bytes and is removed; measure again with release-tool {step}."
            context.console.warning(words)
    uses = work.uses("plan.json", "source.json", bundle_name(bundle.artifact), answers_name(bundle.kind), *names)
    certificate = fold(release.plan, release.source, bundle, proofs, uses, quality, speed=speed)
    work.write(certificate_name(bundle.artifact), certificate)
    return certificate


def certify_again(context: Context, release: Release, bundle: Bundle) -> bool:
    """Fold new numbers into a certificate that still holds; tell whether there was one."""
    work, name = release.work, certificate_name(bundle.artifact)
    if not work.has(name):
        return False
    try:
        certificate = work.read(Certificate, name, made_by="validate")
        measured = {quality_name(bundle.artifact), speed_name(bundle.artifact)}
        kept = [used for used in certificate.uses if used not in measured]
        work.check_chain(certificate, name, only=kept)
    except ReleaseError:
        return False
    write_certificate(context, release, bundle)
    return True
