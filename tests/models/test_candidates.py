"""BM25 over a stream of documents: the scores of a library that holds all of them, and the words of all scripts."""

from __future__ import annotations

import bm25s
import numpy as np
import pytest

from release_tool.core.words import words_of
from release_tool.models import candidates as module
from release_tool.models.candidates import K1, B, candidates
from release_tool.models.ranking import settled
from release_tool.packaged import packaged_set
from release_tool.sets import open_set


@pytest.fixture(scope="module")
def judged():
    return open_set(packaged_set(), "release-tool")


def by_library(texts, queries):
    """Return the same from bm25s, which keeps the whole set."""
    vocabulary = {}
    ids = [[vocabulary.setdefault(word, len(vocabulary)) for word in words_of(text)] for text in texts]
    index = bm25s.BM25(method="lucene", k1=K1, b=B)
    index.index(bm25s.tokenization.Tokenized(ids=ids, vocab=vocabulary), show_progress=False)
    found = {}
    for query, text in queries.items():
        known = [vocabulary[word] for word in words_of(text) if word in vocabulary]
        scores = settled(index.get_scores_from_ids(known)) if known else np.zeros(len(ids))
        order = np.lexsort((np.arange(len(scores)), -scores))[:100]
        found[query] = [int(place) for place in order if scores[place] > 0]
    return found


@pytest.mark.parametrize("block", [1, 50, 1024])
def test_the_stream_finds_what_a_library_finds_that_holds_everything(judged, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    ours, theirs = candidates(judged.texts, judged.queries), by_library(list(judged.texts()), judged.queries)
    assert ours.keys() == theirs.keys()
    for query, places in theirs.items():
        assert set(places) == set(ours[query]), query
        # Scores that agree in 18 bits may stand in another order.
        assert sum(a != b for a, b in zip(ours[query], places, strict=True)) <= 4, query
    assert sum(len(places) for places in ours.values()) > 3000


def test_a_query_without_a_known_word_has_no_candidate():
    found = candidates(lambda: iter(["red apples", "green pears"]), {"a": "zebra", "b": "pears", "c": "…"})
    assert found == {"a": [], "b": [1], "c": []}
    assert candidates(lambda: iter(["red"]), {"c": "!"}) == {"c": []}
