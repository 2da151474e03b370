"""Proofs as rows and tables of the review page.

Every number comes from a proof, every verdict from ``proof.judge`` and the plan's tolerances: nothing is
decided a second time here.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from release_tool.core.diagnosis import diagnose
from release_tool.core.opensearch import stack_of
from release_tool.core.page import SIGN, Fact, Level, ProofRow, ShapeRow
from release_tool.core.plan import Tolerances
from release_tool.core.proof import allowed, is_unsteady, limit_of
from release_tool.core.quantity import clip, number_text, plural, ratio_text

if TYPE_CHECKING:
    from release_tool.core.certificate import Certificate
    from release_tool.core.comparison import Comparison
    from release_tool.core.proof import Proof

RING_ORDER = ("runtime", "node", "legacy")
RING_MEANING = {
    "runtime": "a fresh process that serves as the server's Java does",
    "node": "a real OpenSearch with ML Commons",
    "legacy": "the libraries of older OpenSearch versions",
}
SHOWN_REASONS = 5
SHOWN_VERSIONS = 20
SHOWN_SHAPES = 60
"""More than the shipped probes have; other sets are not released, and have a page."""
PINNED = "the server's own versions"
STAND_IN = "stand-in: installed versions, not the server's own"


def in_order(proofs: tuple[Proof, ...]) -> tuple[Proof, ...]:
    """Return proofs in the order of the page; rings of later versions come last."""
    known = {ring: index for index, ring in enumerate(RING_ORDER)}
    return tuple(sorted(proofs, key=lambda proof: (known.get(proof.ring, len(known)), proof.ring)))


def difference(item: Comparison, proof: Proof) -> float | None:
    """Return a probe's difference on the scale of its ring's limit: of int8 what that is judged by.

    Where ``proof.allowed`` grows with the reference (dense, above 1), the difference is divided by as much.
    """
    if item.error is not None or item.not_finite or item.not_finite_reference:
        return None
    measured = proof.difference(item)
    if measured is None or proof.int8:
        return measured
    unit = Tolerances()
    return measured * limit_of(proof.kind, "", unit) / allowed(item, proof.kind, "", unit)


def answers_only(proof: Proof) -> bool:
    """Tell whether a ring gave answers without numbers to compare (question answering on the node)."""
    return bool(proof.comparisons) and all(
        item.max_abs is None and item.same_answer is not None for item in proof.comparisons if item.error is None
    )


def proof_row(certificate: Certificate, proof: Proof) -> ProofRow:
    """Return one row of the table of proofs."""
    tolerances = certificate.plan.tolerances
    failures = certificate.failures()[proof.ring]
    bad = len(proof.ranked(tolerances))
    held = len(proof.comparisons) - len(proof.unsteady())
    level = Level.STOP if failures else Level.OK
    worst, limit, headroom, probe = _answers(proof) if answers_only(proof) else _worst(proof, tolerances)
    cosines = [item.cosine for item in proof.comparisons if item.cosine is not None]
    return ProofRow(
        artifact=clip(proof.artifact, 60),
        ring=clip(proof.ring, 40),
        ring_meaning=RING_MEANING.get(proof.ring, ""),
        level=level,
        sign=SIGN[level],
        verdict="differs" if failures else "near, as int8 is judged" if proof.int8 else "equal within tolerance",
        passed=f"{held - bad:,} of {held:,}",
        worst=worst,
        limit=limit,
        headroom=headroom,
        worst_probe=probe,
        cosine=_cosine(min(cosines)) if cosines else "",
        versions=_versions(proof),
        versions_note=whose(proof, certificate.plan.target_versions),
        reasons=tuple(clip(reason, 500) for reason in failures[:SHOWN_REASONS]),
        more_reasons=plural(len(failures) - SHOWN_REASONS, "more probe") if len(failures) > SHOWN_REASONS else "",
        diagnosis=_diagnosis(certificate, proof),
        note=_note(proof),
    )


def _versions(proof: Proof) -> tuple[Fact, ...]:
    named = sorted(proof.versions.items())
    shown = tuple(Fact(label=clip(name, 60), value=clip(version, 60)) for name, version in named[:SHOWN_VERSIONS])
    more = len(named) - len(shown)
    return (*shown, Fact(label="and", value=f"{more:,} more")) if more else shown


def _diagnosis(certificate: Certificate, proof: Proof) -> str:
    plan = certificate.plan
    found = diagnose(proof, plan.tolerances, max_length=plan.max_length)
    return "" if found is None else clip(str(found), 500)


def whose(proof: Proof, targets: tuple[str, ...]) -> str:
    """Say whether what answered is what the server loads models with, and what is not.

    A proof may be pinned but for one library: TorchScript runs in the installed torch.
    """
    if not proof.pinned:
        return STAND_IN
    stacks = [stack_of(version) for version in targets]
    served = {
        "onnxruntime": {stack.onnxruntime for stack in stacks},
        "tokenizers": {stack.tokenizers for stack in stacks},
        "torch": {stack.libtorch for stack in stacks},
    }
    other = [
        name
        for name, version in sorted(proof.versions.items())
        if name in served and version.partition("+")[0] not in served[name]
    ]
    return f"{PINNED}, but for {' and '.join(other)}" if other else PINNED


def _note(proof: Proof) -> str:
    words = [clip(proof.note, 500)] if proof.note else []
    if unsteady := proof.unsteady():
        count = plural(len(unsteady), "probe")
        words.append(f"{count} not held against it, because rounding turns the source's own answer: ")
        words[-1] += clip(", ".join(unsteady), 400) + "."
    if proof.not_asked:
        names = clip(", ".join(proof.not_asked), 200)
        words.append(f"Not asked, because this ring refuses them of every model: {names}.")
    return " ".join(words)


def _cosine(value: float) -> str:
    if not math.isfinite(value):
        return number_text(value)
    # 1 - cosine says more than 0.99999999: it is shown where the cosine rounds to one.
    return f"{value:.6f}" if value < 0.9999995 else "1.000000"


def _answers(proof: Proof) -> tuple[str, str, str, str]:
    same = sum(item.same_answer is True for item in proof.comparisons)
    other = [item for item in proof.comparisons if item.same_answer is False]
    closest = min(other, key=lambda item: (-(item.margin or 0.0), item.probe)) if other else None
    ties = "all the same" if not other else f"{plural(len(other), 'other answer')}"
    return f"{same:,} same answers", "same answer", ties, closest.probe if closest else ""


def _worst(proof: Proof, tolerances: Tolerances) -> tuple[str, str, str, str]:
    limit = proof.limit(tolerances)
    unsteady = set(proof.unsteady())
    items = [item for item in proof.comparisons if item.probe not in unsteady]
    if not items:
        return "nothing measured", number_text(limit), "", ""
    item = max(items, key=lambda one: (_rank(difference(one, proof)), one.probe))
    value = difference(item, proof)
    if value is None:
        words = "refused" if item.error is not None else "not finite" if item.not_finite else "not measured"
        return words, number_text(limit), "", clip(item.probe, 80)
    return number_text(value), number_text(limit), ratio_text(limit, value), clip(item.probe, 80)


def _rank(value: float | None) -> float:
    return math.inf if value is None or not math.isfinite(value) else value


def shape_rows(certificate: Certificate, rings: tuple[str, ...]) -> tuple[ShapeRow, ...]:
    """Return one row a shape of probe, shortest input first, with the worst difference of each ring."""
    by_shape: dict[str, dict[str, list[Comparison]]] = {}
    by_name = {proof.ring: proof for proof in certificate.proofs}
    for proof in certificate.proofs:
        for item in proof.comparisons:
            by_shape.setdefault(item.shape, {}).setdefault(proof.ring, []).append(item)
    rows = []
    for shape, by_ring in by_shape.items():
        every = [item for items in by_ring.values() for item in items]
        tokens = [item.tokens for item in every]
        span = f"{min(tokens):,}" if min(tokens) == max(tokens) else f"{min(tokens):,} to {max(tokens):,}"
        row = ShapeRow(
            artifact=clip(certificate.artifact, 60),
            shape=clip(shape, 60),
            probes=f"{len({item.probe for item in every}):,}",
            tokens=span,
            cells=tuple(_cell(by_ring.get(ring, []), by_name.get(ring)) for ring in rings),
        )
        rows.append((min(tokens), shape, row))
    ordered = tuple(row for _, _, row in sorted(rows, key=lambda item: item[:2]))
    more = len(ordered) - SHOWN_SHAPES
    if more <= 0:
        return ordered
    rest = replace(ordered[0], shape=f"and {more:,} more", probes="", tokens="", cells=("",) * len(rings))
    return (*ordered[:SHOWN_SHAPES], rest)


def _cell(items: list[Comparison], proof: Proof | None) -> str:
    if not items or proof is None:
        return "not run"
    values = [difference(item, proof) for item in items if not is_unsteady(item, proof.kind)]
    if not values:
        return "rounding decides"
    measured = [value for value in values if value is not None]
    if len(measured) < len(values):
        answers = [item.same_answer for item in items if item.same_answer is not None]
        if len(answers) == len(items):
            return f"{sum(answers)} of {len(items)} same"
        return "refused or not finite"
    cell = number_text(max(measured))
    tokens = sum((item.missing or 0) + (item.extra or 0) for item in items)
    return f"{cell}, {plural(tokens, 'token')} differ" if tokens else cell
