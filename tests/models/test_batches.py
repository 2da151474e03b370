"""Batches hold every probe once, and padding that changes an answer is noticed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.models.batches import MAX_WASTE, array_difference, in_batches, make_batches

lengths_of = st.lists(st.integers(0, 600), max_size=60)


@given(lengths_of, st.integers(1, 3000))
def test_every_probe_is_in_one_batch_within_the_budget_and_little_is_padding(lengths, budget):
    batches = make_batches(lengths, budget=budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(max(1, lengths[index]) for index in batch)
        shortest = min(max(1, lengths[index]) for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
        assert longest <= shortest * MAX_WASTE


@given(lengths_of)
def test_rows_come_back_in_the_order_of_the_probes(lengths):
    calls = []

    def answer(indices):
        calls.append(indices)
        return [np.asarray([float(index)]) for index in indices]

    rows, batching = in_batches(lengths, answer, array_difference)
    assert [float(row[0]) for row in rows] == list(map(float, range(len(lengths))))
    assert batching == "padded"


def test_a_model_whose_padding_leaks_is_asked_one_by_one():
    lengths = [10, 11, 12]

    def answer(indices):
        # The answer depends on the longest text of the batch: what a missing attention mask does.
        longest = max(lengths[index] for index in indices)
        return [np.asarray([float(longest)], np.float32) for _ in indices]

    rows, batching = in_batches(lengths, answer, array_difference)
    assert batching == "single"
    assert [float(row[0]) for row in rows] == [10.0, 11.0, 12.0]


def test_progress_counts_every_probe_once():
    seen = []
    in_batches([3, 3, 50], lambda indices: [np.zeros(1)] * len(indices), array_difference, advance=seen.append)
    assert sum(seen) == 3


def test_differences_of_rows():
    assert array_difference(np.asarray([1.0]), np.asarray([1.5])) == pytest.approx(0.5 / 1.5)
    assert array_difference(np.asarray([0.1]), np.asarray([0.2])) == pytest.approx(0.1)
    assert array_difference(np.asarray([math.nan]), np.asarray([math.nan])) == 0
    assert array_difference(np.zeros(2), np.zeros(3)) == math.inf
    assert array_difference(np.zeros(0), np.zeros(0)) == 0
