"""Rules about the register request. Source: MLRegisterModelInput and the model configs, tag by tag."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any

from release_tool.core.kinds import Format, ModelKind
from release_tool.core.verdicts import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.core.archive_facts import ArchiveFacts
    from release_tool.core.verdicts import Target

BY_FUNCTION_SINCE = "3.1"
"""From here on function_name, as far as it was read by then, decides how model_config is parsed."""
CHARSET_SINCE = "3.1"
ADDITIONAL_SINCE = "3.1"
PREFIXES_SINCE = "2.13"
HASH_TEXT_SINCE = "2.12"
FRAMEWORKS = ("sentence_transformers", "huggingface_transformers", "huggingface_transformers_neuron")
DENSE_FIELDS = {
    "model_type": "model type",
    "embedding_dimension": "embedding dimension",
    "framework_type": "framework type",
}
SPARSE_KINDS = (ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER)


def _fatal(rule: str, what: str, why: str, fix: str) -> Finding:
    return Finding(rule=rule, severity=Severity.FATAL, what=what, why=why, fix=fix)


def _warning(rule: str, what: str, why: str, fix: str) -> Finding:
    return Finding(rule=rule, severity=Severity.WARNING, what=what, why=why, fix=fix)


def present(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """Without a request only half can be said."""
    if facts.config is None:
        yield Finding(
            rule="no-config",
            severity=Severity.NOTE,
            what="No register request was given: only the archive was judged.",
            why="model_type, pooling, dimension and digest stand in the request.",
            fix="Name config.json with --config.",
        )


def names(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """Name, format, and the characters of name and description."""
    config = facts.config
    if config is None:
        return
    if not isinstance(config.get("name"), str) or not config["name"].strip():
        yield _fatal("name", "The request has no name.", "model name is null.", "Add name.")
    if facts.declared_format is None or not isinstance(config.get("model_format"), str):
        yield _fatal(
            "model-format",
            f"model_format is {_shown(config.get('model_format'))}.",
            "model format is null, or Wrong model format.",
            "Write " + " or ".join(fmt.value.upper() for fmt in Format) + ".",
        )
    if target.before(CHARSET_SINCE):
        return
    for field in ("name", "description"):
        bad = [char for char in str(config.get(field) or "") if not _accepted(char)]
        if bad:
            yield _fatal(
                "charset",
                f"The {field} holds {' '.join(sorted(set(bad))[:8])!r}.",
                f"Model {field} can only contain letters, numbers, spaces, and basic punctuation (.,!?():@-_'/\").",
                f"Leave such characters out of the {field}; write 'and' for '&'.",
            )


def function_name(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """function_name must be there, and stand in front of model_config."""
    config = facts.config
    if config is None or "model_config" not in config:
        return
    keys = list(config)
    late = "function_name" in config and keys.index("function_name") > keys.index("model_config")
    missing = not isinstance(config.get("function_name"), str)
    if not late and not missing:
        return
    fix = "Write function_name in front of model_config."
    what = "function_name stands behind model_config." if late else "function_name is missing."
    if target.since(BY_FUNCTION_SINCE) and facts.kind is ModelKind.DENSE:
        why = "model_config is parsed without the fields of an embedding model: embedding dimension is null."
        yield _fatal("function-name", what, why, fix)
    elif facts.kind in (ModelKind.QUESTION_ANSWERING, ModelKind.HIGHLIGHTER) and late:
        if target.before(BY_FUNCTION_SINCE) and "embedding_dimension" not in facts.model_config:
            yield _fatal("function-name", what, "It is parsed as an embedding model: embedding dimension is null.", fix)
        else:
            yield _warning("function-name", what, "model_config is parsed as that of another function.", fix)


def model_config(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """Which fields the parser of the version demands."""
    config, kind = facts.config, facts.kind
    if config is None or kind is None:
        return
    given = config.get("model_config")
    if given is None:
        if kind not in SPARSE_KINDS:
            yield _fatal(
                "no-model-config", "The request has no model_config.", "model config is null.", "Add model_config."
            )
        return
    if not isinstance(given, dict):
        yield _fatal("no-model-config", "model_config is no object.", "It can't be parsed.", "Write an object.")
        return
    if kind is ModelKind.SPARSE and target.since(BY_FUNCTION_SINCE):
        yield _fatal(
            "sparse-config",
            "A sparse encoder has a model_config.",
            "Deploying fails with a ClassCastException: a base config is cast to an embedding model's.",
            "Leave model_config out: it is not needed from 2.11 on.",
        )
    for field in _demanded(kind, target):
        if given.get(field) is None:
            yield _fatal(
                "model-config-field",
                f"model_config has no {field}.",
                f"{DENSE_FIELDS[field]} is null.",
                f"Add {field}." if kind is not ModelKind.SPARSE else "Leave model_config out.",
            )
    framework = given.get("framework_type")
    if framework is not None and str(framework).lower() not in FRAMEWORKS:
        yield _fatal(
            "framework-type",
            f"framework_type is {_shown(framework)}.",
            "Wrong framework type.",
            f"One of {', '.join(FRAMEWORKS)}.",
        )
    if given.get("all_config") is not None and not isinstance(given["all_config"], str):
        yield _fatal("all-config", "all_config is no string.", "It can't be parsed.", "Write the JSON as one string.")


def _demanded(kind: ModelKind, target: Target) -> tuple[str, ...]:
    """Return the fields without which the parser throws."""
    if kind in (ModelKind.QUESTION_ANSWERING, ModelKind.HIGHLIGHTER):
        return ("model_type", "framework_type")
    if kind is ModelKind.DENSE or target.before(BY_FUNCTION_SINCE):
        return tuple(DENSE_FIELDS)
    return ("model_type",)


def dimension(facts: ArchiveFacts, _: Target) -> Iterator[Finding]:
    """The server does not compare the dimension with the model; an index will."""
    stated = facts.model_config.get("embedding_dimension")
    if facts.config is None or facts.kind is not ModelKind.DENSE or stated is None:
        return
    if not isinstance(stated, int) or isinstance(stated, bool) or stated < 1:
        yield _fatal("dimension", f"embedding_dimension is {_shown(stated)}.", "It is no dimension.", "Write a number.")
        return
    shape = facts.onnx.outputs[0].shape if facts.onnx is not None and facts.onnx.outputs else None
    if shape and shape[-1].isdecimal() and int(shape[-1]) != stated:
        yield _warning(
            "dimension",
            f"embedding_dimension is {stated}, the graph's output has {shape[-1]}.",
            "The server takes any number; indexing the embeddings fails.",
            f"Write {shape[-1]}.",
        )


def content(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """Digest and size of exactly this archive."""
    config = facts.config
    if config is None:
        return
    stated = config.get("model_content_hash_value")
    if stated is None:
        why = (
            "Model content Hash code need to be provided when register via url."
            if target.since(HASH_TEXT_SINCE)
            else "model content changed."
        )
        yield _fatal("hash-missing", "model_content_hash_value is missing.", why, f"Write {facts.sha256}.")
    elif stated != facts.sha256:
        yield _fatal(
            "hash-differs",
            f"model_content_hash_value is {_shown(stated)[:24]}..., the archive's sha256 {facts.sha256[:16]}...",
            "model content changed.",
            f"Write {facts.sha256}, or take the archive that the request is about.",
        )
    size = config.get("model_content_size_in_bytes")
    if size != facts.size or isinstance(size, bool):
        yield _warning(
            "size",
            f"model_content_size_in_bytes is {_shown(size)}, the archive has {facts.size:,} bytes.",
            "Registering by URL skips it; uploading in chunks stores it, and old versions fail without it.",
            f"Write {facts.size}.",
        )


def prefixes(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """Older versions skip the prefixes of asymmetric models without a word."""
    given = [name for name in ("query_prefix", "passage_prefix") if facts.model_config.get(name)]
    if given and target.before(PREFIXES_SINCE):
        yield _warning(
            "prefixes",
            f"The request has {' and '.join(given)}.",
            "The version skips them: texts are embedded without.",
            f"Serve it from {PREFIXES_SINCE} on, or write the prefix into the texts yourself.",
        )


def additional_config(facts: ArchiveFacts, target: Target) -> Iterator[Finding]:
    """additional_config is skipped before 3.1 and must not repeat all_config afterwards."""
    extra = facts.model_config.get("additional_config")
    if not extra:
        return
    if target.before(ADDITIONAL_SINCE):
        yield Finding(
            rule="additional-config",
            severity=Severity.NOTE,
            what="The request has additional_config.",
            why="The version skips it.",
            fix=f"Choose the space type of the index yourself before {ADDITIONAL_SINCE}.",
        )
        return
    known = _object(facts.model_config.get("all_config"))
    if known is None:
        yield _fatal(
            "all-config",
            "all_config is not the JSON of an object.",
            "It is compared with additional_config and can't be parsed.",
            "Write the model's config.json as one string.",
        )
    elif not isinstance(extra, dict):
        yield _fatal("additional-config", "additional_config is no object.", "It can't be parsed.", "Write an object.")
    elif twice := sorted(set(known) & set(extra)):
        yield _fatal(
            "additional-config",
            f"{twice[0]!r} stands in all_config and in additional_config.",
            f"Duplicate keys found in both all_config and additional_config: {', '.join(twice[:8])}",
            "Leave it in one of the two.",
        )


def _accepted(char: str) -> bool:
    r"""Java's ``[\p{L}\p{N}\s.,!?():@\-_/'"]``, whose white space is that of ASCII."""
    return unicodedata.category(char)[0] in "LN" or char in " \t\n\x0b\f\r.,!?():@-_/'\""


def _object(value: Any) -> dict[str, Any] | None:
    if value is None:
        return {}
    try:
        data = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _shown(value: Any) -> str:
    return "missing" if value is None else repr(value)[:80]


RULES = (present, names, function_name, model_config, dimension, content, prefixes, additional_config)
