"""The stage queries: every provider from the recipe to the rows, killed, changed, too dear, and gone wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from chat_double import KEY, MODEL, ChatDouble
from killed_stages import killed_at
from model_files import Files, dense
from tiny_writers import make_t5

import release_tool
from release_tool.cli import run
from release_tool.core.finetune.records import Document, Judgement, Placed, Query
from release_tool.core.finetune.stages import Stage
from release_tool.core.finetune.writing import Answer
from release_tool.part_files import read_rows
from release_tool.run_folder import RunFolder

DOCUMENTS = 40
THINGS = ("turbine", "orchid", "glacier", "violin", "compiler", "volcano", "enzyme", "cathedral")


@dataclass
class Project:
    """A folder with documents, and its runs."""

    folder: Path

    def recipe(self, queries="", more=""):
        path = self.folder / "recipe.toml"
        path.write_text(
            '[model]\nname = "acme"\nbase = "base"\n[corpus]\npath = "documents.jsonl"\n'
            "[split]\ndev = 0.2\ntest = 0.2\n"
            f"[teach]\nmodels = []\n[queries]\nper_document = 2\n{queries}\n{more}"
        )
        return path

    def finetune(self, *words):
        return run(["-q", "--work", str(self.folder / "work"), "finetune", *words])

    def run(self, queries="", more=""):
        return self.finetune("run", "--recipe", str(self.recipe(queries, more)), "--to", "queries")

    @property
    def kept(self):
        return RunFolder.below(self.folder / "work")

    def rows(self, cls=Query, stage=Stage.QUERIES):
        return list(read_rows(self.kept.folder(stage), cls))

    @property
    def state(self):
        return self.kept.finished(Stage.QUERIES)


@pytest.fixture
def project(tmp_path):
    Files(dense()).write(tmp_path / "base")
    lines = [
        json.dumps(
            {
                "id": f"d{at}",
                "text": f"The {THINGS[at % 8]} number {at} of the {THINGS[at // 5]} was measured. "
                f"Its {THINGS[(at * 3) % 8]} density rises with temperature {at}.",
            }
        )
        for at in range(DOCUMENTS)
    ]
    (tmp_path / "documents.jsonl").write_text("\n".join(lines) + "\n")
    return Project(tmp_path)


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatDouble() as found:
        yield found


def openai(service, **keys):
    found = {"provider": "openai", "endpoint": service.endpoint, "model": MODEL} | keys
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in found.items())


def test_sentences_make_queries_of_documents_of_every_split(project):
    assert project.run() == 0
    rows = project.rows()
    assert len(rows) == 2 * DOCUMENTS == project.state.counts["queries"]
    assert len({row.id for row in rows}) == len(rows)
    assert {row.document for row in rows} == {f"d{at}" for at in range(DOCUMENTS)}
    assert [row.document for row in rows] == sorted((row.document for row in rows), key=lambda name: int(name[1:]))


def test_the_number_of_documents_and_of_queries_is_the_recipes(project):
    assert project.run("documents = 10") == 0
    split_of = {row.id: row.split for row in project.rows(Placed, Stage.SPLIT)}
    asked = {row.document for row in project.rows()}
    assert len(asked) == 10
    assert {split_of[name] for name in asked} == {"train", "dev", "test"}
    text = (project.folder / "recipe.toml").read_text().replace("per_document = 2", "per_document = 1")
    (project.folder / "recipe.toml").write_text(text)
    assert project.finetune("run", "--recipe", str(project.folder / "recipe.toml"), "--to", "queries") == 0
    assert len(project.rows()) == 10
    assert {row.document for row in project.rows()} == asked


def test_near_duplicates_are_asked_about_once(project):
    path = project.folder / "documents.jsonl"
    first = json.loads(path.read_text().splitlines()[0])
    path.write_text(path.read_text() + json.dumps(first | {"id": "again"}) + "\n")
    assert project.run() == 0
    assert len({row.document for row in project.rows()}) == DOCUMENTS
    assert "again" not in {row.document for row in project.rows()}


def test_a_service_is_asked_for_as_many_as_the_recipe_says(project, service):
    assert project.run(openai(service)) == 0
    assert len(service.asked) == DOCUMENTS
    assert all("Write 2 search queries" in prompt for prompt in service.prompts())
    assert len(project.rows()) == 2 * DOCUMENTS
    assert project.state.counts["tokens_out"] == 20 * DOCUMENTS
    assert project.state.dollars == 0


def test_the_cost_is_that_of_the_answers_also_of_those_paid_for_before(project, service):
    prices = {"dollars_in": 1.0, "dollars_out": 10.0, "max_dollars": 5.0}
    assert project.run(openai(service, **prices)) == 0
    counts, dollars = project.state.counts, project.state.dollars
    assert dollars == pytest.approx((counts["tokens_in"] + 10 * counts["tokens_out"]) / 1e6)
    assert dollars > 0
    assert project.finetune("queries", "--again") == 0
    assert len(service.asked) == DOCUMENTS
    assert project.state.dollars == dollars


def test_the_order_of_the_answers_changes_nothing(project, service):
    assert project.run(openai(service, parallel=1)) == 0
    before = project.state.digest
    service.fault("chat", times=9, after=3, wait=0.05)
    (project.folder / "work" / "finetune" / "paid").rename(project.folder / "put away")
    assert project.run(openai(service, parallel=16)) == 0
    assert project.finetune("queries", "--again") == 0
    assert len(service.asked) == 2 * DOCUMENTS
    assert project.state.digest == before


def test_killed_anywhere_and_run_again_nothing_stored_is_asked_twice(project, service, tmp_path):
    assert (
        project.finetune(
            "run", "--recipe", str(project.recipe(openai(service, documents=3, parallel=1))), "--to", "split"
        )
        == 0
    )
    (project.folder / "start").mkdir()
    (project.folder / "work").rename(project.folder / "start" / "work")
    words = ["-q", "--work", "{place}/work", "finetune", "run", "--to", "queries"]
    said = killed_at(
        words, words, tmp_path / "runs", points=[*range(0, 200, 2), 999], start=project.folder / "start",
        imports=("release_tool.steps.finetune.queries", "requests"),
    )  # fmt: skip
    assert len(said) > 10
    digests = {json.dumps(one["digests"], sort_keys=True) for one in said}
    assert len(digests) == 1
    assert "queries" in said[0]["digests"]
    # Of each killed run one answer at most was on its way into the store.
    assert 3 * len(said) <= len(service.asked) <= 4 * len(said)


def test_killed_while_many_are_asked_at_once_the_next_run_asks_only_what_is_not_stored(project, service):
    project.recipe(openai(service, parallel=8))
    assert project.finetune("run", "--recipe", str(project.folder / "recipe.toml"), "--to", "split") == 0
    service.slow = 0.05
    command = [
        sys.executable,
        "-m",
        "release_tool",
        "-q",
        "--work",
        str(project.folder / "work"),
        "finetune",
        "queries",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(release_tool.__file__).parent.parent)}
    with subprocess.Popen(command, env=environment) as process:
        paid = project.kept.path / "paid" / "openai"
        while sum(1 for _ in paid.rglob("*.json")) < 10:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    while service.at_once:
        time.sleep(0.01)
    stored = sum(1 for _ in paid.rglob("*.json"))
    before = len(service.asked)
    assert project.finetune("queries") == 0
    assert len(service.asked) - before == DOCUMENTS - stored
    assert len(project.rows()) == 2 * DOCUMENTS


def test_an_estimate_above_the_budget_is_refused_by_the_plan(project, service, capsys):
    assert project.run(openai(service, dollars_in=3.0, dollars_out=15.0, max_dollars=0.01)) == 2
    said = capsys.readouterr().err
    assert f"{DOCUMENTS} questions" in said
    assert "the recipe allows 0.01" in said
    assert service.asked == []


def test_the_stage_reckons_again_with_the_documents_themselves(project, service, capsys):
    assert project.run(openai(service, dollars_in=3.0, max_dollars=5.0, documents=5)) == 0
    plan = project.kept.plan()
    section = plan.recipe.queries
    object.__setattr__(section, "max_dollars", 0.0)
    project.kept.write_plan(plan)
    assert project.finetune("queries", "--again") == 2
    assert "5 questions" in capsys.readouterr().err


def test_the_budget_is_kept_while_the_stage_runs_and_what_was_paid_for_is_kept(project, service, capsys):
    service.usage = {"prompt_tokens": 20_000, "completion_tokens": 0}
    keys = {"dollars_in": 1.0, "dollars_out": 1.0, "parallel": 1}
    assert project.run(openai(service, max_dollars=0.1, **keys)) == 2
    assert "budget is reached" in capsys.readouterr().err
    asked = len(service.asked)
    assert asked == 5
    assert project.run(openai(service, max_dollars=1.0, **keys)) == 0
    assert len(service.asked) == DOCUMENTS
    assert project.state.dollars == pytest.approx(0.8)


def test_too_many_documents_without_an_answer_fail_the_stage_with_the_commonest_reasons(project, service, capsys):
    service.fault("chat", times=6, status=400, body='{"error": {"code": "content_filter"}}')
    assert project.run(openai(service, max_error_rate=0.1, parallel=1)) == 10
    said = capsys.readouterr().err
    assert "5 of 40 documents" in said
    assert "status 400, content_filter (5)" in said
    service.faults.clear()
    service.fault("chat", status=400, body='{"error": {"code": "content_filter"}}')
    assert project.run(openai(service, max_error_rate=0.5, parallel=1)) == 0
    assert project.state.counts["without: status 400, content_filter"] == 1


def test_documents_of_which_nothing_can_be_made_are_counted_or_fail_the_stage(project, capsys):
    path = project.folder / "documents.jsonl"
    path.write_text(
        path.read_text() + "".join(json.dumps({"text": word}) + "\n" for word in ("of", "the and", "is", "..."))
    )
    assert project.run("max_error_rate = 0.01") == 2
    assert "nothing to make a query of" in capsys.readouterr().err
    assert project.run("max_error_rate = 0.2") == 0
    assert project.state.counts["without_queries"] == 4


def test_an_error_ends_those_who_ask_before_it_is_told(project, monkeypatch, capsys):
    told = []

    class Writer:
        def answers(self, questions):
            try:
                yield from (Answer(id=one.id, raw=None, error="no answer") for one in questions)
            finally:
                told.append(capsys.readouterr().err)

    monkeypatch.setattr("release_tool.steps.finetune.writers.writer_of", lambda *_: Writer())
    assert project.run() == 2
    assert told == [""]
    assert "no answer" in capsys.readouterr().err


def test_plan_says_what_a_run_will_take(project, service):
    keys = {"dollars_in": 1.0, "dollars_out": 10.0, "max_dollars": 5.0, "documents": 20}
    assert project.finetune("plan", "--recipe", str(project.recipe(openai(service, **keys)))) == 0
    estimates = project.kept.plan().estimates
    assert (estimates["documents"], estimates["questions"], estimates["queries"]) == (DOCUMENTS, 20, 40)
    assert estimates["bytes"] == (project.folder / "documents.jsonl").stat().st_size
    assert estimates["teacher_pairs"] == 0
    assert project.finetune("run", "--to", "queries") == 0
    assert estimates["tokens_in"] == pytest.approx(project.state.counts["tokens_in"], rel=0.5)
    assert estimates["dollars"] > 0


def test_plan_says_that_there_is_no_price_and_that_a_budget_in_dollars_holds_nothing_then(project, service, capsys):
    words = ("plan", "--recipe", str(project.recipe(openai(service))))
    assert project.finetune(*words) == 0
    found = capsys.readouterr()
    assert re.search(r"^dollars +none: the recipe names no price$", found.out, re.MULTILINE)
    assert "bounds nothing" not in found.err
    assert project.finetune(*words, "--max-dollars", "5") == 0
    assert "--max-dollars bounds nothing" in capsys.readouterr().err


def test_an_own_prompt_is_used_and_examples_stand_in_it(project, service):
    (project.folder / "prompt.txt").write_text("Write {n} like\n{examples}\nof {document} as {{}}")
    (project.folder / "examples.jsonl").write_text('{"query": "how hot is it"}\n\n{"anchor": "why so hot"}\n')
    assert project.run(openai(service, prompt="prompt.txt", examples="examples.jsonl")) == 0
    assert all("- how hot is it\n- why so hot" in prompt and prompt.endswith("as {}") for prompt in service.prompts())


def test_a_prompt_and_examples_may_lie_in_s3_and_are_pinned_there(project, service, s3, capsys):
    bucket = s3.make_bucket()
    s3.client().put_object(Bucket=bucket, Key="in/p.txt", Body=b"Write {n} like {examples} of {document}")
    s3.client().put_object(Bucket=bucket, Key="in/e.jsonl", Body=b'{"text": "how hot is it"}\n')
    recipe = openai(service, prompt=f"s3://{bucket}/in/p.txt", examples=f"s3://{bucket}/in/e.jsonl")
    assert project.run(recipe) == 0
    assert all("- how hot is it" in prompt for prompt in service.prompts())
    s3.client().put_object(Bucket=bucket, Key="in/e.jsonl", Body=b'{"text": "how cold is it"}\n')
    assert project.finetune("queries", "--again") == 7
    assert "is not what it was when the run was planned" in capsys.readouterr().err
    assert project.run(openai(service, prompt=f"s3://{bucket}/in/none.txt")) == 10
    assert project.run(openai(service, prompt=f"s3://{bucket}/")) == 2


@pytest.mark.parametrize(
    ("prompt", "examples", "said"),
    [
        ("{n}", "", "does not hold {document}"),
        ("{n} {document} {examlpes}", "", "did you mean examples?"),
        ("{n} {document}", '{"text": "a query"}\n', "would go nowhere"),
        ("{n} {document} {examples}", "no json\n", "examples.jsonl, line 1: it is no JSON object"),
        ("{n} {document} {examples}", "\n\n", "holds no query"),
    ],
)
def test_a_wrong_prompt_is_refused_by_the_plan(project, service, capsys, prompt, examples, said):
    (project.folder / "prompt.txt").write_text(prompt)
    (project.folder / "examples.jsonl").write_text(examples)
    keys = {"prompt": "prompt.txt"} | ({"examples": "examples.jsonl"} if examples else {})
    recipe = project.recipe(openai(service, **keys))
    assert project.finetune("plan", "--recipe", str(recipe)) == 2
    assert said in capsys.readouterr().err


def test_a_prompt_that_was_changed_after_the_plan_is_refused(project, service, capsys):
    (project.folder / "prompt.txt").write_text("Write {n} of {document}")
    assert (
        project.finetune("run", "--recipe", str(project.recipe(openai(service, prompt="prompt.txt"))), "--to", "split")
        == 0
    )
    (project.folder / "prompt.txt").write_text("Write {n} more of {document}")
    assert project.finetune("queries") == 7
    assert "is not what it was when the run was planned" in capsys.readouterr().err
    assert service.asked == []


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


def test_a_model_of_this_machine_writes_and_is_pinned(project):
    make_t5(project.folder / "writer")
    keys = 'provider = "local"\nmodel = "writer"\ndocuments = 3\nmax_error_rate = 1.0\nmax_tokens = 16'
    assert project.run(keys) == 0
    state = project.state
    assert state.counts["documents"] == 3
    assert state.counts["queries"] + state.counts["without_queries"] > 0
    assert "torch" in state.versions
    assert project.kept.plan().pins["writer"].startswith("local/writer@sha256:")


def test_the_texts_of_a_run_are_in_documents_and_queries_only(project):
    assert project.run() == 0
    folder = project.kept.folder(Stage.QUERIES)
    assert sorted(path.name for path in folder.iterdir()) == ["begun", "queries-00000.jsonl", "stage.json"]
    words = {row.text for row in project.rows(Document, Stage.CORPUS)}
    assert not any(text in (folder / "stage.json").read_text() for text in words)
