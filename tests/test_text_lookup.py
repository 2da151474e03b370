"""Texts by their ids: every row is found, also where ids share a hash; the index is made once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release_tool import text_lookup
from release_tool.core.finetune.records import Document, Query
from release_tool.errors import IntegrityError, MachineError
from release_tool.part_files import PartWriter, part_path, write_part
from release_tool.text_lookup import TextLookup

if TYPE_CHECKING:
    from collections.abc import Iterable

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def write(folder: Path, rows: Iterable[Document | Query], stem: str = Document.STEM, *, a_part: int = 3) -> Path:
    with PartWriter(folder, stem, rows=a_part) as writer:
        for row in rows:
            writer.add(row)
    return folder


def documents(count: int) -> list[Document]:
    titles = [f"title {number}" if number % 2 else None for number in range(count)]
    return [
        Document(id=f"d{number}", text=f"text {number} " + "é" * number, title=title)
        for number, title in enumerate(titles)
    ]


def test_every_row_of_every_part_is_found(tmp_path: Path) -> None:
    rows = documents(11)
    folder = write(tmp_path / "corpus", rows)
    with TextLookup.open(folder, tmp_path / "scratch") as lookup:
        assert len(lookup) == 11
        assert [lookup.row(row.id) for row in rows] == rows
        assert lookup.whole("d3") == "title 3 text 3 ééé"
        assert lookup.many(["d9", "d0", "d9"]) == [rows[9].whole, rows[0].whole, rows[9].whole]
        assert lookup.many([]) == []


@settings(max_examples=40, deadline=None)
@given(rows=st.dictionaries(TEXTS, TEXTS, max_size=30), a_part=st.integers(1, 7))
def test_ids_and_texts_of_any_script_are_found(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, str], a_part: int
) -> None:
    made = [Document(id=one, text=text) for one, text in rows.items()]
    folder = write(tmp_path_factory.mktemp("corpus"), made, a_part=a_part)
    with TextLookup.open(folder, folder / "scratch") as lookup:
        assert lookup.many(reversed(rows)) == list(reversed(rows.values()))
        assert [lookup.row(row.id) for row in made] == made


def test_ids_that_share_a_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_lookup, "_hash", lambda wanted: len(wanted) % 2)
    rows = documents(12)
    with TextLookup.open(write(tmp_path / "corpus", rows), tmp_path / "scratch") as lookup:
        assert [lookup.row(row.id) for row in rows] == rows
        assert lookup.many([row.id for row in rows]) == [row.whole for row in rows]
        with pytest.raises(IntegrityError, match="'d12'"):
            lookup.whole("d12")


def test_an_id_that_is_not_there_is_named_and_escaped(tmp_path: Path) -> None:
    lookup = TextLookup.open(write(tmp_path / "corpus", documents(2)), tmp_path / "scratch")
    for ask in (lookup.whole, lookup.row, lambda one: lookup.many(["d1", one])):
        with pytest.raises(IntegrityError, match=r"No row of documents has the id '\ufffd\[31m'"):
            ask("\x1b[31m")


def test_queries_are_found_by_their_own_index(tmp_path: Path) -> None:
    folder = write(tmp_path / "corpus", documents(2))
    write(folder, [Query(id="q", text="what?", document="d1")], Query.STEM)
    assert TextLookup.open(folder, tmp_path / "scratch").whole("d0") == "text 0 "
    lookup = TextLookup.open(folder, tmp_path / "scratch", Query)
    assert lookup.whole("q") == "what?"
    assert lookup.row("q").document == "d1"
    with pytest.raises(IntegrityError):
        lookup.whole("d0")


def test_an_empty_corpus_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    assert len(TextLookup.open(tmp_path / "corpus", tmp_path / "scratch")) == 0


def test_the_index_is_made_once_and_anew_for_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "corpus", documents(5))
    TextLookup.open(folder, tmp_path / "scratch")
    with monkeypatch.context() as patched:
        patched.setattr(text_lookup, "_build", None)
        assert TextLookup.open(folder, tmp_path / "scratch").whole("d4") == documents(5)[4].whole
    write_part(part_path(folder, Document.STEM, 2), [Document(id="new", text="of another run")])
    assert TextLookup.open(folder, tmp_path / "scratch").whole("new") == "of another run"


def test_more_parts_than_files_may_be_open_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_lookup, "OPEN_FILES", 2)
    rows = documents(9)
    with TextLookup.open(write(tmp_path / "corpus", rows, a_part=1), tmp_path / "scratch") as lookup:
        before = len(list(Path("/proc/self/fd").iterdir()))
        assert [lookup.row(row.id) for row in rows * 2] == rows * 2
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


def test_a_line_that_is_longer_than_one_read_is_whole(tmp_path: Path) -> None:
    rows = [Document(id=str(n), text="word " * 10_000 * n) for n in range(3)]
    lookup = TextLookup.open(write(tmp_path / "corpus", rows), tmp_path / "scratch")
    assert [lookup.row(row.id) for row in rows] == rows


@pytest.mark.parametrize("line", ['{"text":"x","id":"a"}', "no json", '{"id":"a', '{"id":7,"text":"x"}'])
def test_a_line_that_is_no_row_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "documents-00000.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"documents-00000\.jsonl has a line that is no row of documents"):
        TextLookup.open(tmp_path, tmp_path / "scratch").whole("a")


def test_a_full_disk_is_a_named_error_and_leaves_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "corpus", documents(3))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(np, "save", full)
        with pytest.raises(MachineError):
            TextLookup.open(folder, tmp_path / "scratch")
    assert TextLookup.open(folder, tmp_path / "scratch").whole("d0") == "text 0 "


MEASURE = """
import resource, sys
from pathlib import Path
from release_tool.core.finetune.records import Document
from release_tool.part_files import PartWriter
from release_tool.text_lookup import TextLookup
import numpy
folder = Path(sys.argv[1])
with PartWriter(folder, "documents") as writer:
    for number in range(20_000):
        writer.add(Document(id=str(number), text=f"{number} " + "x" * 4000))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
lookup = TextLookup.open(folder, folder / "scratch")
for number in range(0, 20_000, 10):
    assert lookup.whole(str(number)).startswith(f"{number} ")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_texts(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 12_000, "KiB for 80 MB of texts"
