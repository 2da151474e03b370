"""The certificate: a pure fold of plan, source, bundle and the proofs present. It measures nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from release_tool.core.bundle import Bundle
from release_tool.core.escape import one_line
from release_tool.core.plan import ReleasePlan
from release_tool.core.proof import RUNTIME, Proof
from release_tool.core.quality import Quality
from release_tool.core.source import SourceSnapshot
from release_tool.core.speed import Speed, over_size
from release_tool.core.variants import Variant


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
    """Digest of the oracle's answers that every proof was measured against; null when they differ."""
    quality: Quality | None = None
    """How well the archive searches beside its source; null where it was not measured, or the kind does not search."""
    speed: Speed | None = None
    """How fast and how large the archive is; null where it was not measured."""
    lineage: dict[str, Any] | None = None
    """How the model was fine-tuned, as the plan holds it; null when it was not."""

    def failures(self) -> dict[str, tuple[str, ...]]:
        """Return ring → reasons why the archive may not be released; empty tuples are equal.

        The runtime ring is always among the keys: a certificate without its proof proves nothing.
        """
        found: dict[str, tuple[str, ...]] = {}
        for proof in self.proofs:
            if proof.ring in found:
                found[proof.ring] = (*found[proof.ring], "there is more than one proof of this ring")
            else:
                found[proof.ring] = (*self._contradictions(proof), *proof.failures(self.plan.tolerances))
        return found if RUNTIME in found else {RUNTIME: ("it was not measured in this ring",), **found}

    @property
    def green(self) -> bool:
        """Whether nothing that was measured speaks against a release, and the runtime ring was measured."""
        return not (any(self.failures().values()) or self.quality_failures() or self.speed_failures())

    def quality_failures(self) -> tuple[str, ...]:
        """Return why the archive may not be released by how it searches; empty also where that was not measured."""
        quality = self.quality
        if quality is None:
            return ()
        found = []
        if quality.archive_sha256 != self.archive_sha256 or quality.artifact != self.artifact:
            found.append(f"it is about another archive ({quality.artifact}, {quality.archive_sha256[:12]})")
        if quality.kind is not self.bundle.kind:
            found.append(f"it is about a {quality.kind.value} model, the bundle about {self.bundle.kind.value}")
        if quality.variant != self._variant():
            found.append(f"it is about {one_line(quality.variant)[:40]}, the plan about another variant")
        return (*found, *quality.failures())

    def speed_failures(self) -> tuple[str, ...]:
        """Return why the archive may not be released by its speed or size; what nobody measured has its size, too."""
        speed = self.speed
        if speed is None:
            return over_size(self.bundle.archive.size, self.plan.budgets or {})
        found = []
        if speed.archive_sha256 != self.archive_sha256 or speed.artifact != self.artifact:
            found.append(f"it is about another archive ({speed.artifact}, {speed.archive_sha256[:12]})")
        if (speed.kind, speed.variant, speed.size) != (self.bundle.kind, self._variant(), self.bundle.archive.size):
            said = f"{speed.kind.value}, {one_line(speed.variant)[:40]}, {speed.size:,} bytes"
            found.append(f"it is about another archive than the plan and the bundle ({said})")
        return (*found, *speed.failures())

    def _contradictions(self, proof: Proof) -> list[str]:
        """Say where a proof is not about this archive, or measured what the bundle and the request deny."""
        found = []
        if proof.archive_sha256 != self.archive_sha256 or proof.artifact != self.artifact:
            found.append(f"the proof is about another archive ({proof.artifact}, {proof.archive_sha256[:12]})")
        if self.archive_sha256 != self.bundle.archive.sha256:
            found.append("the certificate is about another archive than its own bundle")
        if proof.kind is not self.bundle.kind:
            found.append(f"the proof is about a {proof.kind.value} model, the bundle about {self.bundle.kind.value}")
        if proof.variant is not None and proof.variant is not self._variant():
            found.append(f"the proof is about {proof.variant.value}, the plan about another variant")
        if self.answers_sha256 is None:
            found.append("the rings were compared with different answers of the oracle")
        measured, stated = proof.embedding_dimension, self.bundle.embedding_dimension
        asked = self.plan.request.embedding_dimension
        for words, wanted in (("the bundle states", stated), ("the request asks for", asked)):
            if measured is not None and wanted is not None and measured != wanted:
                found.append(f"the embedding has {measured} dimensions, {words} {wanted}")
        return found

    def _variant(self) -> Variant | None:
        return next((item.variant for item in self.plan.artifacts if item.id == self.artifact), None)


def certificate_name(artifact_id: str) -> str:
    """Return the document's file name."""
    return f"certificate-{artifact_id}.json"


def fold(  # the order of arguments is the order of the flow
    plan: ReleasePlan,
    source: SourceSnapshot,
    bundle: Bundle,
    proofs: tuple[Proof, ...],
    uses: dict[str, str],
    quality: Quality | None = None,
    *,
    speed: Speed | None = None,
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
        quality=quality,
        speed=speed,
        lineage=plan.lineage,
    )
