"""A model tuned by the workflow, run with act: four jobs, a key that one of them has, a folder that a release takes."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise

import pytest
from act.rewriting import Granted
from act.running import Runner
from tiny_models import WORDS, make

from release_tool.cli import run as run_program
from release_tool.core.plan import ReleasePlan
from release_tool.documents import WorkFolder

FLOW = "tune-model.yml"
KEY = "the-key-of-a-paid-service"
JOBS = ["prepare", "queries", "train", "hand-over"]
RECIPE = """
[model]
name = "acme-search"
base = "base"
max_length = 32
[corpus]
path = "documents.jsonl"
[split]
dev = 0.15
test = 0.25
[queries]
per_document = 1
[teach]
models = []
[select]
negatives = 2
[train]
steps = 2
batch_size = 4
total_batch_size = 4
save_steps = 1
"""
DOCUMENTS = 40
WHY = "a model of two steps, in a test of the workflow; $(touch executed) `touch executed`"


def write_project(folder):
    """Write a recipe beside its documents and its base into a checkout."""
    folder.mkdir(parents=True)
    make(folder / "base", "bert", "dense", max_length=64)
    words = [word for word in dict.fromkeys(WORDS) if len(word) > 4]
    with (folder / "documents.jsonl").open("w", encoding="utf-8") as stream:
        for number in range(DOCUMENTS):
            first, second, third = (words[(number * step + step) % len(words)] for step in (1, 7, 11))
            text = (
                f"The {first} of the {second} was made in the {third}. People {third} when {second} and {first} come."
            )
            stream.write(json.dumps({"title": f"{first} {second} {number}", "text": text}) + "\n")
    (folder / "tiny.toml").write_text(RECIPE)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("tune")


def runner(place, repository, name):
    granted = Granted(
        environments={"tuning-queries": Granted(secrets={"OPENAI_API_KEY": KEY}), "tuning-gpu": Granted()}
    )
    environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return Runner(place / name, repository, granted=granted, environment=environment)


@pytest.fixture(scope="module")
def tuned(act, place, repository):
    inputs = {"recipe": "recipes/tiny.toml", "state": str(place / "state"), "accept_worse": WHY}
    return runner(place, repository, "first").run(
        FLOW, inputs=inputs, change=lambda copy: write_project(copy / "recipes")
    )


def test_every_job_succeeds_and_none_does_anothers_work(tuned):
    assert tuned.code == 0, tuned.log[-6000:]
    assert tuned.results() == dict.fromkeys(JOBS, "success")
    made = {job: set(json.loads(tuned.outputs(job)["files"])) for job in JOBS}
    for before, job in pairwise(JOBS):
        assert made[before] < made[job]
    assert not any("scratch" in path or "paid" in path for path in made["hand-over"])


def test_the_key_is_seen_by_the_step_that_has_queries_written_alone(tuned):
    saw = [(call.job, call.arguments[:2]) for call in tuned.calls if KEY in str(call.environment)]
    assert saw == [("queries", ["finetune", "run"])]
    assert {call.job: call.lock for call in tuned.calls} == {
        "prepare": "finetune", "queries": "publish", "train": "finetune", "hand-over": "finetune",
    }  # fmt: skip
    assert KEY not in "".join(path.read_text(errors="replace") for path in tuned.store.rglob("*.json*"))


def test_a_release_takes_the_folder_and_shows_the_revision_that_the_run_names(tuned, tmp_path):
    work = tmp_path / "work"
    folder = tuned.store / "tuned-model"
    assert run_program(["-q", "--work", str(work), "plan", str(folder), "--version", "1.0.0"]) == 0
    plan = WorkFolder(work).read(ReleasePlan, "plan.json", made_by="plan")
    revision = tuned.outputs("hand-over")["revision"]
    assert plan.source.revision == revision
    assert revision in tuned.jobs["hand-over"].summary
    lineage = json.loads((folder / "lineage.json").read_text())
    assert WHY in json.dumps(lineage)


def test_no_value_of_the_form_was_executed(tuned, place):
    assert not list(place.rglob("executed"))


def test_the_state_of_the_training_job_lies_where_the_form_says(tuned, place):
    (entry, *_) = sorted((place / "state" / "log").iterdir())
    assert "finetune-state-entry@1" in entry.read_text()
    assert not (place / "state" / "claim.json").exists()


@pytest.mark.parametrize(
    ("artifact", "file"), [("queries", "03-queries/queries-00000.jsonl"), ("trained", "08-train/stage.json")]
)
def test_what_was_changed_between_the_jobs_is_found_before_it_is_used(artifact, file, tuned, place, repository):
    store = place / f"store-{artifact}"
    shutil.copytree(tuned.store, store)
    path = store / artifact / file
    path.write_bytes(path.read_bytes()[:-2] + b"!\n")
    outputs = {job: tuned.outputs(job) for job in JOBS[:-1]}
    again = runner(place, repository, f"again-{artifact}").run(
        FLOW, inputs={"recipe": "recipes/tiny.toml"}, keep={"hand-over"}, outputs=outputs, store=store
    )
    assert again.code != 0
    assert f"finetune/{file} is not what its job made" in again.log
    assert [call for call in again.calls if "finetune" in call.arguments] == []
