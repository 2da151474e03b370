"""The sample of documents that are asked about."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.finetune.asking import draw, share_out
from release_tool.core.finetune.dividing import SPLITS

ROWS = [(row, f"doc-{row}", SPLITS[0 if row % 20 < 17 else 1 if row % 20 == 17 else 2]) for row in range(2000)]


def test_the_sample_is_as_large_as_asked_in_the_order_of_the_corpus():
    rows = draw(ROWS, 100, 1)
    assert len(set(rows)) == 100
    assert rows == sorted(rows)


def test_another_seed_draws_others():
    assert draw(ROWS, 100, 1) == draw(ROWS, 100, 1)
    assert len(set(draw(ROWS, 100, 1)) & set(draw(ROWS, 100, 2))) < 20


def test_the_sample_is_not_the_beginning():
    rows = draw(ROWS, 200, 1)
    assert 800 < sum(rows) / len(rows) < 1200
    assert max(rows) > 1900


def test_splits_have_their_share():
    found = [ROWS[row][2] for row in draw(ROWS, 400, 1)]
    assert [found.count(split) for split in SPLITS] == [340, 20, 40]


def test_a_small_split_has_a_few_of_a_small_sample():
    rows = [(row, str(row), "dev" if row < 30 else "train") for row in range(10_000)]
    found = [rows[row][2] for row in draw(rows, 100, 1)]
    assert found.count("dev") == 10


def test_a_document_more_changes_few_of_those_drawn():
    before, after = set(draw(ROWS, 200, 1)), set(draw([*ROWS, (2000, "new", "train")], 200, 1))
    assert len(before - after) <= 1


def test_all_are_drawn_where_there_are_no_more():
    assert draw(ROWS[:7], 100, 1) == list(range(7))
    assert draw([], 100, 1) == []


@given(st.dictionaries(st.sampled_from(SPLITS), st.integers(0, 300), min_size=1), st.integers(1, 500))
def test_shares_are_whole_and_add_up(counts, size):
    shares = share_out(counts, size)
    assert sum(shares.values()) == min(size, sum(counts.values()))
    assert all(0 <= shares[name] <= counts[name] for name in counts)
    if size >= 3:
        assert all(shares[name] for name, count in counts.items() if count)
