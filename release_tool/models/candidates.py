"""What a re-ranker is given: BM25's first hundred of every query, in the form that Lucene computes.

The documents go by twice, first to be counted and then to be scored, and only the terms of the queries are looked at:
memory does not grow with the set. Libraries (bm25s, rank-bm25) hold every posting of the set; bm25s gives the same
scores, which a test holds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from release_tool.core.words import words_of
from release_tool.models.ranking import Best

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

K1, B = 1.2, 0.75
"""Lucene's, and so OpenSearch's, defaults."""
BLOCK = 1024
"""Documents that are scored together."""


@dataclass(slots=True)
class _Counts:
    """What BM25 must know of the whole set before it scores a document."""

    documents: int
    tokens: int
    holding: np.ndarray
    """Documents that hold each term of the queries."""


def candidates(texts: Callable[[], Iterable[str]], queries: Mapping[str, str]) -> dict[str, list[int]]:
    """Return query → places of its best documents, at most a hundred; a document without a common word is none.

    Args:
        texts: gives the documents anew each time, in the same order; they are read twice.
        queries: id → text.
    """
    asked = [words_of(text) for text in queries.values()]
    vocabulary = {word: index for index, word in enumerate(sorted({word for words in asked for word in words}))}
    if not vocabulary:
        return {query: [] for query in queries}
    weights = _query_terms(asked, vocabulary)
    counts = _count(texts(), vocabulary)
    idf = np.log(1 + (counts.documents - counts.holding + 0.5) / (counts.holding + 0.5))
    average = counts.tokens / max(counts.documents, 1)
    best, start = Best.none(len(queries)), 0
    for block in _blocks(texts()):
        frequencies, lengths = _frequencies(block, vocabulary)
        rows = np.repeat(np.arange(len(block)), np.diff(frequencies.indptr))
        tf = frequencies.data
        saturated = tf / (tf + K1 * (1 - B + B * lengths[rows] / average))
        frequencies.data = idf[frequencies.indices] * saturated
        scores = (weights @ frequencies.T).toarray().astype(np.float32)
        best.add(np.where(scores > 0, scores, -np.inf), np.arange(start, start + len(block)))
        start += len(block)
    return {
        query: [int(place) for place, score in zip(places, scores, strict=True) if np.isfinite(score)]
        for query, places, scores in zip(queries, best.places, best.scores, strict=True)
    }


def _blocks(texts: Iterable[str]) -> Iterator[list[list[str]]]:
    block: list[list[str]] = []
    for text in texts:
        block.append(words_of(text))
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def _count(texts: Iterable[str], vocabulary: dict[str, int]) -> _Counts:
    counts = _Counts(0, 0, np.zeros(len(vocabulary), np.int64))
    for block in _blocks(texts):
        frequencies, lengths = _frequencies(block, vocabulary)
        counts.documents += len(block)
        counts.tokens += int(lengths.sum())
        counts.holding += np.bincount(frequencies.indices, minlength=len(vocabulary))
    return counts


def _frequencies(block: list[list[str]], vocabulary: dict[str, int]) -> tuple[Any, np.ndarray]:
    """Return how often each document holds each term of the queries [documents, terms], and its length in words."""
    from scipy.sparse import csr_array

    indptr, indices, data = [0], [], []
    for words in block:
        found = Counter(vocabulary[word] for word in words if word in vocabulary)
        for index, count in sorted(found.items()):
            indices.append(index)
            data.append(float(count))
        indptr.append(len(indices))
    shape = (len(block), len(vocabulary))
    matrix = csr_array((np.asarray(data), np.asarray(indices, np.int64), np.asarray(indptr)), shape=shape)
    return matrix, np.asarray([len(words) for words in block], np.float64)


def _query_terms(asked: list[list[str]], vocabulary: dict[str, int]) -> Any:
    return _frequencies(asked, vocabulary)[0]
