"""Reading queries out of answers: what models send in practice, and that nothing breaks the reader."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.finetune.answers import MAX_QUERY, answer_schema, parse_answer

READ = [
    ('{"queries": ["a b", "c d"]}', ("a b", "c d")),
    ('["a b", "c d"]', ("a b", "c d")),
    ('```json\n{"queries": ["a b"]}\n```', ("a b",)),
    ('```\n["a b"]\n```\nHope this helps!', ("a b",)),
    ('Sure! Here are 2 queries [as asked]:\n{"queries": ["a b"]}', ("a b",)),
    ('<think>the {document} says ["no", "not this"]</think>{"queries": ["a b"]}', ("a b",)),
    ('{"questions": ["a b"]}', ("a b",)),
    ('{"n": 1} {"queries": ["a b"]}', ("a b",)),
    ('{"queries": ["  a \\n b  ", "", " ", null, 3, ["x"], "a b"]}', ("a b",)),
    ('{"queries": ["' + "x" * (MAX_QUERY + 1) + '", "kept"]}', ("kept",)),
    ('{"queries": ["1", "2", "3", "4"]}', ("1", "2", "3")),
    ('{"queries": ["\\u001b[31mred\\u202e"]}', ("\ufffd[31mred\ufffd",)),
    ('{"queries": ["half \\ud800"]}', ("half \ufffd",)),
]

NOT_READ = [
    ("", "empty answer"),
    ("  \n ", "empty answer"),
    ("1. first query\n2. second query", "no JSON with queries"),
    ('{"queries": ["cut off', "no JSON with queries"),
    ('{"queries": []}', "JSON without a usable query"),
    ('{"queries": [""]}', "JSON without a usable query"),
    ('{"queries": "a b"}', "no JSON with queries"),
    ("[1, 2]", "no JSON with queries"),
    ("[" * 100_000, "no JSON with queries"),
]


@pytest.mark.parametrize(("raw", "queries"), READ)
def test_what_models_send_is_read(raw, queries):
    assert parse_answer(raw, 3).queries == queries


@pytest.mark.parametrize(("raw", "problem"), NOT_READ)
def test_what_is_no_answer_has_a_reason(raw, problem):
    parsed = parse_answer(raw, 3)
    assert parsed.queries == ()
    assert parsed.problem == problem


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["queries", "questions", "x"]), inner),
    max_leaves=12,
)


@given(
    st.text()
    | JSON.map(json.dumps)
    | st.tuples(st.text(), JSON.map(json.dumps), st.text()).map("".join)
    | st.lists(st.text()).map(lambda found: json.dumps({"queries": found})),
    st.integers(1, 10),
)
def test_no_answer_breaks_the_reader_and_none_gives_more_than_asked(raw, n):
    parsed = parse_answer(raw, n)
    assert len(parsed.queries) <= n
    assert bool(parsed.queries) == (parsed.problem == "")
    assert len(set(parsed.queries)) == len(parsed.queries)
    for query in parsed.queries:
        assert query.strip() == query != ""
        assert len(query) <= MAX_QUERY
        assert len(query.splitlines()) == 1
        query.encode()


@given(st.lists(st.text(alphabet="abc def", min_size=1).map(lambda text: " ".join(text.split())).filter(bool)))
def test_a_proper_answer_comes_back_whole(queries):
    wanted = tuple(dict.fromkeys(queries))
    assert parse_answer(json.dumps({"queries": queries}), 1000).queries == wanted


def test_the_schema_asks_for_as_many_as_are_wanted():
    texts = answer_schema(7)["properties"]["queries"]
    assert (texts["minItems"], texts["maxItems"]) == (7, 7)
