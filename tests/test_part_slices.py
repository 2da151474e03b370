"""Pieces of part files: all rows once, in order, none over the end of a part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.finetune.records import Document
from release_tool.errors import IntegrityError
from release_tool.part_files import part_path, write_part
from release_tool.part_slices import read_slice, slices


@given(sizes=st.lists(st.integers(0, 9), max_size=5), rows=st.integers(1, 5))
def test_every_row_is_in_one_piece(tmp_path_factory, sizes, rows):
    folder = tmp_path_factory.mktemp("parts")
    whole = []
    for number, size in enumerate(sizes):
        part = [Document(id=f"{number}-{place}", text="é" * place) for place in range(size)]
        write_part(part_path(folder, Document.STEM, number), part)
        whole += part
    pieces = list(slices(folder, Document.STEM, rows))
    assert [piece.number for piece in pieces] == list(range(len(pieces)))
    assert len(pieces) == sum(-(-size // rows) for size in sizes)
    read = [list(read_slice(piece, Document)) for piece in pieces]
    assert [len(one) for one in read] == [piece.rows for piece in pieces]
    assert all(1 <= len(one) <= rows for one in read)
    assert [row for one in read for row in one] == whole


def test_a_line_that_is_no_row_is_named_by_its_number_in_the_part(tmp_path):
    path = part_path(tmp_path, Document.STEM, 0)
    write_part(path, [Document(id=str(number), text="x") for number in range(4)])
    path.write_text(path.read_text() + '{"id":7}\n')
    *_, last = slices(tmp_path, Document.STEM, 2)
    with pytest.raises(IntegrityError, match=r"documents-00000\.jsonl, line 5"):
        list(read_slice(last, Document))
