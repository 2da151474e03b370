"""The manifest that an approver approves, and what forbids approving it.

The digest is the sha256 of the manifest text: one line ``<sha256>  <path>`` a file, sorted by path, exactly
what ``sha256sum`` prints, so anybody can compute it again without this tool. Laws (tests hold them): any
changed byte of any file changes the digest; the order in which files are given does not matter. A release
that may not be approved has no digest at all.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from release_tool.core.bundle import FileDigest, bundle_name
from release_tool.core.certificate import certificate_name
from release_tool.core.digest import sha256_bytes
from release_tool.core.proof import RUNTIME
from release_tool.core.quantity import plural
from release_tool.core.speed import BUDGETS, BYTES, SPEED_KINDS
from release_tool.core.variants import Variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from release_tool.core.certificate import Certificate
    from release_tool.core.plan import PlannedArtifact, ReleasePlan
    from release_tool.core.probes import ProbeSet
    from release_tool.core.proof import Proof
    from release_tool.core.speed import Speed

PAGE_MARKDOWN = "review.md"
PAGE_HTML = "review.html"
REVIEW_NAME = "review.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """review.json: the manifest, its digest, and the reasons why there is none."""

    SCHEMA: ClassVar[str] = "release-tool/review@1"

    schema: str = "release-tool/review@1"
    model_id: str
    version: str
    digest: str | None
    """What an approver approves; null where ``reasons`` says why nobody may."""
    reasons: tuple[str, ...]
    files: tuple[FileDigest, ...]
    """Sorted by path: plan, source, bundles, archives, configs, oracle's answers, certificates."""
    pages: tuple[FileDigest, ...]
    """The pages that were written from it; no part of the digest, which they show."""

    @property
    def uses(self) -> dict[str, str]:
        """File name in the work folder → sha256: the chain back to everything that was reviewed."""
        return {file.path: file.sha256 for file in self.files}

    def fault(self) -> str | None:
        """Say what contradicts itself in this document; null when nothing does."""
        if [file.path for file in self.files] != sorted({file.path for file in self.files}):
            return "its files are not sorted by path, or one is named twice"
        if not {file.path for file in self.pages} <= {PAGE_MARKDOWN, PAGE_HTML}:
            return "it names other pages than a review writes"
        if any(".." in file.path.split("/") or file.path.startswith("/") for file in self.files):
            return "it names a file outside the work folder"
        if self.reasons and self.digest is not None:
            return "it has a digest although it says why it may not be released"
        if not self.reasons and self.digest != digest(self.files):
            return "its digest is not that of its own files"
        return None


def manifest_text(files: Iterable[FileDigest]) -> str:
    """Return the text whose sha256 is approved: ``<sha256>  <path>`` a line, sorted by path.

    Raises:
        ValueError: a path is given twice, or could be read as two lines.
    """
    lines: dict[str, str] = {}
    for file in files:
        if file.path in lines:
            raise ValueError(f"{file.path!r} is in the manifest twice")
        # sha256sum escapes such names, so its output and ours would differ: refused instead of guessed.
        if not file.path or any(char in file.path for char in "\n\r\\"):
            raise ValueError(f"{file.path!r} can't be a path of the manifest")
        lines[file.path] = f"{file.sha256}  {file.path}\n"
    return "".join(lines[path] for path in sorted(lines))


def digest(files: Iterable[FileDigest]) -> str:
    """Return the sha256 of the manifest text in lower-case hex."""
    return sha256_bytes(manifest_text(files).encode())


def recompute_command(files: Iterable[FileDigest]) -> tuple[str, ...]:
    """Return the lines of a shell command, run in the work folder, that prints the digest."""
    paths = sorted(file.path for file in files)
    return ("sha256sum \\", *(f"  {shlex.quote(path)} \\" for path in paths), "  | sha256sum")


