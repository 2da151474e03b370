"""Ids of records and the keys of paid answers."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.finetune.records import Document
from release_tool.core.finetune.writing import Question, answer_key, query_id, record_id

ASKED = Question(id="R", document=Document(id="1", text="x"), n=3, system="s", prompt="p")


@given(st.text())
def test_a_record_is_letters_and_digits(name):
    found = record_id(name)
    assert len(found) == 20
    assert found.isascii()
    assert found.isalnum()


def test_records_differ():
    assert len({record_id(str(number)) for number in range(10_000)}) == 10_000
    assert query_id("R", 1) != query_id("R", 2)


def test_a_key_follows_from_all_that_decides_the_answer_and_from_nothing_else():
    key = answer_key("m", ASKED, {"temperature": 0.7})
    others = {
        answer_key("m2", ASKED, {"temperature": 0.7}),
        answer_key("m", replace(ASKED, prompt="q"), {"temperature": 0.7}),
        answer_key("m", replace(ASKED, system="t"), {"temperature": 0.7}),
        answer_key("m", ASKED, {"temperature": 0.8}),
        answer_key("m", ASKED, {"temperature": 0.7}, attempt=1),
    }
    assert len(others | {key}) == 6
    assert answer_key("m", replace(ASKED, id="S", document=Document(id="2", text="y")), {"temperature": 0.7}) == key
