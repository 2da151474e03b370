"""The stage queries: every provider from the recipe to the rows, killed, changed, too dear, and gone wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from killed_stages import killed_at
from query_projects import DOCUMENTS, openai
from tiny_writers import make_t5

import release_tool
from release_tool.core.finetune.records import Document, Placed
from release_tool.core.finetune.stages import Stage
from release_tool.core.finetune.writing import Answer


def test_sentences_make_queries_of_documents_of_every_split(project):
    assert project.run() == 0
    rows = project.rows()
    assert len(rows) == 2 * DOCUMENTS == project.state.counts["queries"]
    assert len({row.id for row in rows}) == len(rows)
    assert {row.document for row in rows} == {f"d{at}" for at in range(DOCUMENTS)}
    assert [row.document for row in rows] == sorted((row.document for row in rows), key=lambda name: int(name[1:]))


def test_parts_that_a_killed_run_left_and_this_one_does_not_make_are_nobodys(project):
    assert project.run() == 0
    digest, folder = project.state.digest, project.kept.folder(Stage.QUERIES)
    (folder / "stage.json").unlink()
    shutil.copy(folder / "queries-00000.jsonl", folder / "queries-00007.jsonl")
    assert project.run() == 0
    assert project.state.digest == digest


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
