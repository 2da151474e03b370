"""Rules of a diagnosis about the numbers that come out: lengths, directions, token weights, precision."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from release_tool.core.diagnosis_case import Case, Diagnosis, named
from release_tool.core.kinds import ModelKind
from release_tool.core.proof import SPARSE_KINDS

if TYPE_CHECKING:
    from release_tool.core.comparison import Comparison

NORM_SLACK = 1e-3
PARALLEL = 1 - 1e-5
"""Cosine from which two embeddings point in the same direction but for rounding."""
NEAR = 0.99
"""Cosine below which another computation, not another precision, is at work."""
ROUNDING_FACTOR = 20.0
"""Differences up to this many tolerances may be another order of the same float32 operations."""


def dimension(case: Case) -> Diagnosis | None:
    """Explain embeddings of another size."""
    if case.proof.kind is not ModelKind.DENSE:
        return None
    pairs = {(item.size, item.size_reference) for item in case.failed if item.size != item.size_reference}
    if not pairs:
        return None
    mine, theirs = min(pairs, key=str)
    return Diagnosis(
        fault="dimension",
        saw=f"the archive's embedding has {mine} numbers, the source's {theirs}",
        cause="a Dense module is missing or too many, or it is another model",
    )


def norms(case: Case) -> Diagnosis | None:
    """Explain embeddings that point in the same directions and have other lengths."""
    rows = [item for item in case.failed if item.norm is not None and item.norm_reference and item.cosine is not None]
    if not rows or len(rows) < len(case.failed) or not case.all_failed:
        return None
    if any((item.cosine or 0) < PARALLEL for item in rows):
        return None
    unit = [abs((item.norm or 0) - 1) <= NORM_SLACK for item in rows]
    unit_source = [abs((item.norm_reference or 0) - 1) <= NORM_SLACK for item in rows]
    example = rows[0]
    factors = [abs((item.norm or 0) / (item.norm_reference or 1) - 1) for item in rows]
    if max(factors) < NORM_SLACK or not case.same_lengths:
        return None
    if all(unit_source) and not all(unit):
        return Diagnosis(
            fault="normalisation",
            saw=f"same directions, but the source's embeddings have length 1, the archive's {example.norm:.3g}",
            cause="normalisation is missing (normalize_result, or the Normalize module)",
        )
    if all(unit) and not all(unit_source):
        return Diagnosis(
            fault="normalisation",
            saw=f"same directions, but the archive's embeddings have length 1, not {example.norm_reference:.3g}",
            cause="the archive normalises and the source does not",
        )
    return Diagnosis(
        fault="scale",
        saw=f"same directions, but lengths such as {example.norm:.3g} instead of {example.norm_reference:.3g}",
        cause="the pooling divides by another number (mean against mean_sqrt_len), or a factor is missing",
    )


def pooling(case: Case) -> Diagnosis | None:
    """Explain embeddings that point elsewhere, whatever the input."""
    rows = [item.cosine for item in case.failed if item.cosine is not None]
    if case.proof.kind is not ModelKind.DENSE or not rows or not case.all_failed or min(rows) >= NEAR:
        return None
    if not case.same_lengths:
        return None
    middle = sorted(rows)[len(rows) // 2]
    return Diagnosis(
        fault="pooling",
        saw=f"{case.of(len(case.failed))} point elsewhere (median cosine {middle:.3f}), whatever their length",
        cause="another pooling mode, other weights, or token types that the model needs and does not get",
    )


def sparse_pattern(case: Case) -> Diagnosis | None:
    """Explain sparse answers: single tokens first, then what all probes have in common."""
    if case.proof.kind not in SPARSE_KINDS:
        return None
    rows = [item for item in case.failed if item.missing is not None]
    worst = Counter(item.worst for item in rows if item.worst is not None)
    if case.proof.kind is ModelKind.SPARSE_TOKENIZER and rows and not any(item.missing or item.extra for item in rows):
        return Diagnosis(
            fault="token-weights",
            saw=f"the same tokens, other weights in {case.of(len(rows))}, such as of token {named(worst)}",
            cause="another idf.json, or tokens that read alike: the server looks weights up by a token's text",
        )
    if worst and set(worst) <= case.special_ids:
        return Diagnosis(
            fault="special-tokens",
            saw=f"in {case.of(len(rows))} the token that differs most is a special one ({named(worst)})",
            cause="the columns of special tokens are not zeroed",
        )
    if worst and len(worst) <= 2 and len(rows) > len(worst):
        return Diagnosis(
            fault="vocabulary-row",
            saw=f"in {case.of(len(rows))} it is always token {named(worst)} that differs most",
            cause="that row of the vocabulary was changed or swapped, or its weight in idf.json is another",
        )
    return _whole_answers(case, rows) if case.all_failed and len(rows) > 1 else None


def _whole_answers(case: Case, rows: list[Comparison]) -> Diagnosis | None:
    missing, extra = sum(item.missing or 0 for item in rows), sum(item.extra or 0 for item in rows)
    if missing and extra:
        return None
    if extra:
        return Diagnosis(
            fault="pruning",
            saw=f"{extra} tokens too many in {case.of(len(rows))} and none missing",
            cause="the prune ratio is not applied, or the activation lets negative logits through",
        )
    if missing:
        return Diagnosis(
            fault="pruning",
            saw=f"{missing} tokens missing in {case.of(len(rows))} and none too many",
            cause="the archive prunes more than the plan says",
        )
    return Diagnosis(
        fault="activation",
        saw=f"the same tokens with other weights in {case.of(len(rows))}",
        cause="another activation (log1p once against twice), or other token weights",
    )


def answer_text(case: Case) -> Diagnosis | None:
    """Explain other answers from equal logits."""
    rows = [item for item in case.failed if item.same_answer is False]
    if case.proof.kind is not ModelKind.QUESTION_ANSWERING or not rows or any(i.max_abs is None for i in rows):
        return None
    if any((item.max_abs or 0) > case.tolerances.logit for item in rows):
        return None
    return Diagnosis(
        fault="answer-text",
        saw=f"equal logits and other answers in {case.of(len(rows))}",
        cause="the tokens of tokenizer.json are spelled otherwise than the model's",
    )


def precision(case: Case) -> Diagnosis | None:
    """Explain small differences."""
    rows = [item for item in case.failed if item.max_abs is not None]
    if len(rows) < len(case.failed) or any(item.missing or item.extra for item in rows):
        return None
    if not case.same_lengths:
        return None
    ratios = [(item.max_abs or 0) / max(case.proof.allowed(item, case.tolerances), 1e-30) for item in rows]
    worst = max(ratios, default=0.0)
    if worst <= 1:
        return None
    parallel = all(item.cosine is None or item.cosine >= 1 - 1e-8 for item in rows)
    if worst <= ROUNDING_FACTOR and parallel:
        return Diagnosis(
            fault="precision",
            saw=f"{case.of(len(rows))} differ by at most {worst:.1f} tolerances",
            cause="float32 rounding: another order of the same operations (fused or approximated kernels)",
        )
    if case.all_failed and all(item.cosine is None or item.cosine >= NEAR for item in rows):
        return Diagnosis(
            fault="weights",
            saw=f"{case.of(len(rows))} differ a little, by up to {worst:.3g} tolerances",
            cause="weights of lower precision (float16, int8), or one that was changed",
        )
    return None


def quantised(case: Case) -> Diagnosis | None:
    """Explain an int8 archive that is further from its source than eight bits should make it."""
    found = [(number, item) for item in case.failed if (number := case.proof.difference(item)) is not None]
    if not found or not case.same_lengths:
        return None
    worst, item = max(found, key=lambda pair: (pair[0], pair[1].probe))
    far = f"cosine {1 - worst:.3f}" if item.cosine is not None else f"by {worst:.3g}"
    return Diagnosis(
        fault="quantisation",
        saw=f"{case.of(len(case.failed))} are further from the source than int8 may be (worst: {item.probe}, {far})",
        cause="a scale or a zero point was changed, or a layer that every answer hangs on is in int8"
        if case.all_failed
        else "a layer that these inputs hang on is in int8, or the defaults of the quantisation were others",
    )
