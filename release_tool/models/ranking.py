"""Rank documents for queries from blocks of answers, in memory that does not grow with the number of documents.

Dense: by cosine or inner product; sparse: by the inner product of weights; a re-ranker: by its logit. Ranks follow
scores of 18 bits and, where those are equal, the order of the set: so neither the last bits of a sum nor two copies of
one document turn a rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEPTH = 100
"""Ranks that are looked at; recall@100 is the deepest measure."""
ROUNDED_BITS = 6
"""Of float32's 24: what is left is 4e-6 of the score, above the rounding of a forward pass and of its sum."""
QUERIES_AT_ONCE = 256


def settled(scores: np.ndarray) -> np.ndarray:
    """Return scores float32 rounded to 18 bits; what is not finite is below everything."""
    clean = np.where(np.isfinite(scores), scores, np.float32(-np.inf)).astype(np.float32) + np.float32(0)
    bits = clean.view(np.int32)
    half, mask = 1 << (ROUNDED_BITS - 1), ~((1 << ROUNDED_BITS) - 1)
    finite = np.isfinite(clean)
    rounded = ((bits + half) & mask).view(np.float32)
    return np.where(finite, rounded, clean)


@dataclass(slots=True)
class Best:
    """The best documents of every query so far: ``scores`` float32 and ``places`` int64, both [queries, ≤ depth]."""

    scores: np.ndarray
    places: np.ndarray

    @classmethod
    def none(cls, queries: int) -> Best:
        """Return no documents for so many queries."""
        return cls(np.zeros((queries, 0), np.float32), np.zeros((queries, 0), np.int64))

    def take(self, scores: np.ndarray, places: np.ndarray, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return the best of what was and of new scores [rows, documents] of the documents at ``places``."""
        both = np.concatenate([self.scores[rows], settled(scores)], axis=1)
        where = np.concatenate([self.places[rows], np.broadcast_to(places, scores.shape)], axis=1)
        order = np.lexsort((where, -both), axis=1)[:, :DEPTH]
        return np.take_along_axis(both, order, axis=1), np.take_along_axis(where, order, axis=1)

    def add(self, scores: np.ndarray, places: np.ndarray) -> None:
        """Take new documents in: scores [queries, documents]."""
        parts = [
            self.take(scores[at : at + QUERIES_AT_ONCE], places, slice(at, at + QUERIES_AT_ONCE))
            for at in range(0, len(scores), QUERIES_AT_ONCE)
        ]
        self.scores = np.concatenate([part[0] for part in parts])
        self.places = np.concatenate([part[1] for part in parts])


def unit(rows: np.ndarray) -> np.ndarray:
    """Return rows of length one; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: np.ndarray = rows / np.where(lengths > 0, lengths, 1)
    return scaled


def rank_dense(
    queries: Iterable[Mapping[str, np.ndarray]], documents: Iterable[Mapping[str, np.ndarray]], *, cosine: bool
) -> Best:
    """Rank by embeddings: arrays ``embedding`` float32 [texts, dim] a block."""
    asked = np.concatenate([block["embedding"] for block in queries])
    asked = unit(asked) if cosine else asked
    best, start = Best.none(len(asked)), 0
    for block in documents:
        rows = unit(block["embedding"]) if cosine else block["embedding"]
        best.add(asked @ rows.T, np.arange(start, start + len(rows)))
        start += len(rows)
    return best


@dataclass(slots=True, kw_only=True)
class Activity:
    """How many texts weigh each token, and how many there are."""

    counts: np.ndarray
    texts: int = 0

    @classmethod
    def none(cls) -> Activity:
        """Return no texts."""
        return cls(counts=np.zeros(0, np.int64))

    def add(self, block: Mapping[str, np.ndarray]) -> None:
        """Count a block in."""
        ids = block["ids"][block["weights"] != 0]
        found = np.bincount(ids, minlength=len(self.counts))
        found[: len(self.counts)] += self.counts
        self.counts = found
        self.texts += len(block["indptr"]) - 1

    @property
    def mean(self) -> np.ndarray:
        """Share of the texts that weigh each token."""
        shares: np.ndarray = self.counts / max(self.texts, 1)
        return shares


def flops(queries: Activity, documents: Activity) -> float:
    """Return how many products of weights a query and a document have on average."""
    width = min(len(queries.counts), len(documents.counts))
    return float(queries.mean[:width] @ documents.mean[:width])


def rank_sparse(
    queries: Iterable[Mapping[str, np.ndarray]], documents: Iterable[Mapping[str, np.ndarray]]
) -> tuple[Best, Activity, Activity]:
    """Rank by weights of tokens: arrays ``indptr``, ``ids``, ``weights`` a block; return the activity of both sides."""
    from scipy.sparse import csr_array, vstack

    of_queries, of_documents = Activity.none(), Activity.none()
    parts = []
    for block in queries:
        of_queries.add(block)
        parts.append(_matrix(block, csr_array))
    width = max(part.shape[1] for part in parts)
    for part in parts:
        part.resize((part.shape[0], width))
    asked = vstack(parts, format="csr")
    best, start = Best.none(asked.shape[0]), 0
    for block in documents:
        of_documents.add(block)
        rows = _matrix(block, csr_array)
        common = max(width, rows.shape[1])
        asked.resize((asked.shape[0], common))
        rows.resize((rows.shape[0], common))
        scores = (asked @ rows.T).toarray().astype(np.float32)
        # A document without a common token is found by no index.
        best.add(np.where(scores > 0, scores, -np.inf), np.arange(start, start + rows.shape[0]))
        start += rows.shape[0]
    return best, of_queries, of_documents


def _matrix(block: Mapping[str, np.ndarray], make: type) -> Any:
    width = int(block["ids"].max(initial=-1)) + 1
    weights = block["weights"].astype(np.float64)
    return make((weights, block["ids"], block["indptr"]), shape=(len(block["indptr"]) - 1, max(width, 1)))
