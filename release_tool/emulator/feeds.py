"""What the translators feed: names, order and types of the tensors of one text or pair.

Names with a dot become one ``Dict[str, Tensor]`` for TorchScript (DJL's ``IValueUtils``) and stay names for ONNX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config import ServedConfig
    from .tokens import Encoded

Feed: TypeAlias = list[tuple[str | None, NDArray[Any]]]

IDS, MASK, TYPES, SENTENCES = "input_ids", "attention_mask", "token_type_ids", "sentence_ids"


def names_of(config: ServedConfig) -> tuple[tuple[str | None, str], ...]:
    """Return (name that the server gives, what it holds) of each tensor, in the server's order."""
    kind = config.kind
    if kind == "cross-encoder":
        return ((IDS, IDS), (MASK, MASK), (TYPES, TYPES))
    if kind == "question-answering":
        return ((IDS, IDS), (MASK, MASK))
    if kind == "highlighter":
        return ((IDS, IDS), (MASK, MASK), (TYPES, TYPES), (SENTENCES, SENTENCES))
    if kind == "dense" and config.model_format == "ONNX":
        third = ((TYPES, TYPES),) if config.wants_token_types else ()
        return ((IDS, IDS), (MASK, MASK), *third)
    if kind == "dense" and config.framework != "SENTENCE_TRANSFORMERS":
        neuron = config.framework.endswith("_NEURON") and config.wants_token_types
        return ((None, IDS), (None, MASK), *(((None, TYPES),) if neuron else ()))
    return ((f"input1.{IDS}", IDS), (f"input1.{MASK}", MASK))


def feed(config: ServedConfig, row: Mapping[str, NDArray[np.int64]]) -> Feed:
    """Return the tensors [1, seq] of one row; int64, the sentence ids int32."""
    return [
        (name, np.ascontiguousarray(row[what], np.int32 if what == SENTENCES else np.int64)[None, :])
        for name, what in names_of(config)
    ]


def row_of(encoded: Encoded, sentences: list[int] | None = None) -> dict[str, NDArray[np.int64]]:
    """Return one model input as arrays [seq]."""
    row = {
        IDS: np.asarray(encoded.ids, np.int64),
        MASK: np.asarray(encoded.mask, np.int64),
        TYPES: np.asarray(encoded.types, np.int64),
    }
    if sentences is not None:
        row[SENTENCES] = np.asarray(sentences, np.int64)
    return row
