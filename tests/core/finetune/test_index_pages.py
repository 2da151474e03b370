"""The text of a document of an index, wherever its fields stand."""

from __future__ import annotations

import pytest

from release_tool.core.finetune.index_pages import hits_of, order_of, page, row_of, text_of, written


@pytest.mark.parametrize(
    ("source", "fields", "text"),
    [
        ({"a": "x", "b": "y"}, ("b", "a"), "y x"),
        ({"a": "x"}, ("missing", "a"), "x"),
        ({"a": ["x", ["y", None, ""], 3, 2.5, True]}, ("a",), "x y 3 2.5"),
        ({"a": {"b": {"c": "x"}}}, ("a.b.c",), "x"),
        ({"a.b.c": "x"}, ("a.b.c",), "x"),
        ({"a": {"b.c": "x"}}, ("a.b.c",), "x"),
        ({"a": {"b": "none"}, "a.b": {"c": "x"}}, ("a.b.c",), "x"),
        ({"a": [{"b": "x"}, {"b": ["y"]}, 7]}, ("a.b",), "x y"),
        ({"a": {"b": "x"}}, ("a",), None),
        ({"ab": "x"}, ("a",), None),
        ({"a": " "}, ("a",), None),
        ({}, ("a",), None),
    ],
)
def test_values_of_fields_are_joined_in_the_order_of_the_fields(source, fields, text):
    assert text_of(source, fields) == text


@pytest.mark.parametrize("reply", [None, [], {}, {"hits": 7}, {"hits": {"hits": "x"}}, {"hits": {"hits": [7, None]}}])
def test_an_odd_reply_has_no_hits(reply):
    assert hits_of(reply) == []
    assert written(reply) == ()


@pytest.mark.parametrize("hit", [{}, {"_id": 1.5, "_source": []}, {"_id": "x", "_source": {"a": {"b": 1}}}])
def test_an_odd_hit_is_a_row_that_can_not_be_used(hit):
    row = row_of(hit, "i", ("a",))
    assert str(row.read)
    assert (row.where, row.line, row.held) == ("i", 0, 0)


def test_the_highest_number_of_the_copies_of_a_shard_counts():
    def copy(number):
        return {"routing": {"primary": True}, "seq_no": {"max_seq_no": number}}

    reply = {"indices": {"i": {"uuid": "u", "shards": {"1": [copy(4), copy(7)], "0": [copy(-1)]}}, "h": 7}}
    assert written(reply) == ("i u 0 -1", "i u 1 7")


def test_every_order_tells_any_two_documents_apart():
    assert [next(iter(one)) for one in order_of("3.3.0")] == ["_shard_doc", "_index"]
    assert [next(iter(one)) for one in order_of("3.2.0")] == ["_id", "_index"]
    assert "search_after" not in page("p", ("a",), order_of("3.3.0"), None, 5).body
    assert page("p", ("a",), order_of("3.3.0"), [1, "i"], 5).body["search_after"] == [1, "i"]
