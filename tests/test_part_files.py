"""Part files: whole or absent, the same rows the same bytes; what was killed is made again and the rest is kept."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release_tool.core.finetune.records import Document, Selected
from release_tool.errors import IntegrityError, MachineError
from release_tool.part_files import (
    MOST_PARTS,
    PartWriter,
    line_of,
    make_part,
    part_path,
    parts,
    read_part,
    read_rows,
    write_part,
)

ROWS = [Document(id=str(number), text=f"text {number}", title="t" if number % 2 else None) for number in range(25)]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.builds(Document, id=TEXTS, text=TEXTS, title=st.none() | TEXTS), max_size=5))
@settings(max_examples=50)
def test_what_is_written_is_read_whatever_its_text_holds(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("part") / "documents-00000.jsonl"
    assert write_part(path, rows) == len(rows)
    assert list(read_part(path, Document)) == rows
    assert path.read_bytes().count(b"\n") == len(rows)


def test_the_same_rows_give_the_same_bytes_in_parts_of_a_size(tmp_path):
    for name in ("a", "b"):
        with PartWriter(tmp_path / name, Document.STEM, rows=10) as writer:
            for row in ROWS:
                writer.add(row)
        assert writer.count == 25
    found = {name: [path.read_bytes() for path in parts(tmp_path / name, Document.STEM)] for name in ("a", "b")}
    assert found["a"] == found["b"]
    assert [data.count(b"\n") for data in found["a"]] == [10, 10, 5]
    assert list(read_rows(tmp_path / "a", Document)) == ROWS


def test_numbers_that_json_has_not_are_refused(tmp_path):
    row = Selected(query="q", split="train", documents=("a",), labels=(float("nan"),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_part(tmp_path / "rows-00000.jsonl", [row])
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_fails_in_the_middle_of_a_part_leaves_the_finished_ones_only(tmp_path):
    def broken():
        with PartWriter(tmp_path, Document.STEM, rows=10) as writer:
            for row in ROWS:
                writer.add(row)
                if writer.count == 15:
                    raise RuntimeError("it ends here")

    with pytest.raises(RuntimeError, match="it ends here"):
        broken()
    assert [path.name for path in tmp_path.iterdir()] == ["documents-00000.jsonl"]


def test_a_part_that_is_there_is_not_made_again(tmp_path):
    path = part_path(tmp_path, Document.STEM, 0)
    calls = []

    def make():
        calls.append(1)
        return ROWS

    make_part(path, make)
    make_part(path, make)
    assert len(calls) == 1


def test_only_whole_parts_are_seen_and_in_order(tmp_path):
    for name in (
        ".documents-00000.jsonl.part",
        "documents-0000.jsonl",
        "documents-00002.jsonl",
        "documents-00001.jsonl",
    ):
        (tmp_path / name).write_text("")
    assert [path.name for path in parts(tmp_path, Document.STEM)] == ["documents-00001.jsonl", "documents-00002.jsonl"]


@pytest.mark.parametrize("number", [-1, MOST_PARTS])
def test_a_part_that_its_readers_would_not_see_is_not_named(number, tmp_path):
    with pytest.raises(ValueError, match="documents has no part"):
        part_path(tmp_path, Document.STEM, number)


@pytest.mark.parametrize(
    "line", ["", "{", "[]", '{"id":"a"}', '{"id":1,"text":"b"}', '{"id":"a","text":"b","more":1}', "\0"]
)
def test_a_line_that_is_no_row_is_named_by_file_and_number(line, tmp_path):
    path = tmp_path / "documents-00000.jsonl"
    path.write_text(line_of(ROWS[0]) + line + "\n")
    with pytest.raises(IntegrityError, match=r"documents-00000\.jsonl, line 2 is no row of documents") as caught:
        list(read_part(path, Document))
    assert "run it again" in caught.value.hint


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("how", ["part", "writer"])
def test_a_full_disk_is_an_error_of_the_machine_and_leaves_nothing_half(how, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", full)

    def write():
        if how == "part":
            write_part(part_path(tmp_path, Document.STEM, 0), ROWS)
        else:
            with PartWriter(tmp_path, Document.STEM, rows=10) as writer:
                for row in ROWS:
                    writer.add(row)

    with pytest.raises(MachineError, match="No space left"):
        write()
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, pathlib, signal, sys
from release_tool.core.finetune.records import Document
from release_tool.part_files import PartWriter
real = pathlib.Path.replace
def replace(self, target):
    if str(target).endswith("00001.jsonl"):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, target)
pathlib.Path.replace = replace
with PartWriter(pathlib.Path(sys.argv[1]), Document.STEM, rows=10) as writer:
    for number in range(25):
        writer.add(Document(id=str(number), text="text"))
"""


def test_a_kill_before_a_part_gets_its_name_leaves_those_before_it(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in parts(tmp_path, Document.STEM)] == ["documents-00000.jsonl"]
