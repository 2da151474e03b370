"""What was made in which variant, and why, as rows of the review page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.page import Fact, VariantRow
from release_tool.core.page_proofs import in_order
from release_tool.core.page_quality import points
from release_tool.core.quantity import clip, number_text, plural, size_text
from release_tool.core.variant_choice import reason

if TYPE_CHECKING:
    from release_tool.core.bundle import Bundle, ExportFacts, Quantised
    from release_tool.core.certificate import Certificate
    from release_tool.core.plan import PlannedArtifact, ReleasePlan
    from release_tool.core.proof import Proof

SHOWN_KEPT = 12


def variant_row(
    artifact: PlannedArtifact, plan: ReleasePlan, bundle: Bundle, certificate: Certificate | None
) -> VariantRow:
    """Return one archive: how it was made, how large, how near and how well it searches, and why it is this one."""
    return VariantRow(
        artifact=clip(artifact.id, 60),
        variant=artifact.variant,
        name=clip(artifact.registered_name),
        size=size_text(bundle.archive.size),
        parity=_parity(certificate),
        quality=_quality(certificate),
        why=clip(reason(artifact, plan), 400),
    )


def _parity(certificate: Certificate | None) -> str:
    """Return the worst difference in each ring beside what is allowed."""
    if certificate is None or not certificate.proofs:
        return "not measured"
    return "; ".join(f"{clip(proof.ring, 40)} {_worst(proof, certificate)}" for proof in in_order(certificate.proofs))


def _worst(proof: Proof, certificate: Certificate) -> str:
    item = proof.worst()
    number = None if item is None else proof.difference(item)
    if item is None or number is None:
        return "answers only"
    allowed = number_text(proof.allowed(item, certificate.plan.tolerances))
    return f"{number_text(number)} of {allowed}"


def _quality(certificate: Certificate | None) -> str:
    """Return nDCG@10 on each set, and what is lost of the source's."""
    if certificate is None or certificate.quality is None:
        return "not measured"
    sets = (
        f"{clip(judged.name, 40)} {judged.archive.ndcg_10:.4f} ({points(judged.lost)} points lost)"
        for judged in certificate.quality.sets
    )
    return "; ".join(sets)


def export_facts(export: ExportFacts) -> tuple[Fact, ...]:
    """Return what fusion and quantisation did to a graph; nothing where there was neither."""
    found = []
    if export.fused_operators:
        words = ", ".join(f"{name} {count}" for name, count in sorted(export.fused_operators.items()))
        found.append(Fact(label="Fused operators", value=clip(words)))
    if export.quantised is not None:
        found.extend(_quantised(export.quantised))
    return tuple(found)


def _quantised(quantised: Quantised) -> list[Fact]:
    kept = [weight for weight in quantised.weights if weight.kept]
    names = ", ".join(clip(weight.name, 120) for weight in kept[:SHOWN_KEPT])
    more = f" and {len(kept) - SHOWN_KEPT} more" if len(kept) > SHOWN_KEPT else ""
    found = [
        Fact(label="In eight bits", value=f"{len(quantised.weights) - len(kept)} of {len(quantised.weights)} weights"),
        Fact(label="Kept in float32", value=f"{names}{more}" if kept else "nothing"),
    ]
    if quantised.rounds:
        last = quantised.rounds[-1]
        figures = ", ".join(f"{clip(name, 60)} {number_text(value)}" for name, value in sorted(last.figures.items()))
        searched = plural(len(quantised.rounds), "round")
        found.append(Fact(label="Search for what to keep", value=f"{searched}; the last: {figures}"))
    return found
