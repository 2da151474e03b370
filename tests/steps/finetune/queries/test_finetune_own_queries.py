"""Queries that people give themselves, with or without judgements: taken, counted, or refused by line."""

from __future__ import annotations

import json

import pytest

from release_tool.core.finetune.records import Judgement, Query


def own(project, lines, qrels=None):
    (project.folder / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    keys = 'provider = "file"\npath = "own.jsonl"\n'
    if qrels is not None:
        (project.folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
        keys += 'qrels = "qrels.tsv"\n'
    return keys


def test_own_queries_get_the_best_judged_document(project):
    lines = [
        {"_id": "q1", "text": "turbine"},
        {"id": 2, "query": "orchid\nbed"},
        {"id": "q3", "anchor": "x"},
        {"text": "turbine"},
    ]
    qrels = "q1\td1\t1\nq1\td2\t2\nq1\td3\t2\nq1\td4\t0\nq1\tgone\t2\n2\td5\t1\nq3\td6\t0\nq9\td1\t1\n"
    assert project.run(own(project, lines, qrels)) == 0
    assert project.rows() == [
        Query(id="q1", text="turbine", document="d2"),
        Query(id="2", text="orchid bed", document="d5"),
    ]
    assert project.rows(Judgement) == [
        Judgement(query="q1", document="d1", grade=1),
        Judgement(query="q1", document="d2", grade=2),
        Judgement(query="q1", document="d3", grade=2),
        Judgement(query="q1", document="d4", grade=0),
        Judgement(query="2", document="d5", grade=1),
    ]
    assert project.state.counts == {
        "queries": 2, "without_document": 1, "judgements": 5, "doubles": 1, "judgements_of_unknown": 2
    }  # fmt: skip


def test_own_queries_may_name_their_document(project):
    assert project.run(own(project, [{"text": "turbine", "document": "d3"}])) == 0
    assert [row.document for row in project.rows()] == ["d3"]


@pytest.mark.parametrize("name", ["x" * 512, "a\u00a0b\u200d"])
def test_own_queries_may_name_any_document_that_the_corpus_takes(project, name):
    with (project.folder / "documents.jsonl").open("a") as stream:
        stream.write(json.dumps({"id": name, "text": "A heron stands in the reeds of a silent marsh."}) + "\n")
    assert project.run(own(project, [{"text": "heron", "document": name}])) == 0
    assert [row.document for row in project.rows()] == [name]


@pytest.mark.parametrize(
    ("lines", "qrels", "said"),
    [
        ([{"text": "turbine", "document": "x" * 513}], None, "line 1: its document is no id of 1 to 512 characters"),
        ([{"text": "turbine", "id": "x" * 201}], None, "line 1: its id is no text of 1 to 200 printable characters"),
        ([{"text": "turbine"}], None, "None of the 1 own queries has a document"),
        ([{"id": "q1", "text": "turbine"}], "q1\tgone\t1\n", "None of the 1 own queries has a document"),
        ([{"text": " "}], None, "line 1: it has no text of 1 to 512 characters"),
        ([["turbine"]], None, "line 1: it is no JSON object"),
        ([{"id": "q", "text": "a"}, {"id": "q", "text": "b"}], None, "line 2: the id q is given twice"),
        ([{"id": "q", "text": "a"}], "q\td1\tmuch\n", "line 2: its score is no whole number"),
        ([{"id": "q", "text": "a"}], "q\td1\t1\nq\td1\t2\n", "line 3: the same pair has another grade"),
    ],
)
def test_own_queries_that_are_no_use_are_refused(project, capsys, lines, qrels, said):
    assert project.run(own(project, lines, qrels)) == 2
    assert said in " ".join(capsys.readouterr().err.split())
