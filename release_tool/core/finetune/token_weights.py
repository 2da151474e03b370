"""Weights of the tokens of a query in an inference-free sparse model: how rare each one is in the user's documents."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

DECIMALS = 5
"""Of a weight: few enough for float32 to hold it, so that idf.json and the model's own vector are the same."""


def inverse_document_frequency(documents: int, having: int) -> float:
    """Return ln(1 + (N - n + 0.5) / (n + 0.5)), which is never negative.

    Source: Lucene's BM25Similarity; the idf.json of the published inference-free models has the same law over
    MS MARCO (largest 15.59 = ln(8,841,823 / 1.5)).

    Args:
        documents: N, all of them.
        having: n, those that have the token; 0 gives the largest weight, for a token that no document has is rarer
            than all others.
    """
    return math.log(1 + (documents - having + 0.5) / (having + 0.5))


def weights_of(documents: int, having: Iterable[int], special: Collection[int]) -> list[float]:
    """Return a weight a token id.

    Args:
        documents: how many were counted.
        having: per token id, in how many of them it is.
        special: token ids that weigh nothing.
    """
    return [
        0.0 if index in special else round(inverse_document_frequency(documents, count), DECIMALS)
        for index, count in enumerate(having)
    ]
