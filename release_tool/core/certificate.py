"""The certificate: a pure fold of plan, source, bundle and the proofs present. It measures nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from release_tool.core.bundle import Bundle
from release_tool.core.plan import ReleasePlan
from release_tool.core.proof import Proof
from release_tool.core.source import SourceSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """certificate-<artifact id>.json: enough to rebuild the archive and to check it again."""

    SCHEMA: ClassVar[str] = "release-tool/certificate@1"

    schema: str = "release-tool/certificate@1"
    uses: dict[str, str] = field(default_factory=dict)
    artifact: str
    archive_sha256: str
    plan: ReleasePlan
    source: SourceSnapshot
    bundle: Bundle
    proofs: tuple[Proof, ...]
    answers_sha256: str | None

    def failures(self) -> dict[str, tuple[str, ...]]:
        """Return ring → reasons why the archive may not be released; empty rings are equal."""
        return {proof.ring: proof.failures(self.plan.tolerances) for proof in self.proofs}


def certificate_name(artifact_id: str) -> str:
    """Return the document's file name."""
    return f"certificate-{artifact_id}.json"


def fold(  # the order of arguments is the order of the flow
    plan: ReleasePlan,
    source: SourceSnapshot,
    bundle: Bundle,
    proofs: tuple[Proof, ...],
    uses: dict[str, str],
) -> Certificate:
    """Return the certificate of one archive. Proofs are sorted by ring, so their order does not matter."""
    ordered = tuple(sorted(proofs, key=lambda proof: proof.ring))
    answers = {proof.answers_sha256 for proof in ordered}
    return Certificate(
        uses=dict(sorted(uses.items())),
        artifact=bundle.artifact,
        archive_sha256=bundle.archive.sha256,
        plan=plan,
        source=source,
        bundle=bundle,
        proofs=ordered,
        answers_sha256=answers.pop() if len(answers) == 1 else None,
    )
