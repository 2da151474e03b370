"""What plan finds early and trace would find late: a config.json that no loader takes, files that nobody asked about.

Pure, over the small files of a model and the list of all its files.
"""

from __future__ import annotations

import json
import re
from posixpath import basename, dirname
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.core.kinds import ModelKind
from release_tool.core.modeljson import bad, get_number, get_word, load_object, shown
from release_tool.errors import UnsupportedModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from release_tool.core.modeljson import Reader
    from release_tool.core.plan import PlannedFile

NO_CONFIG = frozenset({ModelKind.SPARSE_TOKENIZER, ModelKind.METRICS_CORRELATION})
"""Kinds that no loader of transformers is asked for."""

COUNTS = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
    "max_position_embeddings", "dim", "n_layers", "n_heads", "hidden_dim", "embedding_size",
)  # fmt: skip
"""Sizes that transformers makes tensors of."""

SAFE_WEIGHTS = re.compile(r".*\.safetensors")
WHOLE_MODEL = re.compile(r"(model|pytorch_model)(-\d{5}-of-\d{5})?\.(safetensors|bin)")
MAX_NAMED = 3


def check_config(read: Reader, folder: str, kinds: Iterable[ModelKind]) -> None:
    """Refuse a model that transformers could not load for want of a sound config.json.

    Args:
        read: path → bytes, ``None`` when absent.
        folder: of the transformer; empty is the root.
        kinds: of the release.

    Raises:
        UnsupportedModel: it is missing, names no type, or a size in it is none.
    """
    if set(kinds) <= NO_CONFIG:
        return
    path = f"{folder}/config.json" if folder else "config.json"
    config = load_object(read, path)
    if config is None:
        raise UnsupportedModel(
            f"The model has no {path}: nothing says how its weights are loaded.",
            hint="Give the whole folder that save_pretrained wrote, or choose another revision with --revision.",
        )
    if get_word(config, "model_type", path) is None and not config.get("auto_map"):
        raise bad(path, "it names no model_type")
    for key in COUNTS:
        value = get_number(config, key, path)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise bad(path, f"{key} is {shown(value)}, expected a whole number above zero")


def unselected(listed: Sequence[PlannedFile], taken: Iterable[PlannedFile]) -> tuple[str, ...]:
    """Return sentences about weights that lie in a model and are not released.

    Copies for other runtimes (pickle beside safetensors, ONNX, TensorFlow) lie in most repositories: not named.

    Args:
        listed: every file of the source.
        taken: those of the release.
    """
    chosen = {file.path for file in taken}
    homes = {dirname(path) for path in chosen if WHOLE_MODEL.fullmatch(basename(path))}
    configs = {dirname(file.path) for file in listed if basename(file.path) == "config.json"}
    left = [file.path for file in listed if file.path not in chosen]
    second = sorted(
        {
            dirname(path)
            for path in left
            if WHOLE_MODEL.fullmatch(basename(path)) and dirname(path) in configs and dirname(path) not in homes
        }
    )
    beside = sorted(path for path in left if SAFE_WEIGHTS.fullmatch(path) and dirname(path) not in second)
    sentences = []
    if second:
        where = _named([folder or "the root" for folder in second])
        sentences.append(f"Another model with weights of its own lies in {where}; it is not released.")
    if beside:
        sentences.append(f"Weights that are not released lie beside those that are: {_named(beside)}.")
    return tuple(sentences)


def strangers(weights: bytes, tokenizer: bytes | None) -> tuple[str, ...]:
    """Return a sentence about token weights whose tokens the vocabulary does not have: they never count.

    Args:
        weights: an idf.json that was checked before.
        tokenizer: tokenizer.json, null without one.
    """
    known = vocabulary(tokenizer)
    if known is None:
        return ()
    unknown = [token for token in json.loads(weights) if token not in known]
    if not unknown:
        return ()
    total = len(json.loads(weights))
    examples = _named([repr(shown(token)) for token in unknown])
    count = f"{len(unknown):,} of {total:,}"
    return (f"{count} token weights are for tokens outside the vocabulary and never count: {examples}.",)


def vocabulary(tokenizer: bytes | None) -> frozenset[str] | None:
    """Return the tokens of a tokenizer.json, added ones included; null where its layout is not known."""
    try:
        data: Any = json.loads(tokenizer) if tokenizer is not None else None
    except (ValueError, RecursionError):
        return None
    match data:
        case {"model": {"vocab": dict(tokens)}}:
            found = set(tokens)
        case {"model": {"vocab": [*pairs]}}:  # Unigram: [token, score]
            found = {pair[0] for pair in pairs if isinstance(pair, list) and pair and isinstance(pair[0], str)}
        case _:
            return None
    added = data.get("added_tokens")
    for token in added if isinstance(added, list) else ():
        if isinstance(token, dict) and isinstance(token.get("content"), str):
            found.add(token["content"])
    return frozenset(found)


def _named(names: Sequence[str]) -> str:
    shown_names = [one_line(name) for name in names[:MAX_NAMED]]
    more = len(names) - MAX_NAMED
    return ", ".join(shown_names) + (f" and {more:,} more" if more > 0 else "")
