"""Rows of a batch that are each other's negatives: no document, and no near duplicate of one, is in two of them."""

from __future__ import annotations

import pytest

from release_tool.core.finetune.records import Grouped, Selected
from release_tool.part_files import part_path, write_part

ROWS = 12


@pytest.fixture
def folders(tmp_path):
    """Queries whose positives are, three at a time, copies of one document; the negatives are one of a kind."""
    rows = [
        Selected(query=f"q{row}", split="train", documents=(f"d{row}", f"n{row}"), labels=(1.0, 0.0))
        for row in range(ROWS)
    ]
    groups = [Grouped(id=f"d{row}", group=f"d{row // 3 * 3}") for row in range(ROWS)]
    groups += [Grouped(id=f"n{row}", group=f"n{row}") for row in range(ROWS)]
    write_part(part_path(tmp_path / "rows", Selected.STEM, 0), rows)
    write_part(part_path(tmp_path / "corpus", Grouped.STEM, 0), groups)
    return tmp_path / "rows", tmp_path / "corpus"


def test_no_near_duplicate_of_a_positive_is_its_negative_in_a_batch(folders):
    from release_tool.models.finetune.trainers import batches
    from release_tool.models.finetune.training_rows import LABEL, by_group, load_rows

    rows = load_rows(folders[0], "train").remove_columns(LABEL)
    ids = by_group(rows, folders[1])
    assert rows["positive"][:4] == ["d0", "d1", "d2", "d3"]
    found = list(batches(rows, batch_size=4, seed=1, ids=ids, step_rows=4, alone=True))
    assert sorted(row for batch in found for row in batch) == list(range(ROWS))
    for batch in found:
        assert {row // 3 for row in batch} == {0, 1, 2, 3}


def test_rows_of_groups_are_those_of_ids_where_nothing_is_a_near_duplicate(folders, tmp_path):
    from release_tool.models.finetune.training_rows import by_group, load_rows

    rows = load_rows(folders[0], "train")
    assert by_group(rows, folders[1])["positive"][:] == [f"d{row // 3 * 3}" for row in range(ROWS)]
    assert by_group(rows, folders[1])["negative_1"][:] == rows["negative_1"][:]
    assert by_group(rows, folders[1])["label"][:] == rows["label"][:]
    assert by_group(rows, tmp_path) is rows
