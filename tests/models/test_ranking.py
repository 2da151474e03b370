"""Ranking from blocks: what one product over everything gives, whatever the blocks; rounding, ties and copies."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release_tool.models.ranking import DEPTH, Activity, flops, rank_dense, rank_sparse, settled


def cut(rows, sizes):
    at = 0
    for size in sizes:
        yield {"embedding": rows[at : at + size]}
        at += size
    yield {"embedding": rows[at:]}


def csr(rows):
    ids = [np.flatnonzero(row) for row in rows]
    return {
        "indptr": np.concatenate([[0], np.cumsum([len(one) for one in ids])]).astype(np.int64),
        "ids": np.concatenate([*ids, np.zeros(0, int)]).astype(np.int32),
        "weights": np.concatenate([*(row[one] for row, one in zip(rows, ids, strict=True)), np.zeros(0)]).astype(
            np.float32
        ),
    }


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 60), max_size=4), st.booleans())
def test_blocks_do_not_change_a_rank(seed, sizes, cosine):
    random = np.random.default_rng(seed)
    queries, documents = random.normal(size=(7, 8)).astype(np.float32), random.normal(size=(230, 8)).astype(np.float32)
    found = rank_dense([{"embedding": queries}], cut(documents, sizes), cosine=cosine)
    whole = rank_dense([{"embedding": queries}], [{"embedding": documents}], cosine=cosine)
    scores = queries.astype(float) @ documents.T.astype(float)
    if cosine:
        scores /= np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(documents, axis=1)[None, :]
    assert found.places.shape == (7, DEPTH)
    assert (found.places[:, :10] == np.argsort(-scores, axis=1)[:, :10]).mean() > 0.98
    assert (found.places == whole.places).mean() > 0.98


def test_copies_of_a_document_keep_the_order_of_the_set_whatever_the_last_bits():
    random = np.random.default_rng(1)
    documents = np.repeat(random.normal(size=(1, 16)), 50, axis=0).astype(np.float32)
    shaken = documents * (1 + random.normal(size=documents.shape) * 1e-8).astype(np.float32)
    query = random.normal(size=(1, 16)).astype(np.float32)
    for rows in (documents, shaken):
        found = rank_dense([{"embedding": query}], [{"embedding": rows}], cosine=True)
        assert found.places.tolist() == [list(range(50))]


def test_rounding_keeps_18_bits_and_puts_what_is_no_number_last():
    values = np.asarray([1.0, 1 + 1e-7, 1 + 1e-4, 0.0, -2.5, np.nan, np.inf], np.float32)
    found = settled(values)
    assert found[0] == found[1] != found[2]
    assert found[3] == 0
    assert found[4] == -2.5
    assert np.isneginf(found[5:]).all()
    random = np.random.default_rng(2).normal(size=1000).astype(np.float32)
    assert np.max(np.abs(settled(random) - random) / np.abs(random)) < 4e-6


def test_a_text_that_was_refused_is_not_found_and_finds_nothing():
    documents = np.eye(3, dtype=np.float32)
    documents[1] = np.nan
    queries = np.asarray([[1, 1, 0], [np.nan] * 3], np.float32)
    found = rank_dense([{"embedding": queries}], [{"embedding": documents}], cosine=True)
    assert found.places[0].tolist()[0] == 0
    assert np.isfinite(found.scores[0]).sum() == 2
    assert not np.isfinite(found.scores[1]).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_sparse_ranks_and_flops_are_those_of_the_full_matrices(seed):
    random = np.random.default_rng(seed)
    shape = (40, 30)
    documents = (random.random(shape) * (random.random(shape) < 0.2)).astype(np.float32)
    queries = (random.random((5, 25)) * (random.random((5, 25)) < 0.3)).astype(np.float32)
    best, of_queries, of_documents = rank_sparse(
        [csr(queries[:2]), csr(queries[2:])], [csr(documents[:9]), csr(documents[9:])]
    )
    scores = queries.astype(float) @ documents[:, :25].T.astype(float)
    for row in range(5):
        found = best.places[row][np.isfinite(best.scores[row])]
        assert set(found.tolist()) == set(np.flatnonzero(scores[row] > 0).tolist())
        assert np.all(np.diff(scores[row][found]) <= 1e-5)
    active = (queries > 0).mean(axis=0) @ (documents[:, :25] > 0).mean(axis=0)
    assert flops(of_queries, of_documents) == pytest.approx(active)
    assert of_documents.mean.sum() == pytest.approx((documents > 0).sum(axis=1).mean())


def test_no_text_is_no_activity():
    assert flops(Activity.none(), Activity.none()) == 0


def test_memory_does_not_grow_with_the_number_of_documents():
    def peak(blocks):
        random = np.random.default_rng(3)
        queries = random.normal(size=(50, 32)).astype(np.float32)
        stream = ({"embedding": random.normal(size=(1024, 32)).astype(np.float32)} for _ in range(blocks))
        tracemalloc.start()
        try:
            rank_dense([{"embedding": queries}], stream, cosine=True)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(60) < 1.2 * peak(6)
