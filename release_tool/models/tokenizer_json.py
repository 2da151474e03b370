"""The archive's tokenizer.json: the model's own, with what the server needs written into it.

ML Commons reads this one file and nothing beside it. So the truncation is the model's own limit even where the file
says otherwise, fixed padding is taken out (it would feed padding to every short text), and BPE merges are written in
the older form when a target's tokenizers library can't read the newer one. The rest stays as the model's makers
wrote it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.opensearch import any_below
from release_tool.errors import ExportError, UnsupportedModel
from release_tool.models.loading import read_json

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

PAIRS_SINCE = "2.19"
"""First OpenSearch whose tokenizers (0.20.3) reads merges as lists of pairs; older ones want "a b" (measured)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveTokenizer:
    """tokenizer.json as it goes into archives."""

    data: bytes
    tokenizer: Tokenizer
    """The same, loaded by the installed tokenizers library."""
    special_ids: tuple[int, ...]
    warnings: tuple[str, ...]

    @property
    def largest_id(self) -> int:
        """The largest id of the vocabulary, added tokens included."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)


def build(folder: Path, *, max_length: int, target_versions: tuple[str, ...]) -> ArchiveTokenizer:
    """Read the snapshot's tokenizer and write what the server needs.

    Raises:
        UnsupportedModel: there is none, and transformers can't make one from the slow tokenizer's files.
        ExportError: the merges can't be written in the form that a target reads.
    """
    from tokenizers import Tokenizer

    warnings: list[str] = []
    path = folder / "tokenizer.json"
    if path.is_file():
        content = read_json(path)
    else:
        content = _from_slow(folder)
        warnings.append("The model has no tokenizer.json; it was made from its slow tokenizer.")
    if not isinstance(content, dict) or "model" not in content:
        raise UnsupportedModel("The model's tokenizer.json is no tokenizer.")
    content["truncation"] = {
        "direction": "Right",
        "max_length": max_length,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    if content.get("padding") is not None:
        warnings.append("Padding was taken out of tokenizer.json: the server feeds one text at a time.")
    content["padding"] = None
    _lower_case(folder, content, warnings)
    if any_below(target_versions, PAIRS_SINCE):
        _merges_as_strings(content["model"])
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # tokenizers raises plain Exception
        raise UnsupportedModel(f"The model's tokenizer.json can't be loaded: {error}") from error
    special = sorted(int(item["id"]) for item in content.get("added_tokens", ()) if item.get("special"))
    return ArchiveTokenizer(data=data, tokenizer=tokenizer, special_ids=tuple(special), warnings=tuple(warnings))


def _from_slow(folder: Path) -> dict[str, Any]:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, local_files_only=True)
        return dict(json.loads(tokenizer.backend_tokenizer.to_str()))
    except (ValueError, OSError, KeyError, AttributeError, TypeError, ImportError, RuntimeError) as error:
        raise UnsupportedModel(
            f"The model has no tokenizer.json and none can be made from its other files: {error}",
            hint="ML Commons needs tokenizer.json; save the tokenizer with transformers and release that folder.",
        ) from error


def _lower_case(folder: Path, content: dict[str, Any], warnings: list[str]) -> None:
    """sentence-transformers lowers the text itself when its own config says so; the archive's tokenizer must too."""
    config = folder / "sentence_bert_config.json"
    if not config.is_file() or not read_json(config).get("do_lower_case"):
        return
    before = content.get("normalizer")
    if before is not None and before.get("type") == "BertNormalizer" and before.get("lowercase"):
        return
    steps = [{"type": "Lowercase"}, *([before] if before is not None else [])]
    content["normalizer"] = {"type": "Sequence", "normalizers": steps}
    warnings.append("Lower-casing was written into tokenizer.json: the model's sentence_bert_config.json asks for it.")


def _merges_as_strings(model: dict[str, Any]) -> None:
    merges = model.get("merges")
    if not merges or isinstance(merges[0], str):
        return
    if any(" " in part for pair in merges for part in pair):
        raise ExportError(
            f"A merge of the tokenizer holds a space, which OpenSearch before {PAIRS_SINCE} can't read.",
            hint=f"Release with --target-versions from {PAIRS_SINCE} on.",
        )
    model["merges"] = [" ".join(pair) for pair in merges]


def decoded_collisions(tokenizer: Tokenizer, vocabulary: int) -> dict[str, list[int]]:
    """Return decoded text → ids for tokens that the server's WORD format can't tell apart.

    The server names a token by decoding its id alone, special tokens skipped; equal texts overwrite each other and
    empty ones are dropped.
    """
    texts = tokenizer.decode_batch([[index] for index in range(vocabulary)], skip_special_tokens=True)
    by_text: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        if text:
            by_text.setdefault(text, []).append(index)
    return {text: ids for text, ids in by_text.items() if len(ids) > 1}


def served_idf(tokenizer: Tokenizer, weights: dict[str, float]) -> tuple[bytes, tuple[str, ...]]:
    """Return idf.json as the server looks weights up: by the decoded text of a single token.

    Args:
        tokenizer: the archive's.
        weights: vocabulary token → weight, as models ship them.

    Returns:
        The file's bytes (sorted keys) and warnings about tokens that share a text with different weights.
    """
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    known = [(token, vocabulary[token]) for token in sorted(weights) if token in vocabulary]
    texts = tokenizer.decode_batch([[index] for _, index in known], skip_special_tokens=True)
    served: dict[str, float] = {}
    clashes = 0
    for (token, _), text in zip(known, texts, strict=True):
        if not text:
            continue
        if text in served and served[text] != weights[token]:
            clashes += 1
            served[text] = max(served[text], weights[token])
        else:
            served[text] = weights[token]
    warnings = []
    if clashes:
        warnings.append(f"{clashes} tokens of idf.json decode to a text that another token has with another weight.")
    unknown = len(weights) - len(known)
    if unknown:
        warnings.append(f"{unknown} tokens of idf.json are not in the tokenizer's vocabulary.")
    return json.dumps(served, ensure_ascii=False, sort_keys=True).encode(), tuple(warnings)
