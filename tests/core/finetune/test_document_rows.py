"""A line is a document or a reject with a reason that shows nothing of it; nothing else comes out, whatever goes in."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.finetune.document_rows import MAX_ID, RowFault, document_of
from release_tool.core.finetune.raw_rows import read_line, rows_of_lines
from release_tool.core.finetune.records import Document
from release_tool.part_files import line_of, read_part, write_part


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "a\xff"}', "is not UTF-8"),
        (b'\xff\xfe{\x00"\x00', "is not UTF-8"),
        (b"{text: 1}", "is no JSON"),
        (b'{"text": "a"} {"text": "b"}', "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b'{"text": "a", "id": ' + b"9" * 5000 + b"}", "is no JSON"),
        (b'["text"]', "is no object"),
        (b'"text"', "is no object"),
        (b"null", "is no object"),
        (b"{}", "has no text"),
        (b'{"id": "x", "text": null}', "has no text"),
        (b'{"Text": "a"}', "has no text"),
        (b'{"text": 7}', "has a text that is no text"),
        (b'{"text": ["a"]}', "has a text that is no text"),
        (b'{"text": ""}', "has a blank text"),
        (b'{"text": " \\t\\u00a0\\n"}', "has a blank text"),
        (b'{"text": "a\\u0000b"}', "has a text that holds NUL"),
        (b'{"text": "a\\ud800b"}', "has a text that holds half a character (a lone surrogate)"),
        (b'{"text": "a", "title": 7}', "has a title that is no text"),
        (b'{"text": "a", "title": "\\udfff"}', "has a title that holds half a character (a lone surrogate)"),
        (b'{"text": "a", "title": "\\u0000"}', "has a title that holds NUL"),
        (b'{"text": "a", "id": 1.0}', "has an id that is neither a text nor a whole number"),
        (b'{"text": "a", "id": true}', "has an id that is neither a text nor a whole number"),
        (b'{"text": "a", "id": ["a"]}', "has an id that is neither a text nor a whole number"),
        (b'{"text": "a", "id": ""}', "has a blank id"),
        (b'{"text": "a", "id": "a\\u0000"}', "has an id that holds NUL"),
        (b'{"text": "a", "id": "\\ud83d"}', "has an id that holds half a character (a lone surrogate)"),
        (json.dumps({"text": "a", "id": "x" * (MAX_ID + 1)}).encode(), "has an id that is too long"),
        (b'{"text": "a", "id": ' + b"9" * 4000 + b"}", "has an id that is too long"),
    ],
)
def test_what_is_no_document_is_refused_with_its_reason(line, reason):
    with pytest.raises(RowFault) as caught:
        document_of(line)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("line", "document"),
    [
        (b'{"text": "a b", "id": "x", "title": "t", "url": 1}', Document(id="x", text="a b", title="t")),
        (b'{"text": " a\\n", "id": 7}', Document(id="7", text=" a\n")),
        (b'{"text": "a", "id": -3, "title": "  "}', Document(id="-3", text="a")),
        (b'{"text": "a", "id": "x", "title": null}', Document(id="x", text="a")),
        ('{"text": "日本", "id": "ключ/1.html"}'.encode(), Document(id="ключ/1.html", text="日本")),
        (b'{"text": "\\ud83d\\ude00", "id": "x"}', Document(id="x", text="😀")),
        (b'{"text": "a", "id": "x", "score": NaN}', Document(id="x", text="a")),
    ],
)
def test_a_document_keeps_its_text_and_its_id_as_a_text(line, document):
    assert document_of(line) == document


def test_a_document_without_id_gets_one_of_title_and_text_that_tells_them_apart():
    def of(text, title=None):
        return document_of(json.dumps({"text": text, "title": title}).encode()).id

    assert of("a") == hashlib.sha256(b"\0a").hexdigest()[:32]
    assert len({of("a"), of("b"), of("a", "t"), of("t", "a"), of("ta"), of("a\n")}) == 6
    assert of("a", " ") == of("a")


def test_a_reject_shows_the_id_of_its_row_where_it_has_one():
    assert read_line(b'{"id": 5, "text": ""}', first=False).ident == "5"
    assert read_line(b'{"id": "\\u0000", "text": ""}', first=False).ident is None


def test_lines_are_counted_from_one_blank_ones_too_and_a_byte_order_mark_is_no_part_of_the_first():
    mark = "\ufeff".encode()
    lines = [mark + b'{"text": "a", "id": 1}', b" ", b'{"text": "b", "id": 2}', None, mark + b'{"text": "c", "id": 3}']
    rows = list(rows_of_lines(((line, 9) for line in lines), "f"))
    assert [row.line for row in rows] == [1, 3, 4, 5]
    assert [getattr(row.read, "id", str(row.read)) for row in rows] == [
        "1", "2", "is longer than a line may be", "is no JSON",
    ]  # fmt: skip


hostile = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "id", "title", "x"]), inner)
        ),
        max_leaves=8,
    ).map(lambda data: json.dumps(data).encode()),
    st.fixed_dictionaries(
        {"text": st.text()}, optional={"id": st.text() | st.integers(), "title": st.none() | st.text()}
    ).map(lambda data: json.dumps(data).encode()),
)


@given(hostile)
def test_every_line_is_a_document_that_a_part_file_can_hold_or_a_fault(tmp_path_factory, line):
    found = read_line(line, first=True)
    if isinstance(found, RowFault):
        assert str(found)
        return
    assert found.text.strip()
    assert found.id
    assert line_of(found).count("\n") == 1
    path = tmp_path_factory.getbasetemp() / "documents-00000.jsonl"
    write_part(path, [found])
    assert list(read_part(path, Document)) == [found]
