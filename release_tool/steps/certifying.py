"""Fold what was measured about an archive into its certificate; shared by ``validate`` and ``quality``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.bundle import Bundle, bundle_name
from release_tool.core.certificate import Certificate, certificate_name, fold
from release_tool.core.proof import RINGS, Proof, proof_name
from release_tool.core.quality import Quality, quality_name
from release_tool.errors import ReleaseError

if TYPE_CHECKING:
    from release_tool.cli import Context
    from release_tool.documents import WorkFolder
    from release_tool.steps.proving import Release


def quality_uses(work: WorkFolder, bundle: Bundle) -> dict[str, str]:
    """Return what a document of quality names as its ground."""
    return work.uses("plan.json", "source.json", bundle_name(bundle.artifact))


def current_quality(work: WorkFolder, bundle: Bundle) -> Quality | None:
    """Return the document of quality that lies in the folder, if it is about these very bytes."""
    name = quality_name(bundle.artifact)
    if not work.has(name):
        return None
    try:
        quality = work.read(Quality, name, made_by="quality")
    except ReleaseError:
        return None
    same = (quality.artifact, quality.kind, quality.archive_sha256, quality.uses) == (
        bundle.artifact,
        bundle.kind,
        bundle.archive.sha256,
        quality_uses(work, bundle),
    )
    return quality if same else None


def write_certificate(context: Context, release: Release, bundle: Bundle) -> Certificate:
    """Fold the proofs and the quality that lie in the folder; a document of quality about other bytes is removed."""
    from release_tool.models.answers import answers_name

    work = release.work
    names = [name for ring in RINGS if work.has(name := proof_name(ring, bundle.artifact))]
    proofs = tuple(work.read(Proof, name, made_by="validate") for name in names)
    quality, name = current_quality(work, bundle), quality_name(bundle.artifact)
    if quality is not None:
        names.append(name)
    elif work.has(name):
        work.path(name).unlink()
        context.console.warning(f"{name} is about other bytes and is removed; measure again with release-tool quality.")
    uses = work.uses("plan.json", "source.json", bundle_name(bundle.artifact), answers_name(bundle.kind), *names)
    certificate = fold(release.plan, release.source, bundle, proofs, uses, quality)
    work.write(certificate_name(bundle.artifact), certificate)
    return certificate


def certify_again(context: Context, release: Release, bundle: Bundle) -> bool:
    """Fold new numbers into a certificate that still holds; tell whether there was one."""
    work, name = release.work, certificate_name(bundle.artifact)
    if not work.has(name):
        return False
    try:
        certificate = work.read(Certificate, name, made_by="validate")
        kept = [used for used in certificate.uses if used != quality_name(bundle.artifact)]
        work.check_chain(certificate, name, only=kept)
    except ReleaseError:
        return False
    write_certificate(context, release, bundle)
    return True
