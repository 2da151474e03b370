"""How long a text a model takes, in tokens: the order in which its files are believed.

As sentence-transformers reads it: the transformer module's max_seq_length, else the tokenizer's model_max_length
(1e30 stands for none), capped by the table of positions. tokenizer.json's own truncation comes last: files in the
field hold a shorter one by accident (all-MiniLM-L6-v2 says 128 there and 256 in its module).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.modeljson import bad, get_count, get_flag, get_number, get_word, load_object, shown

if TYPE_CHECKING:
    from release_tool.core.modeljson import Reader

OFFSET_POSITIONS = frozenset(
    {
        "camembert", "data2vec-text", "ibert", "longformer", "luke", "markuplm", "mpnet", "roberta",
        "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
    }
)  # fmt: skip
"""Model types that count positions from pad_token_id + 1, so that many of their positions are never reached."""

SENTENCE_CONFIGS = (
    "sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json",
    "sentence_camembert_config.json", "sentence_albert_config.json", "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)  # fmt: skip
"""Names under which sentence-transformers keeps the transformer module's own settings, in its order."""

NO_LIMIT = 10**9
"""Tokens: transformers writes 1e30 where a tokenizer has no limit; nothing near this is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the transformer's settings lie."""

    config: dict[str, Any]
    config_path: str
    folder: str
    has_modules: bool
    tokenizer_path: str | None


def read_lengths(read: Reader, at: Settings) -> tuple[int | None, bool | None]:
    """Return (the model's own limit in tokens, whether the library lower-cases texts itself); null: nothing says."""
    file, data = _sentence_file(read, at)
    stated = get_count(data, "max_seq_length", file)
    if stated is None:
        stated = _tokenizer_limit(read, at)
    limits = [limit for limit in (stated, _positions(at)) if limit is not None and limit < NO_LIMIT]
    own = min(limits) if limits else _truncation(read, at)
    return own, get_flag(data, "do_lower_case", file)


def _sentence_file(read: Reader, at: Settings) -> tuple[str, dict[str, Any]]:
    for name in SENTENCE_CONFIGS if at.has_modules else ():
        file = f"{at.folder}/{name}" if at.folder else name
        data = load_object(read, file)
        if data is not None:
            return file, data
    return SENTENCE_CONFIGS[0], {}


def _tokenizer_limit(read: Reader, at: Settings) -> int | None:
    folder = at.tokenizer_path.rpartition("/")[0] if at.tokenizer_path else at.folder
    path = f"{folder}/tokenizer_config.json" if folder else "tokenizer_config.json"
    return get_count(load_object(read, path) or {}, "model_max_length", path)


def _positions(at: Settings) -> int | None:
    config, path = at.config, at.config_path
    positions = get_count(config, "max_position_embeddings", path) or get_count(config, "n_positions", path)
    if positions and get_word(config, "model_type", path) in OFFSET_POSITIONS:
        pad = get_number(config, "pad_token_id", path)
        positions -= int(1 if pad is None else pad) + 1
        if positions < 1:
            raise bad(path, "max_position_embeddings leaves no position after the padding index")
    return positions


def _truncation(read: Reader, at: Settings) -> int | None:
    if at.tokenizer_path is None:
        return None
    truncation = (load_object(read, at.tokenizer_path) or {}).get("truncation")
    if truncation is not None and not isinstance(truncation, dict):
        raise bad(at.tokenizer_path, f"truncation is {shown(truncation)}, expected an object")
    return get_count(truncation or {}, "max_length", at.tokenizer_path)
