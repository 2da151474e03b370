"""Read and check everything that is reviewed: documents, the chain between them, the bytes of the archives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.bundle import MAX_WARNINGS, Bundle, FileDigest, bundle_name
from release_tool.core.certificate import Certificate, certificate_name
from release_tool.core.config_held import config_fault
from release_tool.core.kinds import Format
from release_tool.core.page_build import Reviewed
from release_tool.core.page_compat import compat_rows, unread_row
from release_tool.core.page_parts import pretty_config
from release_tool.core.plan import ReleasePlan
from release_tool.core.proof import RINGS
from release_tool.core.quality import quality_name
from release_tool.core.review import blockers, make_review
from release_tool.core.source import SourceSnapshot
from release_tool.core.speed import speed_name
from release_tool.core.variant_held import variant_fault
from release_tool.documents import file_sha256
from release_tool.errors import IntegrityError, ReleaseError
from release_tool.packaged import packaged_probes

if TYPE_CHECKING:
    from release_tool.core.page import CompatRow
    from release_tool.core.plan import PlannedArtifact
    from release_tool.documents import WorkFolder


def read_release(work: WorkFolder, *, look_inside: bool = True) -> Reviewed:
    """Return everything that the page is made of.

    Args:
        work: the work folder.
        look_inside: whether the archives are opened to say where they deploy, which only the page shows.

    Raises:
        UsageError: plan, fetch or trace have not run.
        IntegrityError: bytes are not those that the documents name.
    """
    plan = work.read(ReleasePlan, "plan.json", made_by="plan")
    source = work.read(SourceSnapshot, "source.json", made_by="fetch")
    work.check_chain(source, "source.json")
    files = [described(work, "plan.json"), described(work, "source.json")]
    bundles: dict[str, Bundle] = {}
    certificates: dict[str, Certificate] = {}
    answers: dict[str, FileDigest] = {}
    for artifact in plan.artifacts:
        bundle = read_bundle(work, plan, artifact)
        bundles[artifact.id] = bundle
        files += [described(work, bundle_name(artifact.id)), bundle.archive, bundle.config]
        certificate = _certificate(work, plan, source, bundle)
        if certificate is not None:
            certificates[artifact.id] = certificate
            files.append(described(work, certificate_name(artifact.id)))
            answers |= _answers(work, certificate)
    shipped = packaged_probes()
    files += answers.values()
    return Reviewed(
        plan=plan,
        source=source,
        bundles=bundles,
        certificates=certificates,
        configs={
            artifact: pretty_config(work.path(bundle.config.path).read_bytes()) for artifact, bundle in bundles.items()
        },
        review=make_review(plan, files, blockers(plan, certificates, shipped), ()),
        shipped_probes=shipped.sha256,
        compat=tuple(
            row
            for artifact in plan.artifacts
            if look_inside
            for row in compat(work, plan, bundles[artifact.id], certificates.get(artifact.id))
        ),
    )


def compat(
    work: WorkFolder, plan: ReleasePlan, bundle: Bundle, certificate: Certificate | None
) -> tuple[CompatRow, ...]:
    """Return on which versions an archive deploys: derived from its bytes, measured where a proof says so."""
    from release_tool.archives.reading import operator_tables, read_archive
    from release_tool.core.compat import summary, verdicts

    try:
        facts = read_archive(work.path(bundle.archive.path), work.path(bundle.config.path))
    except ReleaseError as error:
        return (unread_row(bundle.artifact, f"The archive can't be looked into: {error}"),)
    proofs = certificate.proofs if certificate else ()
    found = verdicts(facts, tables=operator_tables(), proofs=proofs)
    return compat_rows(bundle.artifact, summary(found), plan.target_versions)


def described(work: WorkFolder, name: str) -> FileDigest:
    """Return a file's size and digest, read now."""
    return FileDigest(path=name, size=work.path(name).stat().st_size, sha256=work.sha256(name))


