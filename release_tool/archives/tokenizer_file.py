"""Read tokenizer.json as far as it decides which tokenizers library can load it, and how texts are cut and padded."""

from __future__ import annotations

import json
from typing import Any

from release_tool.core.archive_facts import TokenizerFacts, Truncation

MAX_TOKENIZER_BYTES = 64 << 20
"""The largest vocabularies in use (256,000 tokens, with merges) take 34 MB."""
PLACES = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_PARTS = ("normalizers", "pretokenizers", "processors", "decoders")
MAX_COMPONENTS = 1_000


class TokenizerFault(ValueError):
    """The file is no tokenizer.json."""


def read_tokenizer(data: bytes) -> TokenizerFacts:
    """Return what a tokenizer.json says.

    Raises:
        TokenizerFault: not JSON, or not what the tokenizers library writes.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TokenizerFault(f"it is not JSON: {str(error)[:200]}") from error
    if not isinstance(document, dict) or not isinstance(document.get("model"), dict):
        raise TokenizerFault("it has no model")
    model = document["model"]
    components: dict[str, None] = {}
    metaspaces: list[dict[str, Any]] = []
    for place in PLACES:
        _collect(place, document.get(place), components, metaspaces)
    padding = document.get("padding")
    strategy = padding.get("strategy") if isinstance(padding, dict) else None
    multiple = padding.get("pad_to_multiple_of") if isinstance(padding, dict) else None
    vocabulary = model.get("vocab")
    return TokenizerFacts(
        model_type=_text(model.get("type")),
        truncation=_truncation(document.get("truncation")),
        fixed_padding=_whole(strategy.get("Fixed")) if isinstance(strategy, dict) else None,
        pad_to_multiple_of=_whole(multiple),
        merges=_merges(model.get("merges")),
        vocabulary=len(vocabulary) if isinstance(vocabulary, (dict, list)) else 0,
        byte_fallback=model.get("byte_fallback") is True,
        ignore_merges=model.get("ignore_merges") is True,
        components=tuple(sorted(components)),
        metaspace_prepend_scheme=next(
            (str(one["prepend_scheme"])[:40] for one in metaspaces if "prepend_scheme" in one), None
        ),
        metaspace_split=next((one["split"] is True for one in metaspaces if "split" in one), None),
        metaspace_plain=all("add_prefix_space" in one for one in metaspaces),
    )


def _text(value: Any) -> str:
    return value[:80] if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _truncation(value: Any) -> Truncation | None:
    if not isinstance(value, dict) or _whole(value.get("max_length")) is None:
        return None
    return Truncation(
        max_length=value["max_length"],
        strategy=_text(value.get("strategy")),
        direction=_text(value.get("direction")) or "Right",
    )


def _merges(value: Any) -> str | None:
    """A file mixes no forms: the library reads all merges as one type."""
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(merge, str) for merge in value):
        return "strings"
    return "pairs"


def _collect(
    place: str, value: Any, components: dict[str, None], metaspaces: list[dict[str, Any]], depth: int = 0
) -> None:
    if not isinstance(value, dict):
        return
    if depth > 32 or len(components) > MAX_COMPONENTS:
        raise TokenizerFault(f"its {place} is nested deeper than any tokenizer")
    name = _text(value.get("type"))
    components[f"{place}:{name}"] = None
    if name == "Metaspace":
        metaspaces.append(value)
    for parts in _PARTS:
        inner = value.get(parts)
        if isinstance(inner, list):
            for part in inner:
                _collect(place, part, components, metaspaces, depth + 1)
