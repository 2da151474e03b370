"""Prove the new model of a swap on its cluster, and measure whether it encodes as the old one does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.swap import Proven
from release_tool.core.proof import NODE, judge
from release_tool.errors import UsageError, ValidationFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from release_tool.console import Console
    from release_tool.core.ml.swap_fields import Reached
    from release_tool.models.answers import Answers
    from release_tool.services.cluster.sender import Sender
    from release_tool.services.probe_asking import NodeAnswers
    from release_tool.steps.ml.swap_release import SwapRelease


def prove_new(
    cluster: Sender, new: str, release: SwapRelease, probes_file: Path | None, console: Console
) -> tuple[Proven, NodeAnswers]:
    """Ask the new model the probes and hold its answers against the oracle's, as ``validate --on node`` does.

    Raises:
        ValidationFailed: it does not answer as its source does.
        UsageError: the probes are others than those that the oracle answered.
        ServiceUnable, Unreachable: the cluster can't now.
    """
    from release_tool.models.answers import read_answers
    from release_tool.packaged import load_probes
    from release_tool.services.cluster.probing import ask_probes
    from release_tool.services.cluster.swap_looking import need_model
    from release_tool.steps.measuring import Reference, Target, prove, verdict_of
    from release_tool.steps.verdict_table import failing

    certificate = release.certificate
    probes, reference = load_probes(probes_file), read_answers(release.answers)
    if reference.facts.probes_sha256 != probes.sha256:
        raise UsageError(
            "The release's answers are about another probe set.", hint="Name the one it was validated with: --probes."
        )
    kind = certificate.bundle.kind
    target = Target(
        plan=certificate.plan, bundle=certificate.bundle, archive=release.answers, config=release.answers,
        probes=probes,
    )  # fmt: skip
    with console.step(f"Prove {new}: {len(target.rows)} probes"):
        said = need_model(cluster, new, "which is to be proven")
        got = ask_probes(cluster, new, said, target.rows, kind, console)
    grounds = Reference(answers=reference, sha256=str(certificate.answers_sha256), uses={})
    proof = prove(target, NODE, _answered(got), grounds)
    verdict = verdict_of(proof, certificate.plan, reference, measured=True, path=None)
    error = failing([verdict])
    if error is not None:
        raise ValidationFailed(
            str(error), hint="Nothing was switched. ml swap --rollback takes the new model away again."
        )
    facts = Proven(
        probes=len(proof.comparisons), worst=verdict.worst, answers_sha256=proof.answers_sha256,
        probes_sha256=proof.probes_sha256,
    )  # fmt: skip
    return facts, got


def _answered(got: NodeAnswers) -> Any:
    from release_tool.models.compare import Measured
    from release_tool.steps.measuring import Answered

    # A cluster does not tell how long its inputs were.
    arrays = {name: array for name, array in got.arrays.items() if name != "tokens"}
    dimension = int(arrays["embedding"].shape[1]) if "embedding" in arrays else None
    measured = Measured(arrays=arrays, texts=got.texts, errors=got.errors)
    return Answered(measured=measured, versions=got.versions, pinned=True, dimension=dimension, not_asked=got.not_asked)


def encodes_alike(
    cluster: Sender, old: str, release: SwapRelease, probes_file: Path | None, got: NodeAnswers, console: Console
) -> tuple[int, int]:
    """Return how many probes both models encode alike, within what a proof allows, and how many were asked.

    Args:
        cluster: where both are deployed.
        old: id of the old model.
        release: of the new one.
        probes_file: as named.
        got: what the new one answered.
        console: gets a bar.
    """
    from release_tool.models.answers import read_answers
    from release_tool.models.compare import Measured, Rules, compare
    from release_tool.packaged import load_probes
    from release_tool.services.cluster.probing import ask_probes
    from release_tool.services.cluster.swap_looking import need_model

    certificate = release.certificate
    kind, tolerances = certificate.bundle.kind, certificate.plan.tolerances
    rows = load_probes(probes_file).for_kind(kind)
    said = need_model(cluster, old, "which is to give way")
    theirs = ask_probes(cluster, old, said, rows, kind, console)
    if "embedding" in theirs.arrays and theirs.arrays["embedding"].shape != got.arrays["embedding"].shape:
        return 0, len(rows)
    reference = _as_reference(read_answers(release.answers), theirs)
    arrays = {name: array for name, array in got.arrays.items() if name != "tokens"}
    measured = Measured(arrays=arrays, texts=got.texts, errors={**got.errors, **theirs.errors})
    found = compare(rows, reference, measured, Rules(tolerances=tolerances, prune_ratio=certificate.plan.prune_ratio))
    alike = [one for one in found if judge(one, kind, NODE, tolerances) is None]
    return len(alike), len(found)


def _as_reference(answers: Answers, theirs: NodeAnswers) -> Answers:
    """Let the old model's answers stand where the oracle's did."""
    return replace(answers, arrays={**answers.arrays, **theirs.arrays})


def check_dimensions(fields: Sequence[Reached], dimension: int | None) -> None:
    """Refuse a model whose vectors the indices can't take: every document and every query would fail.

    Raises:
        UsageError: a field has other dimensions.
    """
    from release_tool.core.ml.swap_fields import unfit

    wrong = unfit(tuple(fields), dimension)
    if wrong:
        lines = "\n".join(f"  - {one.where}: {one.why}\n    {one.todo}" for one in wrong)
        raise UsageError(
            f"The new model does not fit the indices:\n{lines}",
            hint="Make the new indices first, with pipelines that name the new model; there is nothing to swap then.",
        )
