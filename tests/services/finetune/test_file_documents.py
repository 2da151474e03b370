"""Files are read line by line, compressed or not, and none of them can fill the memory."""

from __future__ import annotations

import gzip
import io
import json
import os
import tracemalloc

import pytest

from release_tool.core.digest import tree_digest
from release_tool.documents import file_sha256
from release_tool.errors import IntegrityError, UsageError
from release_tool.services.finetune.file_documents import FileDocuments, jsonl_files
from release_tool.services.finetune.lines import lines_of


def line(**row):
    return json.dumps(row).encode() + b"\n"


def ids(source):
    return [getattr(row.read, "id", str(row.read)) for row in source.rows()]


def pin_of(source):
    return tree_digest((path.name, file_sha256(path)) for path in source.files)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\nb\r\n\nc", [b"a", b"b", b"", b"c"]),
        (b"12345678\n123456789\n1\n", [b"12345678", None, b"1"]),
        (b"x" * 100 + b"\n" + b"y" * 8, [None, b"y" * 8]),
        (b"x" * 100, [None]),
        ("é\u2028\x85".encode() + b"\n", ["é\u2028\x85".encode()]),  # line ends of Unicode are none of JSONL's
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_lines_end_at_newlines_only_and_long_ones_are_not_held(data, lines, name):
    packed = gzip.compress(data) if name.endswith(".gz") else data
    found = list(lines_of(io.BytesIO(packed), name, limit=8))
    assert [one for one, _ in found] == lines
    assert sum(size for _, size in found) == (len(packed) if data else 0)


def test_a_line_of_a_gigabyte_takes_no_memory(tmp_path):
    # A thousand times as large as its file.
    with gzip.open(tmp_path / "bomb.jsonl.gz", "wb", compresslevel=1) as stream:
        for _ in range(100):
            stream.write(b" " * (1 << 20))
        stream.write(b"\n" + line(text="after"))
    tracemalloc.start()
    rows = ids(FileDocuments(tmp_path / "bomb.jsonl.gz"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows[0] == "is longer than a line may be"
    assert len(rows) == 2
    assert peak < 40 << 20


def test_a_title_takes_memory_like_a_text(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(line(text="a", title="b" * 5000) + b"no json")
    assert [row.held for row in FileDocuments(tmp_path).rows()] == [5001, 0]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: b"no gzip" + data, lambda data: data[:30] + b"\xff" + data[31:]]
)
def test_a_damaged_gzip_file_is_told_and_nothing_is_taken_for_its_end(tmp_path, damage):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(damage(gzip.compress(b"".join(line(text=f"text {number}") for number in range(100)))))
    with pytest.raises(UsageError, match=r"a\.jsonl\.gz is no whole gzip file"):
        ids(FileDocuments(path))


def test_a_folder_is_read_in_the_order_of_names_and_each_row_knows_its_file(tmp_path):
    (tmp_path / "b.jsonl").write_bytes(line(text="b", id=2) + line(text="", id=3))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(line(text="a", id=1)))
    (tmp_path / "c.json").write_bytes(line(text="c", id=4))
    (tmp_path / ".hidden.jsonl").write_bytes(line(text="d", id=5))
    source = FileDocuments(tmp_path)
    assert [path.name for path in jsonl_files(tmp_path)] == ["a.jsonl.gz", "b.jsonl"]
    assert [(row.where, row.line) for row in source.rows()] == [("a.jsonl.gz", 1), ("b.jsonl", 1), ("b.jsonl", 2)]
    assert ids(source) == ["1", "2", "has a blank text"]
    assert source.total() == sum(path.stat().st_size for path in source.files)
    assert sum(row.size for row in source.rows()) == source.total()


def test_other_bytes_or_another_name_than_planned_are_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(text="a"))
    pin = pin_of(FileDocuments(tmp_path))
    FileDocuments(tmp_path).check(pin)
    path.write_bytes(line(text="b"))
    with pytest.raises(IntegrityError, match="not what it was when the run was planned"):
        FileDocuments(tmp_path).check(pin)
    path.write_bytes(line(text="a"))
    path.rename(tmp_path / "b.jsonl")
    with pytest.raises(IntegrityError):
        FileDocuments(tmp_path).check(pin)
    with pytest.raises(UsageError, match="can't be read"):
        FileDocuments(path).check(pin)


@pytest.mark.parametrize(("name", "when"), [("a.jsonl", 0), ("a.jsonl", 3), ("a.jsonl.gz", 0)])
def test_files_that_are_written_while_they_are_read_are_nobodys_documents(tmp_path, name, when):
    def write(*lines):
        data = b"".join(lines)
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)

    write(*(line(text=f"text {at}", id=at) for at in range(4)))
    source = FileDocuments(tmp_path)
    source.check(pin_of(source))
    assert len(ids(source)) == 4
    rows = source.rows()
    read = [next(rows) for _ in range(when)]
    write(*(line(text=f"text {at}", id=at) for at in range(4)), line(text="one more", id=4))
    with pytest.raises(IntegrityError, match="not what it was when the run was planned"):
        read += rows


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(UsageError, match="it is a pipe"):
        ids(FileDocuments(tmp_path))


def test_a_name_that_no_reject_could_tell_is_refused(tmp_path):
    os.close(os.open(os.fsencode(tmp_path) + b"/a\xff.jsonl", os.O_CREAT))
    with pytest.raises(UsageError, match="has a name that is not UTF-8"):
        jsonl_files(tmp_path)
