"""A model tuned by the workflow, run with act: a key that one job has, a folder that a release takes, and its start."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise

import pytest
from act.rewriting import Granted
from act.running import REPOSITORY, RUN_ID, Runner
from chat_double import MODEL, ChatDouble
from github_double.git import Git
from github_double.server import TOKEN, GitHubDouble
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
PAID = """
[queries]
provider = "openai"
endpoint = "{endpoint}"
model = "{model}"
per_document = 1
parallel = 1
"""
DOCUMENTS = 40
ANSWERED = 11
"""Questions that are answered before the service refuses the rest."""
RELEASE = {
    "release_model": "acme/search",
    "release_version": "1.2.0",
    "release_target": "production",
    "release_description": "Finds `things`; $(touch executed)",
}
WHY = "a model of two steps, in a test of the workflow; $(touch executed) `touch executed`"


def write_project(folder, recipe=RECIPE):
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
    (folder / "tiny.toml").write_text(recipe)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("tune")


@pytest.fixture(scope="module")
def github(place, repository):
    flow = ".github/workflows/release-model.yml"
    git = Git.made(place / "github", {flow: (repository / flow).read_bytes()})
    with GitHubDouble(git, REPOSITORY) as running:
        yield running


@pytest.fixture(scope="module")
def chat():
    with ChatDouble(key=KEY) as running:
        yield running


def runner(place, repository, name, *, attempt=1, **environment):
    environments = {"tuning-queries": Granted(secrets={"OPENAI_API_KEY": KEY})}
    granted = Granted(secrets={"GITHUB_TOKEN": TOKEN}, environments={**environments, "tuning-gpu": Granted()})
    environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **environment}
    return Runner(place / name, repository, granted=granted, environment=environment, attempt=attempt)


@pytest.fixture(scope="module")
def tuned(act, place, repository, github):
    inputs = {"recipe": "recipes/tiny.toml", "state": str(place / "state"), "accept_worse": WHY, **RELEASE}
    return runner(place, repository, "first", GITHUB_API_URL=github.address).run(
        FLOW, inputs=inputs, change=lambda copy: write_project(copy / "recipes")
    )


def test_every_job_succeeds_and_none_does_anothers_work(tuned):
    assert tuned.code == 0, tuned.log[-6000:]
    assert tuned.results() == dict.fromkeys([*JOBS, "release"], "success")
    made = {job: set(json.loads(tuned.outputs(job)["files"])) for job in JOBS}
    for before, job in pairwise(JOBS):
        assert made[before] < made[job]
    assert not any("scratch" in path or "paid" in path for path in made["hand-over"])


def test_the_key_is_seen_by_the_step_that_has_queries_written_alone(tuned):
    saw = [(call.job, call.arguments[:2]) for call in tuned.calls if KEY in str(call.environment)]
    assert saw == [("queries", ["finetune", "run"])]
    assert {call.job: call.lock for call in tuned.calls} == {
        "prepare": "finetune", "queries": "publish", "train": "finetune", "hand-over": "finetune", "release": "publish",
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


def test_the_release_is_started_once_with_the_run_and_the_revision_that_was_handed_over(tuned, github, tmp_path):
    (started,) = github.runs
    assert started["path"] == ".github/workflows/release-model.yml"
    assert started["head_branch"] == "main"
    assert started["inputs"] == {
        "model": "acme/search", "version": "1.2.0", "upload_target": "production", "kind": "auto", "format": "both",
        "description": "Finds `things`; $(touch executed)", "tune_run_id": RUN_ID,
        "revision": tuned.outputs("hand-over")["revision"],
    }  # fmt: skip
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"inputs": started["inputs"], "sender": {"login": "github-actions[bot]"}}))
    planning = ["-q", "--work", str(tmp_path / "work"), "plan", "--event", str(event)]
    assert run_program([*planning, "--tuned-model", str(tuned.store / "tuned-model")]) == 0


def test_only_the_job_that_starts_the_release_knows_the_token_of_the_run(tuned):
    assert {call.job for call in tuned.calls if TOKEN in call.environment.values()} == {"release"}


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


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"accept_worse": "another reason, of another person"}, "accepted for another reason"),
        ({"store": "lineage.json"}, "10-hand-over/model/lineage.json is not what its job made"),
        ({"store": None}, "Artifact not found"),
    ],
    ids=["reason", "folder", "nothing"],
)
def test_what_was_not_handed_over_so_is_not_released(changed, says, tuned, place, repository, github):
    before, store = len(github.runs), place / f"release-{says[:8]}"
    shutil.copytree(tuned.store, store)
    if changed.get("store"):
        path = store / "tuned-model" / changed["store"]
        path.write_bytes(path.read_bytes() + b" ")
    elif "store" in changed:
        shutil.rmtree(store / "tuned-model")
    inputs = {"recipe": "recipes/tiny.toml", "accept_worse": changed.get("accept_worse", WHY), **RELEASE}
    outputs = {job: tuned.outputs(job) for job in JOBS}
    again = runner(place, repository, f"release-of-{says[:8]}", GITHUB_API_URL=github.address).run(
        FLOW, inputs=inputs, keep={"release"}, outputs=outputs, store=store
    )
    assert again.code != 0
    assert says in again.log
    assert len(github.runs) == before


# ---------------------------------------------------------------------------------------------------------------------
# What was paid for


@pytest.fixture(scope="module")
def broken_off(act, place, repository, chat):
    """Return a run whose service refuses to go on after some answers, and what brings its recipe into a copy."""
    recipe = RECIPE.replace("\n[queries]\nper_document = 1\n", PAID.format(endpoint=chat.endpoint, model=MODEL))
    chat.fault("POST", after=ANSWERED, times=1000, status=403, body='{"error": {"message": "billing_hard_limit"}}')
    inputs = {"recipe": "recipes/tiny.toml"}

    def change(copy):
        write_project(copy / "recipes", recipe)

    run = runner(place, repository, "broken-off").run(
        FLOW, inputs=inputs, keep={"prepare", "queries"}, outputs={}, change=change
    )
    chat.faults.clear()
    return run, change, len(chat.asked)


@pytest.fixture(scope="module")
def second_attempt(broken_off, place, repository):
    first, change, _ = broken_off
    return runner(place, repository, "second-attempt", attempt=2).run(
        FLOW, inputs={"recipe": "recipes/tiny.toml"}, keep={"queries"}, outputs={"prepare": first.outputs("prepare")},
        store=first.store, change=change,
    )  # fmt: skip


def test_what_a_failed_job_has_paid_for_is_kept(broken_off):
    first, _, asked = broken_off
    assert first.results() == {"prepare": "success", "queries": "failure"}, first.log[-4000:]
    assert asked == ANSWERED
    assert len([*(first.store / "paid" / "openai").rglob("*.json")]) == ANSWERED
    assert not (first.store / "queries").exists()


def test_a_second_attempt_asks_for_the_rest_alone(broken_off, second_attempt, chat):
    assert second_attempt.results()["queries"] == "success", second_attempt.log[-4000:]
    assert len(chat.prompts()) == len(set(chat.prompts())) > ANSWERED
    # What it hands on is as a job makes it that never failed, and holds nothing of what was paid for.
    made = json.loads(second_attempt.outputs("queries")["files"])
    assert not any("paid" in path for path in made)
    assert len([*(second_attempt.store / "paid" / "openai").rglob("*.json")]) == len(chat.asked)


def test_another_run_takes_over_what_an_earlier_one_has_paid_for_and_asks_nothing(
    broken_off, second_attempt, chat, place, repository
):
    first, change, _ = broken_off
    asked = len(chat.asked)
    another = runner(place, repository, "another-run").run(
        FLOW, inputs={"recipe": "recipes/tiny.toml", "paid_run_id": "4710"}, keep={"queries"},
        outputs={"prepare": first.outputs("prepare")}, store=second_attempt.store, change=change,
    )  # fmt: skip
    assert another.results()["queries"] == "success", another.log[-4000:]
    assert len(chat.asked) == asked
    files = [json.loads(run.outputs("queries")["files"]) for run in (another, second_attempt)]
    rows = [{path: sha for path, sha in made.items() if "/queries-" in path} for made in files]
    assert rows[0] == rows[1] != {}


def test_what_is_no_answer_among_what_was_paid_for_ends_the_job(second_attempt, broken_off, place, repository, chat):
    store = place / "store-paid"
    shutil.copytree(second_attempt.store, store)
    (store / "paid" / "openai" / "run.py").write_text("import os")
    asked = len(chat.asked)
    again = runner(place, repository, "again-paid", attempt=3).run(
        FLOW, inputs={"recipe": "recipes/tiny.toml"}, keep={"queries"}, store=store,
        outputs={"prepare": broken_off[0].outputs("prepare")}, change=broken_off[1],
    )  # fmt: skip
    assert again.code != 0
    assert "finetune/paid/openai/run.py was made by no job" in again.log
    assert len(chat.asked) == asked
    # Nor is what was paid for replaced by less.
    assert (again.store / "paid" / "openai" / "run.py").is_file()
