"""Pooling and normalisation as the server's translators do them on one text's token embeddings.

Source: ``ONNXSentenceTransformerTextEmbeddingTranslator`` and ``HuggingfaceTextEmbeddingTranslator`` of ML Commons
3.6.0.0, with their defect: the maximum is kept as [1, dim] and then normalised along the axis of length 1, so MAX
with normalize_result answers +1 and -1 (and NONE does on a pooled [1, dim]).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .faults import Refused

Floats: TypeAlias = NDArray[np.float32]

PADDING_VALUE = np.float32(-1e9)
EPSILON = np.float32(1e-12)
"""Least norm: torch's own for ``normalize``."""
SINCE_3_6 = frozenset({"LAST_TOKEN", "NONE"})


def pool(embeddings: Floats, mask: list[int], mode: str, server: tuple[int, ...]) -> Floats:
    """Pool the embeddings of one text.

    Args:
        embeddings: [seq, dim], or what the graph gave in its place.
        mask: [seq], ones and zeros.
        mode: a name of the server's PoolingMode.
        server: version of OpenSearch, (3, 6) for instance.

    Returns:
        [dim]; [1, dim] for MAX; the argument itself for NONE.

    Raises:
        Refused: the shape or, on this version, the mode does not work.
    """
    if mode in SINCE_3_6 and server < (3, 6):
        raise Refused("Unsupported pooling method")
    if mode == "NONE":
        return embeddings
    if embeddings.ndim == 0:
        raise Refused(f"pooling {mode} of a tensor without dimensions")
    if mode == "CLS":
        first: Floats = embeddings[0]
        return first
    if mode == "LAST_TOKEN":
        last: Floats = embeddings[max(sum(mask) - 1, 0)]
        return last
    return _pool_all(embeddings, mask, mode)


def _pool_all(embeddings: Floats, mask: list[int], mode: str) -> Floats:
    try:
        weights: Floats = np.broadcast_to(np.asarray(mask, np.float32)[:, None], embeddings.shape)
    except ValueError as error:
        raise Refused(
            f"pooling {mode}: the attention mask [{len(mask)}, 1] can't be broadcast to {list(embeddings.shape)}"
        ) from error
    if mode == "MAX":
        largest: Floats = np.where(weights == 0, PADDING_VALUE, embeddings).max(axis=0, keepdims=True)
        return largest
    if mode == "WEIGHTED_MEAN":
        places = np.arange(1, embeddings.shape[0] + 1, dtype=np.float32)[:, None]
        weights = weights * np.broadcast_to(places, embeddings.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            return _divided(embeddings * weights, weights.sum(axis=0))
    total = np.clip(weights.sum(axis=0), np.float32(1e-9), np.float32(1e12))
    if mode == "MEAN_SQRT_LEN":
        total = np.sqrt(total)
    return _divided(embeddings * weights, total)


def _divided(terms: Floats, by: Floats) -> Floats:
    result: Floats = terms.sum(axis=0) / by
    return result


def normalize(embedding: Floats) -> Floats:
    """Divide by the Euclidean length along axis 0, whatever that axis is."""
    length = np.sqrt((embedding * embedding).sum(axis=0, keepdims=True))
    result: Floats = embedding / np.maximum(length, EPSILON)
    return result
