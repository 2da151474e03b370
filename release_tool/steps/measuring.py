"""Measure an archive in a ring and write its proof and certificate; shared by ``validate`` and its re-check.

A proof is written also when it is red: it is evidence. What can't be measured because the ring refuses the archive as
a whole is a proof in which every probe has the ring's words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from release_tool.core.certificate import Certificate, certificate_name
from release_tool.core.diagnosis import diagnose
from release_tool.core.kinds import ModelKind
from release_tool.core.proof import LEGACY, RUNTIME, Proof, proof_name
from release_tool.errors import ReleaseError, RemoteFailed, ValidationFailed

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.console import Console
    from release_tool.core.bundle import Bundle
    from release_tool.core.plan import ReleasePlan
    from release_tool.core.probes import Probe, ProbeSet
    from release_tool.documents import WorkFolder
    from release_tool.models.answers import Answers
    from release_tool.models.compare import Measured
    from release_tool.services.node import Node
    from release_tool.services.ring_processes import Running


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An archive that is asked."""

    plan: ReleasePlan
    bundle: Bundle
    archive: Path
    config: Path
    probes: ProbeSet

    @property
    def rows(self) -> tuple[Probe, ...]:
        """The probes of this kind, in the order of all arrays."""
        return self.probes.for_kind(self.bundle.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The oracle's answers, and what a proof that rests on them names as its ground."""

    answers: Answers
    sha256: str
    uses: dict[str, str]
    """File of the work folder → sha256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a ring answered, and with what."""

    measured: Measured
    versions: dict[str, str]
    pinned: bool
    dimension: int | None
    note: str | None = None
    not_asked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line of the result."""

    artifact: str
    ring: str
    probes: int
    worst_probe: str | None
    worst: float | None
    """Largest difference measured; null where only answers are compared."""
    allowed: float | None
    """What that probe may differ by."""
    passed: bool
    pinned: bool
    measured: bool
    """False where an earlier proof of the same bytes still holds, or a certificate's number is repeated."""
    failures: tuple[str, ...]
    diagnosis: str | None
    """What most likely causes the failures."""
    proof: str | None
    note: str | None = None
    int8: bool = False
    """Whether the archive is judged by how near it is, and not by being equal."""

    @property
    def word(self) -> str:
        """The verdict in one word."""
        return "DIFFERENT" if not self.passed else "near" if self.int8 else "equal"

    def because(self, failures: tuple[str, ...]) -> Verdict:
        """Return the same line with all reasons, those of the certificate included."""
        return replace(self, failures=failures, passed=not failures)


def ask(
    target: Target,
    ring: str,
    *,
    console: Console,
    cache: Path,
    node: Node | None = None,
    running: Running | None = None,
) -> Answered:
    """Ask an archive the probes in one ring; a ring that refuses it as a whole refuses every probe.

    Raises:
        MachineError, MissingExtra, Unreachable: the ring itself can't work here.
    """
    from release_tool.models.compare import Measured

    try:
        if node is not None:
            return _on_node(target, node, console)
        return _in_runtime(target, ring, console, cache, running)
    except (ValidationFailed, RemoteFailed) as refusal:
        refused = {probe.id: str(refusal) for probe in target.rows}
        measured = Measured(arrays={}, errors=refused)
        # A node is the server itself, also when it says no.
        versions = {} if node is None else dict(node.libraries)
        return Answered(
            measured=measured, versions=versions, pinned=node is not None, dimension=None, note="refused as a whole"
        )


def prove(target: Target, ring: str, answered: Answered, reference: Reference) -> Proof:
    """Compare what a ring answered with the oracle's answers and return the proof."""
    from release_tool.models.compare import Rules, compare, spread

    rules = Rules(tolerances=target.plan.tolerances, prune_ratio=target.plan.prune_ratio, other_library=ring != RUNTIME)
    found = compare(target.rows, reference.answers, answered.measured, rules)
    skipped = set(answered.not_asked)
    return Proof(
        uses=dict(sorted(reference.uses.items())),
        ring=ring,
        artifact=target.bundle.artifact,
        kind=target.bundle.kind,
        archive_sha256=target.bundle.archive.sha256,
        answers_sha256=reference.sha256,
        probes_sha256=target.probes.sha256,
        versions=answered.versions,
        pinned=answered.pinned,
        embedding_dimension=answered.dimension,
        comparisons=tuple(item for item in found if item.probe not in skipped),
        note=answered.note,
        not_asked=answered.not_asked or None,
        variant=target.plan.artifact(target.bundle.artifact).variant,
        spread=spread(reference.answers),
    )


def _in_runtime(target: Target, ring: str, console: Console, cache: Path, running: Running | None) -> Answered:
    from release_tool.models.compare import Measured
    from release_tool.services import runtime_ring

    kind = target.bundle.kind
    got = runtime_ring.answer(
        target.archive,
        target.config,
        target.rows,
        kind,
        console=console,
        cache=cache,
        legacy=ring == LEGACY,
        running=running,
    )
    return Answered(
        measured=Measured(arrays=got.arrays, texts=_texts(kind, got.texts), errors=got.errors),
        versions=got.versions,
        pinned=got.pinned,
        dimension=got.dimension if kind is ModelKind.DENSE else None,
        note=got.note,
    )


def _on_node(target: Target, node: Node, console: Console) -> Answered:
    from release_tool.models.compare import Measured
    from release_tool.services import node_ring

    kind = target.bundle.kind
    config: dict[str, Any] = json.loads(target.config.read_text(encoding="utf-8"))
    got = node_ring.answer(node, target.archive, config, target.rows, kind, console=console)
    # The node does not tell how long its inputs were.
    arrays = {name: array for name, array in got.arrays.items() if name != "tokens"}
    return Answered(
        measured=Measured(arrays=arrays, texts=_texts(kind, got.texts), errors=got.errors),
        versions=got.versions,
        pinned=True,
        dimension=int(arrays["embedding"].shape[1]) if kind is ModelKind.DENSE else None,
        not_asked=got.not_asked,
    )


def _texts(kind: ModelKind, texts: tuple[str | None, ...]) -> tuple[str | None, ...]:
    return texts if kind is ModelKind.QUESTION_ANSWERING else ()


def verdict_of(
    proof: Proof, plan: ReleasePlan, answers: Answers | None, *, measured: bool, path: str | None
) -> Verdict:
    """Return the line that stands for a proof."""
    tolerances = plan.tolerances
    ranked = proof.ranked(tolerances)
    worst = ranked[0][0] if ranked and proof.difference(ranked[0][0]) is not None else proof.worst()
    found = diagnose(
        proof,
        tolerances,
        inputs=answers.inputs() if answers and ranked else None,
        special_ids=answers.facts.special_ids if answers else (),
        max_length=plan.max_length,
    )
    return Verdict(
        artifact=proof.artifact,
        ring=proof.ring,
        probes=len(proof.comparisons),
        worst_probe=worst.probe if worst else None,
        worst=proof.difference(worst) if worst else None,
        allowed=proof.allowed(worst, tolerances) if worst else None,
        passed=not proof.failures(tolerances),
        pinned=proof.pinned,
        measured=measured,
        failures=proof.failures(tolerances),
        diagnosis=None if found is None else str(found),
        proof=path,
        note=proof.note,
        int8=proof.int8,
    )


def current_proof(work: WorkFolder, target: Target, ring: str, reference: Reference) -> Proof | None:
    """Return the proof that lies in the folder when it is about the very bytes that would be measured now.

    One that changed after it was certified is none. Killed between proof and certificate it looks the same, and is
    measured again.
    """
    name = proof_name(ring, target.bundle.artifact)
    if not work.has(name) or _changed_since_certified(work, target.bundle.artifact, name):
        return None
    try:
        proof = work.read(Proof, name, made_by="validate")
    except ReleaseError:
        return None
    same = (
        proof.archive_sha256 == target.bundle.archive.sha256
        and proof.answers_sha256 == reference.sha256
        and proof.probes_sha256 == target.probes.sha256
        and proof.uses == dict(sorted(reference.uses.items()))
    )
    return proof if same else None


def _changed_since_certified(work: WorkFolder, artifact: str, name: str) -> bool:
    """Tell whether a certificate that can be read names other bytes of a proof than those that lie here."""
    try:
        certificate = work.read(Certificate, certificate_name(artifact), made_by="validate")
    except ReleaseError:
        return False
    return name in certificate.uses and certificate.uses[name] != work.sha256(name)
