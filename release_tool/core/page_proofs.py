"""Proofs as rows, tables and pictures of the review page.

Every number comes from a proof, every verdict from ``proof.judge`` and the plan's tolerances: nothing is
decided a second time here.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from release_tool.core.bars import TokenBar, token_plot
from release_tool.core.diagnosis import diagnose
from release_tool.core.kinds import TRAITS, ModelKind
from release_tool.core.opensearch import stack_of
from release_tool.core.page import SIGN, Fact, Level, Picture, ProofRow, ShapeRow
from release_tool.core.plan import Tolerances
from release_tool.core.plots import Point, Series, difference_plot
from release_tool.core.proof import SCALED_KINDS, allowed, is_unsteady, judge, limit_of
from release_tool.core.quantity import clip, number_text, plural, ratio_text

if TYPE_CHECKING:
    from release_tool.core.certificate import Certificate
    from release_tool.core.proof import Comparison, Proof

RING_ORDER = ("runtime", "node", "legacy")
RING_MEANING = {
    "runtime": "a fresh process that serves as the server's Java does",
    "node": "a real OpenSearch with ML Commons",
    "legacy": "the libraries of older OpenSearch versions",
}
RING_MARK = {"runtime": "circle", "node": "diamond", "legacy": "triangle"}
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


def difference(item: Comparison, kind: ModelKind) -> float | None:
    """Return a probe's difference on the scale of its ring's limit.

    Where ``proof.allowed`` grows with the reference (dense, above 1), the difference is divided by as much.
    """
    if item.error is not None or item.not_finite or item.not_finite_reference or item.max_abs is None:
        return None
    unit = Tolerances()
    return item.max_abs * limit_of(kind, "", unit) / allowed(item, kind, "", unit)


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
        verdict="differs" if failures else "equal within tolerance",
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
    limit = limit_of(proof.kind, proof.ring, tolerances)
    unsteady = set(proof.unsteady())
    items = [item for item in proof.comparisons if item.probe not in unsteady]
    if not items:
        return "nothing measured", number_text(limit), "", ""
    item = max(items, key=lambda one: (_rank(difference(one, proof.kind)), one.probe))
    value = difference(item, proof.kind)
    if value is None:
        words = "refused" if item.error is not None else "not finite" if item.not_finite else "not measured"
        return words, number_text(limit), "", clip(item.probe, 80)
    return number_text(value), number_text(limit), ratio_text(limit, value), clip(item.probe, 80)


def _rank(value: float | None) -> float:
    return math.inf if value is None or not math.isfinite(value) else value


def shape_rows(certificate: Certificate, rings: tuple[str, ...]) -> tuple[ShapeRow, ...]:
    """Return one row a shape of probe, shortest input first, with the worst difference of each ring."""
    by_shape: dict[str, dict[str, list[Comparison]]] = {}
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
            cells=tuple(_cell(by_ring.get(ring, []), certificate.bundle.kind) for ring in rings),
        )
        rows.append((min(tokens), shape, row))
    ordered = tuple(row for _, _, row in sorted(rows, key=lambda item: item[:2]))
    more = len(ordered) - SHOWN_SHAPES
    if more <= 0:
        return ordered
    rest = replace(ordered[0], shape=f"and {more:,} more", probes="", tokens="", cells=("",) * len(rings))
    return (*ordered[:SHOWN_SHAPES], rest)


def _cell(items: list[Comparison], kind: ModelKind) -> str:
    if not items:
        return "not run"
    values = [difference(item, kind) for item in items if not is_unsteady(item, kind)]
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


def pictures(certificate: Certificate) -> tuple[Picture, ...]:
    """Return the drawings of one archive."""
    artifact, kind = certificate.artifact, certificate.bundle.kind
    tolerances = certificate.plan.tolerances
    proofs = in_order(certificate.proofs)
    numbers = tuple(_series(proof, tolerances) for proof in proofs if proof.comparisons and not answers_only(proof))
    drawn = []
    if numbers:
        heading = f"{clip(artifact, 60)}: {MEASURED[kind]} of every probe"
        words = "Higher is worse; the dashed lines are what the plan allows. A cross marks a probe outside."
        if kind in SCALED_KINDS:
            words += " Differences are divided by the reference's largest component where that is above 1."
        drawn.append(
            Picture(
                heading=heading,
                caption=words,
                svg=difference_plot(f"difference-{_id(artifact)}", heading, numbers),
            )
        )
    for proof in proofs:
        bars = tuple(
            TokenBar(probe=clip(item.probe, 80), missing=item.missing or 0, extra=item.extra or 0)
            for item in sorted(proof.comparisons, key=lambda one: (one.tokens, one.probe))
        )
        if any(bar.missing or bar.extra for bar in bars):
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


def _id(name: str) -> str:
    # An id attribute may hold no space; anything else is escaped where it is written.
    return "".join(char if char.isalnum() and char.isascii() else "-" for char in name)[:60]


def _series(proof: Proof, tolerances: Tolerances) -> Series:
    limit = limit_of(proof.kind, proof.ring, tolerances)
    points = []
    for item in proof.comparisons:
        if is_unsteady(item, proof.kind):
            continue
        value = difference(item, proof.kind)
        reason = judge(item, proof.kind, proof.ring, tolerances)
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