def read_bundle(work: WorkFolder, plan: ReleasePlan, artifact: PlannedArtifact) -> Bundle:
    """Return the bundle of an artifact, held against the plan, with the archive and the config.json that it names.

    The job that wrote all three runs a model's own code: nothing in them is believed that can be known otherwise.

    Raises:
        UsageError: trace has not run.
        IntegrityError: it is not about this artifact, a file is not the one it names, config.json says something
            that does not follow from the plan and the archive, or the model file is of another variant.
    """
    name = bundle_name(artifact.id)
    bundle = work.read(Bundle, name, made_by="trace")
    work.check_chain(bundle, name)
    if (bundle.artifact, bundle.kind, bundle.format) != (artifact.id, artifact.kind, artifact.format):
        raise IntegrityError(f"{name} is about another artifact than the plan's.", hint="Run release-tool trace.")
    expected = (f"archives/{artifact.file_name}", f"archives/{artifact.id}.config.json")
    if (bundle.archive.path, bundle.config.path) != expected:
        # A path of the bundle is never followed: it could lead anywhere.
        raise IntegrityError(f"{name} names other files than the plan does.", hint="Run release-tool trace again.")
    if len(bundle.warnings) > MAX_WARNINGS:
        raise IntegrityError(
            f"{name} holds {len(bundle.warnings):,} warnings; no export has more than {MAX_WARNINGS}.",
            hint="Something else than release-tool trace wrote it: look at the model's own code, and trace again.",
        )
    for file in (bundle.archive, bundle.config):
        check_file(work, file, name)
    fault = config_fault(plan, artifact, bundle, work.path(bundle.config.path).read_bytes())
    if fault is not None:
        raise IntegrityError(
            f"{bundle.config.path} is not what the plan and the archive make it: {fault}.",
            hint="It was changed, or another version of release-tool wrote it: run release-tool trace again.",
        )
    fault = _variant_fault(work, artifact, bundle)
    if fault is not None:
        raise IntegrityError(
            f"{bundle.archive.path} is not the variant that it is called: {fault}.",
            hint="Something else than release-tool trace wrote it: run release-tool trace again.",
        )
    return bundle


def _variant_fault(work: WorkFolder, artifact: PlannedArtifact, bundle: Bundle) -> str | None:
    """Look into an ONNX archive; one that can't be read is refused by the rings."""
    from release_tool.archives.reading import read_onnx_facts

    if artifact.format is not Format.ONNX:
        return None
    try:
        facts = read_onnx_facts(work.path(bundle.archive.path))
    except ReleaseError:
        return None
    return None if facts is None else variant_fault(artifact.variant, bundle.export.quantised, facts)


def check_file(work: WorkFolder, file: FileDigest, made: str) -> None:
    """Hash a file again.

    Raises:
        IntegrityError: it is gone, or its bytes are not those that ``made`` names.
    """
    path = work.path(file.path)
    if not path.is_file():
        raise IntegrityError(f"{file.path} is gone; {made} names it.", hint="Run release-tool trace again.")
    if path.stat().st_size != file.size or file_sha256(path) != file.sha256:
        raise IntegrityError(
            f"{file.path} is not the file that {made} names: its bytes have changed.",
            hint="Run release-tool trace and release-tool validate again.",
        )


def _certificate(work: WorkFolder, plan: ReleasePlan, source: SourceSnapshot, bundle: Bundle) -> Certificate | None:
    name = certificate_name(bundle.artifact)
    if not work.has(name):
        return None
    certificate = work.read(Certificate, name, made_by="validate")
    work.check_chain(certificate, name)
    if len(certificate.proofs) > len(RINGS):
        raise IntegrityError(
            f"{name} holds {len(certificate.proofs):,} proofs, there are {len(RINGS)} rings.",
            hint="Run release-tool validate again.",
        )
    used = {"plan.json", "source.json", bundle_name(bundle.artifact)}
    folded = sorted(path.name for path in work.folder.glob(f"proof-*-{bundle.artifact}.json"))
    measured = {name for name in (quality_name(bundle.artifact), speed_name(bundle.artifact)) if work.has(name)}
    unknown = sorted((used | set(folded) | measured) - set(certificate.uses))
    if unknown:
        # validate, quality or bench was killed before the certificate: the page would not show what was measured.
        raise IntegrityError(f"{name} was made without {unknown[0]}.", hint="Run release-tool validate again.")
    same = (certificate.plan, certificate.source, certificate.bundle) == (plan, source, bundle)
    if not same or certificate.archive_sha256 != bundle.archive.sha256:
        raise IntegrityError(
            f"{name} holds another plan, source or bundle than the work folder.",
            hint="Run release-tool validate again.",
        )
    return certificate


def _answers(work: WorkFolder, certificate: Certificate) -> dict[str, FileDigest]:
    name = f"answers-{certificate.bundle.kind}.safetensors"
    wanted = certificate.answers_sha256
    if wanted is None:
        return {}
    if not work.has(name):
        raise IntegrityError(f"{name} is gone.", hint="Run release-tool validate again.")
    file = described(work, name)
    if file.sha256 != wanted:
        made = certificate_name(certificate.artifact)
        raise IntegrityError(
            f"{name} is not the file of answers that {made} was measured against.",
            hint="Run release-tool validate again.",
        )
    return {name: file}