def make_review(
    plan: ReleasePlan, files: Iterable[FileDigest], reasons: tuple[str, ...], pages: Iterable[FileDigest]
) -> Review:
    """Return the document; it has a digest only where no reason speaks against a release."""
    ordered = tuple(sorted(files, key=lambda file: file.path))
    return Review(
        model_id=plan.source.model_id,
        version=plan.request.version,
        digest=None if reasons else digest(ordered),
        reasons=reasons,
        files=ordered,
        pages=tuple(sorted(pages, key=lambda file: file.path)),
    )


def document_names(plan: ReleasePlan, certified: Iterable[str]) -> tuple[str, ...]:
    """Return the JSON documents that belong to the manifest: plan, source, bundles, certificates."""
    bundles = (bundle_name(artifact.id) for artifact in plan.artifacts)
    certificates = (certificate_name(artifact_id) for artifact_id in certified)
    return ("plan.json", "source.json", *bundles, *certificates)


def blockers(plan: ReleasePlan, certificates: Mapping[str, Certificate], shipped: ProbeSet) -> tuple[str, ...]:
    """Return every reason why the release may not be approved, in the plan's order; empty means it may.

    Args:
        plan: what is to be released.
        certificates: artifact id → certificate; a missing one is a reason.
        shipped: the probe set of this project; a proof over it must hold every one of its probes.
    """
    reasons: list[str] = []
    if not plan.artifacts:
        reasons.append("the plan has no artifact")
    for artifact in plan.artifacts:
        certificate = certificates.get(artifact.id)
        if certificate is None:
            reasons.append(f"{artifact.id}: there is no certificate: it was never validated")
            continue
        reasons.extend(f"{artifact.id}: {reason}" for reason in _certificate_blockers(certificate, shipped))
        if artifact.variant is Variant.INT8 and certificate.quality is None:
            # Near its source is all that its proofs say: whether it still searches as well is what decides.
            reasons.append(f"{artifact.id}: an int8 archive is released with its retrieval quality, and it has none")
        unjudged = sorted(_planned(plan, artifact) - _judged(certificate.speed))
        if unjudged:
            reasons.append(f"{artifact.id}: nothing was measured for the plan's budgets: {', '.join(unjudged)} (bench)")
    return tuple(reasons)


def _planned(plan: ReleasePlan, artifact: PlannedArtifact) -> set[str]:
    """Return the plan's budgets that take a measurement; none for what can't be timed."""
    return set(plan.budgets or ()) & set(BUDGETS) if artifact.kind in SPEED_KINDS else set()


def _judged(speed: Speed | None) -> set[str]:
    return {BYTES}.union(*(one.judged() for one in speed.measured)) if speed else {BYTES}


def _certificate_blockers(certificate: Certificate, shipped: ProbeSet) -> list[str]:
    reasons: list[str] = []
    for ring, failures in certificate.failures().items():
        if failures:
            more = f" (and {len(failures) - 1:,} more)" if len(failures) > 1 else ""
            reasons.append(f"{ring} ring: {failures[0]}{more}")
    reasons.extend(f"retrieval quality: {reason}" for reason in certificate.quality_failures())
    reasons.extend(f"speed and size: {reason}" for reason in certificate.speed_failures())
    for proof in certificate.proofs:
        if proof.ring == RUNTIME and proof.probes_sha256 != shipped.sha256:
            reasons.append(f"{RUNTIME} ring: it was measured on other probes than release-tool ships")
        missing = unanswered(proof, shipped)
        if missing:
            count = plural(len(missing), "probe")
            reasons.append(f"{proof.ring} ring: {count} not answered, such as {missing[0]}")
    return reasons


def unanswered(proof: Proof, shipped: ProbeSet) -> tuple[str, ...]:
    """Return the ids of shipped probes that a proof lacks; empty where it was measured on another set."""
    if proof.probes_sha256 != shipped.sha256:
        return ()
    wanted = {probe.id for probe in shipped.for_kind(proof.kind)}
    return tuple(sorted(wanted - {item.probe for item in proof.comparisons} - set(proof.not_asked or ())))
