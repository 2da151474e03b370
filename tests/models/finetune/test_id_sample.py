"""A sample by hash: true, the same whatever the order, and doubles are found whenever they come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.models.finetune import id_sample
from release_tool.models.finetune.id_sample import Sample, key_of, numbers_of

ids_of = st.lists(st.text(alphabet="abc", max_size=4), max_size=60)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    # The sample is cut back early: what happens with millions happens here.
    monkeypatch.setattr(id_sample, "MIN_SPARE", 3)


def drawn(ids, size, seed=1, batch=7):
    """Return the sample, and the places of what was taken for a double."""
    sample, key = Sample(size), key_of(seed)
    kept, doubles = [], []
    for start in range(0, len(ids), batch):
        part = ids[start : start + batch]
        outside, known = sample.add(numbers_of(part, key))
        assert not (outside & known).any()
        doubles += [start + place for place in np.flatnonzero(known)]
        kept += [one for one, out, double in zip(part, outside, known, strict=True) if not out and not double]
    limit = sample.settle()
    return [one for one in kept if limit is None or numbers_of([one], key)[0] <= limit], doubles


@given(ids_of, st.integers(1, 30), st.integers(1, 10))
def test_the_sample_is_that_of_the_smallest_hashes_in_order_of_coming_and_holds_no_double(ids, size, batch):
    found, _ = drawn(ids, size, batch=batch)
    different = sorted(set(ids), key=lambda one: int(numbers_of([one], key_of(1))[0]))
    assert set(found) == set(different[:size])
    assert found == [one for one in dict.fromkeys(ids) if one in found]


@given(ids_of, st.integers(1, 30), st.randoms(use_true_random=False))
def test_order_and_doubles_and_batches_change_nothing(ids, size, rng):
    shuffled = [*ids, *ids[: rng.randint(0, 5)]]
    rng.shuffle(shuffled)
    assert set(drawn(ids, size)[0]) == set(drawn(shuffled, size, batch=rng.randint(1, 20))[0])


@given(ids_of, st.integers(1, 10))
def test_every_double_is_found_where_there_is_room_for_all(ids, batch):
    _, doubles = drawn(ids, 1000, batch=batch)
    assert doubles == [place for place, one in enumerate(ids) if one in ids[:place]]


def test_documents_of_a_smaller_sample_are_in_the_larger_one():
    ids = [str(number) for number in range(3000)]
    small, large = drawn(ids, 100)[0], drawn(ids, 400)[0]
    assert (len(small), len(large)) == (100, 400)
    assert set(small) < set(large)


def test_every_document_has_the_same_chance_and_every_seed_draws_others():
    ids = [str(number) for number in range(50)]
    times = dict.fromkeys(ids, 0)
    for seed in range(400):
        for one in drawn(ids, 10, seed)[0]:
            times[one] += 1
    # Binomial with n = 400, p = 0.2: mean 80, deviation 8. The first are drawn no more often than the last.
    assert sum(times.values()) == 4000
    assert min(times.values()) > 80 - 5 * 8
    assert max(times.values()) < 80 + 5 * 8
    assert sum(times[one] for one in ids[:25]) == pytest.approx(2000, abs=160)


def test_memory_is_bounded_by_the_sample_and_not_by_what_comes():
    sample, rng = Sample(1000), np.random.default_rng(1)
    most = 0
    for _ in range(200):
        sample.add(rng.integers(2**64 - 1, size=500, dtype=np.uint64))
        most = max(most, sample.count)
    assert most <= 1000 * id_sample.SPARE + 500
    assert sample.settle() is not None
    assert sample.count == 1000
