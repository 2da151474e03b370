"""Rules of a diagnosis about what goes in: refusals, lengths of inputs, single tokens, no numbers at all."""

from __future__ import annotations

from collections import Counter

from release_tool.core.diagnosis_case import MAX_TOKENS_NAMED, MOST, Case, Diagnosis, named


def refused(case: Case) -> Diagnosis | None:
    """Explain what a runtime refused, by its own words."""
    words = Counter(item.error for item in case.failed if item.error is not None)
    if not words:
        return None
    said, _ = words.most_common(1)[0]
    refused = [item for item in case.failed if item.error is not None]
    shortest = min(item.tokens for item in refused)
    answered = [item for item in case.proof.comparisons if item.error is None]
    if answered and all(item.tokens < shortest for item in answered):
        return Diagnosis(
            fault="truncation",
            saw=f"only inputs of {shortest} tokens and more are refused ({said})",
            cause="tokenizer.json does not truncate to the length that the model can take",
        )
    return Diagnosis(
        fault="refused",
        saw=f"{case.of(len(refused))} are refused ({said})",
        cause=next(
            (cause for word, cause in REFUSALS if said and word in said), "the runtime can't serve this archive"
        ),
    )


REFUSALS: tuple[tuple[str, str], ...] = (
    ("IR version", "the ONNX file is newer than the server's onnxruntime reads"),
    ("opset", "the ONNX file uses operators newer than the server's onnxruntime knows"),
    ("Input mismatch", "the graph's inputs are not those that the server feeds for this model_type"),
    ("Invalid input tensor name", "the graph's inputs are not named as the server names them"),
    (
        "scaled_dot_product_attention",
        "the graph uses SDPA, which OpenSearch before 3.0 lacks; trace with eager attention",
    ),
    ("external", "weights lie outside the ONNX file"),
    ("multiple model", "the archive holds more than one model file"),
    ("not found in", "the model file does not lie at the root of the archive"),
    ("must match the size of tensor", "an input is longer than the model's positions: truncation is missing"),
)
"""Part of a runtime's words → what it means; ML Commons, DJL, onnxruntime and libtorch say them."""


def not_finite(case: Case) -> Diagnosis | None:
    """Explain NaN and infinite numbers."""
    source = [item for item in case.failed if item.not_finite_reference]
    if source:
        return Diagnosis(
            fault="source-not-finite",
            saw=f"the source itself answers NaN or infinite numbers to {case.of(len(source))}",
            cause="its weights hold NaN or overflow; the model is broken before any export",
        )
    broken = [item for item in case.failed if item.not_finite]
    if not broken:
        return None
    return Diagnosis(
        fault="not-finite",
        saw=f"the archive answers NaN or infinite numbers to {case.of(len(broken))} and the source does not",
        cause="a weight was damaged, or an operation overflows or divides by zero in the exported graph",
    )


def lengths(case: Case) -> Diagnosis | None:
    """Explain inputs of other lengths: truncation, fixed padding, special tokens, or another tokenizer."""
    pairs = [(i.tokens, i.tokens_reference) for i in case.proof.comparisons if i.tokens_reference is not None]
    other = [(mine, theirs) for mine, theirs in pairs if mine != theirs]
    if not other:
        return None
    saw = f"the archive's input has another length for {case.of(len(other))}"
    mine_longest, longest = max(mine for mine, _ in pairs), max(theirs for _, theirs in pairs)
    gaps = {mine - theirs for mine, theirs in other}
    padded = [mine for mine, theirs in other if mine > theirs]
    fixed = set(padded)
    # Several short texts that all became equally long; one alone could be anything.
    if len(fixed) == 1 and len(gaps) > 1 and len(padded) > 1:
        cut = f", and truncates to {mine_longest} where the source reads {longest}" if mine_longest < longest else ""
        return Diagnosis(
            fault="padding",
            saw=f"{saw}: {fixed.pop()} tokens wherever the source reads fewer{cut}",
            cause="tokenizer.json pads to a fixed length; the padding must be taken out",
        )
    if all(theirs == longest and mine > theirs for mine, theirs in other):
        return Diagnosis(
            fault="truncation",
            saw=f"{saw}: up to {mine_longest} tokens where the source stops at {longest}",
            cause="tokenizer.json does not truncate, or later than the model",
        )
    if all(mine == mine_longest and mine < theirs for mine, theirs in other):
        return Diagnosis(
            fault="truncation",
            saw=f"{saw}: it stops at {mine_longest} tokens where the source reads up to {longest}",
            cause="tokenizer.json truncates earlier than the model's own limit",
        )
    if len(gaps) == 1 and len(other) >= MOST * len([1 for _, theirs in pairs if theirs < longest]):
        gap = gaps.pop()
        return Diagnosis(
            fault="special-tokens",
            saw=f"{saw}, always by {gap:+d}",
            cause="the post-processor of tokenizer.json adds other special tokens than the model's tokenizer",
        )
    return Diagnosis(
        fault="tokenizer",
        saw=saw,
        cause="tokenizer.json is not the model's: another vocabulary, normaliser or pre-tokenizer",
    )


def long(case: Case) -> Diagnosis | None:
    """Explain failures of long inputs only, where lengths agree or are not known."""
    if not case.passed or not case.same_lengths:
        return None
    shortest = min(item.tokens for item in case.failed)
    longest = max(item.tokens for item in case.passed)
    if len(case.failed) < 2 or shortest <= longest:
        return None
    at_limit = case.max_length is not None and shortest >= case.max_length
    return Diagnosis(
        fault="truncation" if at_limit else "long-inputs",
        saw=f"only inputs of {shortest} tokens and more fail; up to {longest} all are equal",
        cause="texts at the limit are cut elsewhere than the source cuts them"
        if at_limit
        else "truncation, or positions or attention masks beyond the length that was traced",
    )


def row(case: Case) -> Diagnosis | None:
    """Find tokens that every failing probe has one of and no passing probe has: a damaged row of the embeddings."""
    if not case.passed or not case.failed or any(item.probe not in case.inputs for item in case.failed):
        return None
    clean: set[int] = set()
    for item in case.passed:
        clean |= case.inputs.get(item.probe, frozenset())
    suspects = {item.probe: case.inputs[item.probe] - clean for item in case.failed}
    if not all(suspects.values()):
        return None
    chosen: list[int] = []
    rest = dict(suspects)
    while rest and len(chosen) < MAX_TOKENS_NAMED:
        count = Counter(token for tokens in rest.values() for token in tokens)
        token = max(count, key=lambda one: (count[one], -one))
        chosen.append(token)
        rest = {probe: tokens for probe, tokens in rest.items() if token not in tokens}
    # A probe of its own unknown words explains nothing: fewer suspects than failures, or one that all share.
    if rest or len(chosen) >= len(case.failed) > 1:
        return None
    return Diagnosis(
        fault="vocabulary-row",
        saw=f"the {len(case.failed)} failing probes have token {named(chosen)}, and no equal one has",
        cause="that row of the token embeddings was changed or swapped, or the tokenizer numbers it otherwise",
    )
