"""What a person gives becomes the body that a server reads, and what comes back is kept as it was written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_tool.core.ml.answers import Answer, read_written, results_of, table_rows
from release_tool.core.ml.predict import (
    Function,
    RowFault,
    Wanted,
    digest_of,
    function_of,
    parameters_row,
    read_row,
    text_rows,
)

DENSE = Wanted(function=Function.TEXT_EMBEDDING)


def body(line, wanted=DENSE, **more):
    return read_row(json.dumps(line), 1, wanted, **more).body


def test_a_text_and_an_object_with_a_text_ask_the_same():
    assert body("today is sunny") == body({"text": "today is sunny"}) == {"text_docs": ["today is sunny"]}


def test_the_request_of_the_first_servers_page_comes_out_as_it_is_written_there():
    wanted = Wanted(
        function=Function.TEXT_EMBEDDING, return_number=True, target_response=("sentence_embedding",), by_algorithm=True
    )
    (row,) = text_rows(["today is sunny"], wanted)
    assert row.body == {
        "text_docs": ["today is sunny"], "return_number": True, "target_response": ["sentence_embedding"]
    }  # fmt: skip
    assert row.request("cle/1", wanted).path == "/_plugins/_ml/_predict/text_embedding/cle%2F1"
    assert row.request("cle", DENSE).path == "/_plugins/_ml/models/cle/_predict"


def test_every_way_of_choosing_outputs_stands_in_the_body():
    wanted = Wanted(function=Function.TEXT_EMBEDDING, positions=(0, 2), return_number=False, return_bytes=True)
    assert body("a", wanted) == {
        "text_docs": ["a"], "return_number": False, "return_bytes": True, "target_response_positions": [0, 2]
    }  # fmt: skip


def test_a_line_says_what_its_own_text_is_before_the_option_does():
    wanted = Wanted(function=Function.TEXT_EMBEDDING, content_type="passage")
    assert body("a", wanted)["parameters"] == {"content_type": "passage"}
    assert body({"text": "a", "content_type": "query"}, wanted)["parameters"] == {"content_type": "query"}


@pytest.mark.parametrize("function", [Function.SPARSE_ENCODING, Function.SPARSE_TOKENIZE])
def test_token_ids_are_asked_for_by_the_servers_own_word(function):
    wanted = Wanted(function=function, sparse_format="token_id")
    assert body("a", wanted)["parameters"] == {"sparse_embedding_format": "TOKEN_ID"}
    assert body("a", Wanted(function=function, sparse_format="word")) == {"text_docs": ["a"]}


def test_pairs_are_asked_by_a_query_with_all_documents_and_by_a_question_with_each_context():
    similar = text_rows(["a", "b"], Wanted(function=Function.TEXT_SIMILARITY), query="q")
    assert [row.body for row in similar] == [{"query_text": "q", "text_docs": ["a", "b"]}]
    answering = text_rows(["a", "b"], Wanted(function=Function.QUESTION_ANSWERING), query="q")
    assert [row.body for row in answering] == [{"question": "q", "context": "a"}, {"question": "q", "context": "b"}]


def test_a_remote_model_takes_parameters_and_texts():
    remote = Wanted(function=Function.REMOTE)
    assert body({"parameters": {"prompt": "a"}}, remote) == {"parameters": {"prompt": "a"}}
    assert parameters_row({"n": 1}, ["a"], remote)[0].body == {"text_docs": ["a"], "parameters": {"n": 1}}
    with pytest.raises(RowFault, match="neither parameters nor a text"):
        body({}, remote)
    with pytest.raises(RowFault, match="no parameters"):
        parameters_row({"n": 1}, [], DENSE)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "is no JSON"),
        ("3", "neither a text nor an object"),
        ('{"text": 3}', "no text at text"),
        ('{"text_docs": []}', "no list of texts"),
        ('{"text_docs": ["a", null]}', "no list of texts"),
        ('{"text": "a", "text_docs": ["b"]}', "both text and text_docs"),
        ('{"txt": "a"}', "'txt', which means nothing"),
        ('{"text": "a", "content_type": "title"}', "content_type that is none of"),
        ('{"text": "a", "id": true}', "id that is neither"),
        ('{"text": "a", "parameters": []}', "parameters that are no object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"question": "q", "context": "c"}', "'question', which means nothing"),
    ],
)
def test_a_line_that_is_no_question_says_why(line, why):
    with pytest.raises(RowFault, match=why):
        read_row(line, 1, DENSE)


def test_a_plain_line_is_a_text_whatever_it_looks_like():
    assert read_row('{"text": 3}', 1, DENSE, plain=True).body == {"text_docs": ['{"text": 3}']}


@pytest.mark.parametrize(
    ("wanted", "version", "why"),
    [
        (Wanted(function=Function.TEXT_EMBEDDING, content_type="query"), "2.12.0", "from 2.13 on"),
        (Wanted(function=Function.TEXT_EMBEDDING, content_type="query"), "2.13.0", None),
        (Wanted(function=Function.SPARSE_ENCODING, sparse_format="token_id"), "3.1.0", "from 3.2 on"),
        (Wanted(function=Function.SPARSE_ENCODING, sparse_format="word"), "2.11.0", None),
    ],
)
def test_what_a_server_would_skip_in_silence_is_told_before(wanted, version, why):
    said = wanted.too_new(version)
    assert (said is None) == (why is None)
    assert why is None or why in said


def test_options_of_another_kind_of_model_are_refused():
    assert "--content-type" in Wanted(function=Function.SPARSE_ENCODING, content_type="query").misfit()
    assert "--sparse-format" in Wanted(function=Function.TEXT_EMBEDDING, sparse_format="word").misfit()
    assert DENSE.misfit() is None


def test_a_server_names_functions_in_capitals_and_some_are_not_asked():
    assert function_of("TEXT_EMBEDDING") is Function.TEXT_EMBEDDING
    with pytest.raises(ValueError, match="kmeans"):
        function_of("KMEANS")


@given(first=st.text(), second=st.text(), model=st.text(min_size=1))
def test_two_questions_have_one_digest_only_where_they_ask_the_same(first, second, model):
    one, two = (read_row(json.dumps(text), 1, DENSE) for text in (first, second))
    assert (digest_of(model, one, DENSE) == digest_of(model, two, DENSE)) == (first == second)
    assert digest_of(model, one, DENSE) != digest_of(model + "x", one, DENSE)
    other = Wanted(function=Function.TEXT_EMBEDDING, return_bytes=True)
    assert digest_of(model, one, DENSE) != digest_of(model, read_row(json.dumps(first), 1, other), other)


def test_numbers_bytes_maps_and_shapes_are_written_as_they_came():
    results = [
        {"output": [{"name": "a", "data_type": "FLOAT32", "shape": [2], "data": [0.1, -2.5e-8]}]},
        {"output": [{"name": "output", "dataAsMap": {"response": [{"sun": 0.5}], "\ud800": 1}}], "status_code": 200},
    ]
    answer = Answer(line=3, id="x", asked="d" * 16, results=results_of({"inference_results": results}))
    assert json.loads(answer.text()) == {"line": 3, "id": "x", "asked": "d" * 16, "inference_results": results}
    assert "\n" not in answer.text()


def test_a_written_line_tells_its_question_and_whether_it_failed():
    failed = read_written(Answer(line=3, id=None, asked="d", error={"message": "no"}).text())
    assert (failed.line, failed.asked, failed.failed) == (3, "d", True)
    assert not read_written(Answer(line=3, id=None, asked="d", results=[]).text()).failed
    for other in ("", "3", "[]", '{"line": 3}', '{"line": "3", "asked": "d"}'):
        assert read_written(other) is None


def test_the_table_shows_the_heaviest_tokens_the_first_numbers_and_what_it_does_not_know():
    results = [
        {"output": [{"name": "e", "data_type": "FLOAT32", "shape": [5], "data": [1.0, 0.5, 0.25, 0.125, 2.0]}]},
        {"output": [{"name": "output", "dataAsMap": {"response": [{"b": 1.0, "a": 2.0}]}}]},
        {"output": [{"result": "the answer"}]},
        {"output": [{"name": "response", "dataAsMap": {"response": [{"message": "hello"}]}}]},
        {"strange": 1},
    ]
    found = list(table_rows("text", results))
    assert found[0] == ("text", "e", "FLOAT32", "5", "1, 0.5, 0.25, 0.125, …")
    assert found[1][4] == "a 2, b 1"
    assert found[2][4] == "the answer"
    assert json.loads(found[3][4]) == {"response": [{"message": "hello"}]}
    assert len(found) == 4
