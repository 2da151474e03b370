"""The ledger: any file reads in and back byte for byte, adding twice is once, a broken file is named by its line."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_rows import approved_of, old_file, old_rows, own_row

from release_tool.core import json_rows
from release_tool.core import ledger_columns as column
from release_tool.core.ledger import EMPTY, Row, of_release, parse
from release_tool.errors import RecordError

LAYOUTS = (
    {"indent": 4},
    {"indent": 2},
    {"indent": 1},
    {"separators": (",", ":")},
    {"indent": 4, "ensure_ascii": False},
    {"indent": "\t"},
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
unknown = st.text().filter(lambda name: name not in {*column.FIRST, *column.OURS, column.YANKED})
any_row = st.builds(
    lambda first, more: {**first, **more},
    st.fixed_dictionaries({name: st.text() for name in column.FIRST}),
    st.dictionaries(unknown, json_values, max_size=3),
)


def row_of(number, **over):
    """Return one of many rows of ours, which differ by time and digest."""
    at = f"2026-11-{1 + number % 28:02} 10:00:{number % 60:02}Z"
    return own_row(f"model-{number}", **{column.TIME: at, **over})


def test_the_old_file_reads_in_and_back_byte_for_byte():
    data = old_file()
    ledger = parse(data)
    assert len(ledger.rows) == 38
    assert [dict(row.data) for row in ledger.rows] == old_rows()
    assert ledger.data() == data
    assert not data.endswith(b"\n")


def test_an_empty_ledger_is_an_empty_list():
    assert parse(EMPTY).rows == ()
    assert parse(EMPTY).data() == EMPTY


@given(
    rows=st.lists(any_row, max_size=4),
    layout=st.sampled_from(LAYOUTS),
    end=st.sampled_from(["", "\n", "\r\n", "  \n\n"]),
    mark=st.sampled_from(["", "\N{ZERO WIDTH NO-BREAK SPACE}"]),
)
def test_law_any_file_of_any_layout_reads_in_and_back_byte_for_byte(rows, layout, end, mark):
    text = json.dumps(rows, **layout)
    try:
        data = (mark + text + end).encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON's escapes can hold and UTF-8 can't
        data = (mark + json.dumps(rows, indent=4) + end).encode()
    ledger = parse(data)
    assert [dict(row.data) for row in ledger.rows] == rows
    assert ledger.data() == data


@given(rows=st.lists(any_row, min_size=1, max_size=4))
def test_law_the_fast_way_to_read_finds_what_the_slow_one_finds(rows):
    text = json.dumps(rows, indent=4)
    fast = json_rows._as_dumped(text, 4, Row, deep=False)
    assert fast is not None
    assert fast == json_rows._one_by_one(text, Row)


@given(rows=st.lists(any_row, max_size=4), layout=st.sampled_from(LAYOUTS[:1] + LAYOUTS[4:5]))
def test_law_a_row_that_is_added_changes_no_byte_of_the_others(rows, layout):
    try:
        data = json.dumps(rows, **layout).encode()
    except UnicodeEncodeError:
        data = json.dumps(rows, indent=4).encode()
    ledger = parse(data).add(own_row())
    again = parse(ledger.data())
    others = [row.text for row in again.rows if row.approved is None]
    assert others == [row.text for row in parse(data).rows]
    assert [dict(row.data) for row in again.rows if row.approved] == [own_row()]


@given(numbers=st.lists(st.integers(0, 40), min_size=1, max_size=6), old=st.integers(0, 38))
def test_law_adding_twice_is_adding_once(numbers, old):
    base = parse(json.dumps(old_rows()[:old], indent=4).encode())
    once = base
    for number in numbers:
        once = once.add(row_of(number))
    twice = parse(once.data())
    for number in reversed(numbers):
        twice = twice.add(row_of(number))
    assert twice.data() == once.data()
    assert len(once.rows) == old + len(set(numbers))


@given(order=st.permutations(range(6)), old=st.integers(0, 38))
def test_law_rows_may_arrive_in_any_order(order, old):
    base = parse(json.dumps(old_rows()[:old], indent=4).encode())
    straight, shuffled = base, base
    for number in range(6):
        straight = straight.add(row_of(number % 3, **{column.APPROVED: approved_of(str(number))}))
    for number in order:
        shuffled = parse(shuffled.data()).add(row_of(number % 3, **{column.APPROVED: approved_of(str(number))}))
    assert shuffled.data() == straight.data()


def test_two_records_on_different_bases_both_survive():
    base = parse(old_file())
    first, second = own_row("one"), own_row("two")
    branch = parse(base.add(first).data())  # what one record proposed
    main = parse(base.add(second).data())  # what was merged meanwhile
    assert main.add(first).data() == branch.add(second).data()
    assert {row.model_id for row in main.add(first).rows if row.approved} == {"acme/one", "acme/two"}


def test_the_outcome_of_a_build_changes_its_row_and_no_other():
    before = parse(parse(old_file()).add(own_row("one")).add(own_row("two")).data())
    said = own_row("one", **{column.UPLOADER: None, column.RUN_ID: None, column.BUILD_RESULT: "FAILURE"})
    after = before.add(said)
    changed = [(old, new) for old, new in zip(before.rows, after.rows, strict=True) if old != new]
    assert len(changed) == 1
    old, new = changed[0]
    assert new.data == {**old.data, column.BUILD_RESULT: "FAILURE"}
    assert list(new.data) == list(old.data)
    assert after.add(said).data() == after.data()


def test_what_a_later_record_does_not_say_stays():
    ledger = parse(EMPTY).add(own_row(**{column.BUILD_RESULT: "SUCCESS"}))
    again = ledger.add(own_row(**{column.UPLOADER: None, column.BUILD_RESULT: None}))
    assert again.data() == ledger.data()


def test_columns_that_nobody_knows_survive_an_update():
    row = {**own_row(), "Remark": {"by": ["hand"]}}
    ledger = parse(json.dumps([row], indent=4).encode()).add(own_row(**{column.BUILD_RESULT: "SUCCESS"}))
    (found,) = json.loads(ledger.data())
    assert found["Remark"] == {"by": ["hand"]}
    assert found[column.BUILD_RESULT] == "SUCCESS"


def test_a_row_that_a_merge_doubled_becomes_one_again():
    ledger = parse(json.dumps([own_row(), own_row("other"), own_row()], indent=4).encode())
    assert [row.model_id for row in ledger.add(own_row()).rows] == ["acme/tiny", "acme/other"]


def test_a_new_row_is_written_in_the_layout_of_the_old_ones_and_in_ascii():
    data = parse(old_file()).add(own_row(**{column.DESCRIPTION: "Modèle \N{RIGHT-TO-LEFT OVERRIDE} x"})).data()
    assert data == json.dumps(json.loads(data), indent=4).encode()
    assert data.isascii()


def test_nothing_of_a_row_stands_for_absence_but_null():
    data = parse(EMPTY).add(own_row(**{column.DIMENSION: None, column.POOLING: None})).data()
    assert b"N/A" not in data
    assert json.loads(data)[0][column.DIMENSION] is None


def test_the_rows_of_a_release_are_found_by_its_digest():
    ledger = parse(old_file()).add(own_row(fmt="onnx")).add(own_row(fmt="torch_script")).add(own_row("other"))
    assert [row.formats for row in of_release(ledger, approved_of("tiny 1.0.0"))] == [("onnx",), ("torch_script",)]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "row 1 (line 1)", "'[' is missing"),
        ("{}", "row 1 (line 1)", "'[' is missing"),
        ("[\n    3\n]", "row 1 (line 2)", "no object"),
        ('[\n    {"Model ID": "a"}\n]', "row 1 (line 2)", "no 'Model Version'"),
        ('[\n    {"a": 1,}\n]', "row 1 (line 2)", "property name"),
        ('[{"a": 1, "a": 2}]', "row 1 (line 1)", "twice"),
        ("[]\n]", "row 1 (line 2)", "after the list"),
        ("[NaN]", "row 1", "NaN"),
        ("<<<<<<< ours\n[]", "row 1 (line 1)", "'[' is missing"),
    ],
)
def test_a_broken_file_is_named_with_row_and_line(text, where, what):
    with pytest.raises(RecordError) as caught:
        parse(text.encode())
    assert caught.value.exit_code == 9
    assert f"supported_models.json, {where}" in str(caught.value)
    assert what in str(caught.value)


def test_a_conflict_of_a_merge_is_named_with_its_row_and_line():
    text = parse(old_file()).data().decode().split("\n")
    place = text.index("    },", 40)
    text.insert(place + 1, "<<<<<<< main")
    with pytest.raises(RecordError, match=rf"row {len(re.findall('Model ID', chr(10).join(text[:place]))) + 1} "):
        parse("\n".join(text).encode())


@pytest.mark.parametrize(
    ("over", "what"),
    [
        ({column.VERSION: 1}, "no 'Model Version'"),
        ({column.UPLOADER: 7}, "'Model Uploader' is no text"),
        ({column.SIZE: "large"}, "'Archive Size' is no whole number"),
        ({column.SIZE: True}, "'Archive Size' is no whole number"),
        ({column.LINEAGE: "text"}, "'Lineage' is no object"),
        ({column.APPROVED: "abc"}, "no sha256"),
        ({column.APPROVED: None}, "'Key' without 'Approved Digest'"),
        ({column.KEY: None}, "'Approved Digest' without 'Key'"),
        ({column.KEY: "ml-models/../../etc/passwd/x/y"}, "no object key"),
        ({column.YANKED: {"at": "now"}}, "when and why"),
    ],
)
def test_a_value_that_can_not_be_is_named_with_row_and_line(over, what):
    rows = [*old_rows()[:2], {**own_row(), **over}]
    with pytest.raises(RecordError) as caught:
        parse(json.dumps(rows, indent=4).encode())
    assert "row 3 (line 22)" in str(caught.value)
    assert what in str(caught.value)


def test_a_file_that_is_not_text_is_named_with_its_line():
    with pytest.raises(RecordError, match=r"supported_models\.json, line 2: it is not UTF-8"):
        parse(b'[\n"\xff"]')


def test_names_and_formats_of_a_row_follow_from_its_key():
    assert Row(own_row("tiny", "1.0.0", "onnx")).name == "huggingface/acme/tiny"
    assert Row(own_row("tiny", "1.0.0", "onnx")).formats == ("onnx",)
    old = Row({**old_rows()[1], column.FORMAT: "BOTH"})
    assert (old.name, old.formats, old.identity) == (None, ("onnx", "torch_script"), None)
    assert old.is_named(f"huggingface/{old.model_id}")
    assert old.is_named(old.model_id)
    assert not old.is_named("huggingface/another/model")
