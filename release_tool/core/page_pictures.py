"""The drawings of a proof on the review page; every number and verdict is the proof's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core import proof_int8
from release_tool.core.bars import TokenBar, token_plot
from release_tool.core.kinds import TRAITS, ModelKind
from release_tool.core.page import Picture
from release_tool.core.page_proofs import answers_only, difference, in_order
from release_tool.core.plots import Point, Series, difference_plot
from release_tool.core.proof import SCALED_KINDS, is_unsteady
from release_tool.core.quantity import clip, number_text, plural

if TYPE_CHECKING:
    from release_tool.core.certificate import Certificate
    from release_tool.core.plan import Tolerances
    from release_tool.core.proof import Proof

RING_MARK = {"runtime": "circle", "node": "diamond", "legacy": "triangle"}


def pictures(certificate: Certificate) -> tuple[Picture, ...]:
    """Return the drawings of one archive."""
    artifact, kind = certificate.artifact, certificate.bundle.kind
    tolerances = certificate.plan.tolerances
    proofs = in_order(certificate.proofs)
    numbers = tuple(
        (proof, _series(proof, tolerances)) for proof in proofs if proof.comparisons and not answers_only(proof)
    )
    drawn = []
    if numbers:
        heading = f"{clip(artifact, 60)}: {_measured(numbers[0][0])} of every probe"
        words = "Higher is worse; the dashed lines are what the plan allows. A cross marks a probe outside."
        if kind in SCALED_KINDS and not numbers[0][0].int8:
            words += " Differences are divided by the reference's largest component where that is above 1."
        drawn.append(
            Picture(
                heading=heading,
                caption=words,
                svg=difference_plot(f"difference-{_id(artifact)}", heading, tuple(series for _, series in numbers)),
            )
        )
    for proof in proofs:
        bars = tuple(
            TokenBar(probe=clip(item.probe, 80), missing=item.missing or 0, extra=item.extra or 0)
            for item in sorted(proof.comparisons, key=lambda one: (one.tokens, one.probe))
        )
        if not proof.int8 and any(bar.missing or bar.extra for bar in bars):
            heading = f"{clip(artifact, 60)}, {clip(proof.ring, 60)} ring: tokens that only one side has"
            words = f"Above a weight of {tolerances.sparse_threshold:g} both sides must name the same tokens."
            name = f"tokens-{_id(artifact)}-{_id(proof.ring)}"
            drawn.append(Picture(heading=heading, caption=words, svg=token_plot(name, heading, bars)))
    return tuple(drawn)


MEASURED = {
    ModelKind.DENSE: "largest difference of a component",
    ModelKind.SPARSE: "largest difference of a token's weight",
    ModelKind.SPARSE_TOKENIZER: "largest difference of a token's weight",
    ModelKind.CROSS_ENCODER: "difference of the score",
    ModelKind.QUESTION_ANSWERING: "largest difference of a logit",
    ModelKind.HIGHLIGHTER: "largest difference",
    ModelKind.METRICS_CORRELATION: "largest difference of a pattern",
}


def _measured(proof: Proof) -> str:
    return INT8_MEASURED if proof.int8 and proof_int8.by_cosine(proof.kind) else MEASURED[proof.kind]


INT8_MEASURED = "1 less the cosine"


def _id(name: str) -> str:
    # An id attribute may hold no space; anything else is escaped where it is written.
    return "".join(char if char.isalnum() and char.isascii() else "-" for char in name)[:60]


def _series(proof: Proof, tolerances: Tolerances) -> Series:
    limit = proof.limit(tolerances)
    points = []
    for item in proof.comparisons:
        if is_unsteady(item, proof.kind):
            continue
        value = difference(item, proof)
        reason = proof.judge(item, tolerances)
        length = plural(item.tokens, TRAITS[proof.kind].unit)
        where = f"{clip(item.probe, 80)} ({clip(item.shape, 60)}, {length}), {proof.ring}"
        said = clip(reason[1], 300) if reason else f"{where}: {number_text(value or 0.0)}"
        points.append(
            Point(
                probe=item.probe,
                shape=item.shape,
                tokens=item.tokens,
                value=value,
                ok=reason is None,
                note=f"{said}; allowed {number_text(limit)}" if reason is None else said,
            )
        )
    return Series(
        ring=clip(proof.ring, 40),
        mark=RING_MARK.get(proof.ring, "triangle"),
        limit=limit,
        points=tuple(points),
    )
