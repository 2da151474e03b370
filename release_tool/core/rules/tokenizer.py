"""Rules about tokenizer.json.

Measured by loading one file a component with tokenizers 0.12.1, 0.13.2, 0.19.1 and 0.20.3, which are (0.12.1: next to)
the versions of the servers; how the server cuts and pads is ML Commons' and DJL's code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.kinds import SERVER_MAX_LENGTH, ModelKind
from release_tool.core.opensearch import number
from release_tool.core.verdicts import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.archive_facts import ArchiveFacts
    from release_tool.core.verdicts import Target

PAIRS_SINCE = "0.20"
METASPACE_SINCE = "0.19"
FALLBACK_SINCE = "0.19"
TRUNCATES_SINCE = "2.15"
"""DJL 0.28 truncates always; before it tokenizer.json alone decides."""

EVERYWHERE = "0.12"
NOWHERE = "99"
COMPONENTS = {
    "normalizer": dict.fromkeys(
        ("BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "Replace", "Strip",
         "StripAccents", "Sequence"), EVERYWHERE)
    | {"Prepend": "0.19", "ByteLevel": "0.20"},
    "pre_tokenizer": dict.fromkeys(
        ("BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "Metaspace", "Punctuation", "Split",
         "UnicodeScripts", "Whitespace", "WhitespaceSplit", "Sequence"), EVERYWHERE)
    | {"FixedLength": NOWHERE},
    "post_processor": dict.fromkeys(
        ("BertProcessing", "RobertaProcessing", "TemplateProcessing", "ByteLevel"), EVERYWHERE)
    | {"Sequence": "0.13"},
    "decoder": dict.fromkeys(("BPEDecoder", "ByteLevel", "CTC", "Metaspace", "WordPiece"), EVERYWHERE)
    | {"Sequence": "0.13", "ByteFallback": "0.19", "Fuse": "0.19", "Replace": "0.19", "Strip": "0.19"},
}  # fmt: skip
"""Place → type → first tokenizers version that reads it; ``NOWHERE``: none of the servers'."""

MODELS = ("BPE", "WordPiece", "WordLevel", "Unigram")


def _older(target: Target, version: str) -> bool:
    return number(target.stack.tokenizers) < number(version)


def schema(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """What an older tokenizers library can't parse."""
    tokens = facts.tokenizer
    if tokens is None:
        return
    refused = "The server's tokenizers library refuses the file: data did not match any variant."
    if tokens.merges == "pairs" and _older(target, PAIRS_SINCE):
        yield Finding(
            rule="merges-pairs",
            severity=Severity.FATAL,
            what="The BPE merges are written as pairs, as tokenizers 0.20 and later do.",
            why=refused,
            fix='Write each merge as one string "a b": every version reads that.',
        )
    if not tokens.metaspace_plain and _older(target, METASPACE_SINCE):
        yield Finding(
            rule="metaspace",
            severity=Severity.FATAL,
            what="A Metaspace has prepend_scheme instead of add_prefix_space.",
            why=refused,
            fix=f"Serve it from {TRUNCATES_SINCE} on, or write add_prefix_space where the scheme is always or never.",
        )
    if tokens.model_type not in MODELS:
        yield _unknown("tokenizer-model", f"The tokenizer's model is {tokens.model_type or 'not named'!r}.")
    for component in tokens.components:
        place, _, name = component.partition(":")
        first = COMPONENTS.get(place, {}).get(name)
        if first is None:
            yield _unknown("tokenizer-component", f"The {place} {name!r} is in no table.")
        elif _older(target, first):
            yield Finding(
                rule="tokenizer-component",
                severity=Severity.FATAL,
                what=f"The {place} {name} is newer than the server.",
                why=refused,
                fix="No OpenSearch reads it." if first == NOWHERE else f"It needs tokenizers {first} or later.",
            )


def _unknown(rule: str, what: str) -> Finding:
    return Finding(
        rule=rule,
        severity=Severity.UNKNOWN,
        what=what,
        why="It was never loaded with the servers' tokenizers libraries.",
        fix="Validate the archive in the runtime ring and on a node.",
    )


def silent(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """Options that an older library skips without a word, and then cuts words in another way."""
    tokens = facts.tokenizer
    if tokens is None or not _older(target, FALLBACK_SINCE):
        return
    for option, on in (("byte_fallback", tokens.byte_fallback), ("ignore_merges", tokens.ignore_merges)):
        if on:
            yield Finding(
                rule=option.replace("_", "-"),
                severity=Severity.WARNING,
                what=f"The tokenizer asks for {option}.",
                why="The server's tokenizers library skips the option and makes other tokens of some words.",
                fix=f"Serve it from {TRUNCATES_SINCE} on.",
            )


def truncation(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """Without truncation long texts break old servers and are cut at 512 by new ones."""
    tokens = facts.tokenizer
    if tokens is None or facts.kind is ModelKind.SPARSE_TOKENIZER:
        return
    fix = "Write truncation with the model's own max_seq_length, at most 512, into tokenizer.json."
    old = target.before(TRUNCATES_SINCE)
    if tokens.truncation is None:
        cut = f"Texts are cut at {tokens.fixed_padding or SERVER_MAX_LENGTH} tokens, whatever the model's limit is."
        yield Finding(
            rule="no-truncation",
            severity=Severity.FATAL if old else Severity.WARNING,
            what="tokenizer.json has no truncation.",
            why="A long text fails: the size of tensor a must match the size of tensor b." if old else cut,
            fix=fix,
        )
    elif tokens.truncation.max_length > SERVER_MAX_LENGTH:
        yield Finding(
            rule="long-truncation",
            severity=Severity.WARNING,
            what=f"tokenizer.json cuts at {tokens.truncation.max_length:,} tokens.",
            why="A model of 512 positions fails on longer texts."
            if old
            else "The server cuts at 512, but for huggingface_transformers with model_max_length.",
            fix=fix,
        )


def padding(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """The server feeds one text at a time: padding only costs, and changes models that look at it."""
    tokens = facts.tokenizer
    if tokens is None:
        return
    if tokens.fixed_padding is not None or tokens.pad_to_multiple_of:
        how = f"to {tokens.fixed_padding}" if tokens.fixed_padding else f"to a multiple of {tokens.pad_to_multiple_of}"
        yield Finding(
            rule="fixed-padding",
            severity=Severity.WARNING,
            what=f"tokenizer.json pads every text {how} tokens.",
            why="Short texts cost as much as long ones, and the answer may differ from the model's own.",
            fix="Take the padding out of tokenizer.json.",
        )


RULES = (schema, silent, truncation, padding)
