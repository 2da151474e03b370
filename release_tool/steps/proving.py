"""Prove the archives of a work folder: what is missing is measured, every proof that holds is folded.

The oracle works beside the rings; a proof is written as soon as both have answered.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from release_tool.core.proof import NODE, RINGS, Proof, proof_name

if TYPE_CHECKING:
    from release_tool.core.bundle import Bundle
    from release_tool.core.kinds import ModelKind
    from release_tool.core.plan import ReleasePlan
    from release_tool.core.probes import ProbeSet
    from release_tool.documents import WorkFolder
    from release_tool.global_options import Context
    from release_tool.steps.answering import Oracle
    from release_tool.steps.asking import Beside
    from release_tool.steps.measuring import Reference, Target, Verdict
    from release_tool.steps.release_reading import Release


def start_oracle(context: Context, release: Release, stale: tuple[ModelKind, ...], oracle: Oracle) -> None:
    """Let the oracle answer the kinds that lack answers, unless it is at it since the export."""
    from release_tool.steps.trace import check_snapshot

    if not stale:
        return
    context.console.info("The source answers the probes by its own libraries, beside the archives.")
    if not oracle.running:
        oracle.start(release.work.folder, stale, release.probes_file)
        # The snapshot's bytes are hashed again while the libraries are imported.
        check_snapshot(release.work, release.source)


def answers_hold(release: Release, kind: ModelKind) -> bool:
    """Tell whether the answers in the folder are those of this plan, source and probe set."""
    from release_tool.errors import IntegrityError
    from release_tool.models.answers import answers_name, read_answers

    name = answers_name(kind)
    if not release.work.has(name):
        return False
    try:
        facts = read_answers(release.work.path(name)).facts
    except IntegrityError:
        return False
    return (
        facts.kind is kind
        and facts.plan_sha256 == release.work.sha256("plan.json")
        and facts.source_tree == release.source.tree
        and facts.probes_sha256 == release.probes.sha256
        and facts.max_length == release.plan.max_length
    )


def written(context: Context, artifact: str) -> Target:
    """Return an archive that trace has just written, to be asked the shipped probes."""
    from release_tool.core.bundle import Bundle, bundle_name
    from release_tool.core.plan import ReleasePlan
    from release_tool.documents import WorkFolder
    from release_tool.packaged import load_probes

    work = WorkFolder(context.work)
    plan = work.read(ReleasePlan, "plan.json", made_by="plan")
    return target_of(work, plan, work.read(Bundle, bundle_name(artifact), made_by="trace"), load_probes(None))


def target_of(work: WorkFolder, plan: ReleasePlan, bundle: Bundle, probes: ProbeSet) -> Target:
    """Return an archive of the work folder as what is asked."""
    from release_tool.steps.measuring import Target

    return Target(
        plan=plan,
        bundle=bundle,
        archive=work.path(bundle.archive.path),
        config=work.path(bundle.config.path),
        probes=probes,
    )


def _reference(release: Release, bundle: Bundle) -> Reference:
    from release_tool.core.bundle import bundle_name
    from release_tool.models.answers import answers_name, read_answers
    from release_tool.steps.measuring import Reference

    name = answers_name(bundle.kind)
    return Reference(
        answers=read_answers(release.work.path(name)),
        sha256=release.work.sha256(name),
        uses=release.work.uses("plan.json", "source.json", bundle_name(bundle.artifact), name),
    )


def missing_proofs(
    context: Context, release: Release, rings: list[str], stale: tuple[ModelKind, ...], *, again: bool
) -> list[tuple[Target, str]]:
    """Return what must be measured, and say what is proven already.

    A red proof is no proof that anything is right: what made it red may have passed, so it is measured again.
    """
    from release_tool.steps.measuring import current_proof

    found = []
    for bundle in release.bundles:
        target = target_of(release.work, release.plan, bundle, release.probes)
        reference = None if bundle.kind in stale else _reference(release, bundle)
        for ring in rings:
            proof = None if reference is None else current_proof(release.work, target, ring, reference)
            if proof is not None and not proof.failures(release.plan.tolerances) and not again:
                context.console.info(f"{bundle.artifact} is proven already in the {ring} ring.")
            else:
                found.append((target, ring))
    return found


def drop_others(context: Context, release: Release, fresh: set[tuple[str, str]]) -> None:
    """Remove proofs of rings that were not asked now and that are about other bytes, or were changed by hand.

    They would contradict the certificate. The oracle's answers are there by now, so a proof that rests on the same
    ones stays, however they came about.
    """
    from release_tool.steps.measuring import current_proof

    for bundle in release.bundles:
        target, reference = target_of(release.work, release.plan, bundle, release.probes), _reference(release, bundle)
        for ring in RINGS:
            name = proof_name(ring, bundle.artifact)
            asked = (bundle.artifact, ring) in fresh
            if asked or not release.work.has(name) or current_proof(release.work, target, ring, reference):
                continue
            release.work.path(name).unlink()
            context.console.warning(
                f"{name} is about other bytes, or not the one that was certified, and is removed;"
                f" measure again with --on {ring}."
            )


def measure(context: Context, release: Release, missing: list[tuple[Target, str]], running: Beside) -> None:
    """Ask every ring, compare when the oracle is done, and write each proof."""
    from release_tool.services.cache import cache_folder
    from release_tool.steps.measuring import ask, prove

    offline = [(target, ring) for target, ring in missing if ring != NODE]
    if offline:
        names = ", ".join(f"{target.bundle.artifact} ({ring})" for target, ring in offline)
        with context.console.step(f"Measure {names}"):
            answered = running.rings.ask(offline)
            running.oracle.wait()
            for (target, ring), got in zip(offline, answered, strict=True):
                _write(release, prove(target, ring, got, _reference(release, target.bundle)))
    online = [target for target, ring in missing if ring == NODE]
    if not online:
        return
    from release_tool.services.node import running_node

    with context.console.step("Measure on a real OpenSearch"), running_node(context.console, env=os.environ) as node:
        running.oracle.wait()
        for target in online:
            context.console.info(f"{target.bundle.artifact}: register, deploy, ask {len(target.rows)} probes")
            reply = ask(target, NODE, console=context.console, cache=cache_folder(os.environ), node=node)
            _write(release, prove(target, NODE, reply, _reference(release, target.bundle)))


def _write(release: Release, proof: Proof) -> None:
    release.work.write(proof_name(proof.ring, proof.artifact), proof)


def certify(context: Context, release: Release, bundle: Bundle, fresh: set[tuple[str, str]]) -> list[Verdict]:
    """Fold every proof that holds into the certificate, and return their verdicts."""
    from release_tool.models.answers import answers_name, read_answers
    from release_tool.steps.certifying import write_certificate
    from release_tool.steps.measuring import verdict_of

    certificate = write_certificate(context, release, bundle)
    oracle = read_answers(release.work.path(answers_name(bundle.kind)))
    verdicts = []
    for proof in sorted(certificate.proofs, key=lambda proof: RINGS.index(proof.ring)):
        measured = (proof.artifact, proof.ring) in fresh
        path = str(context.work / proof_name(proof.ring, proof.artifact))
        verdict = verdict_of(proof, release.plan, oracle, measured=measured, path=path)
        verdicts.append(verdict.because(certificate.failures()[proof.ring]))
    return verdicts
