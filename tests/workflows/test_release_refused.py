"""What the workflows must not do, and what they do over what is released: executed with act, from the job it is about.

A run begins at any job with the artifacts and outputs of an earlier run. What act does not enforce, the form's choices
and the environments, is enforced by the tool and by the roles, as these runs show.
"""

from __future__ import annotations

import json
import shutil

import pytest
from act.releasing import MODEL, PAYLOADS, VERSION, add_model, done, exit_codes, mark, touched, without_node
from act.rewriting import Granted, load
from act.running import REPOSITORY
from act.world import TARGET, running_world
from github_double.server import tuning_run
from publications import another

from release_tool.cli import run as run_program
from release_tool.core.codec import decode_text
from release_tool.core.plan import ReleasePlan

FLOW = "release-model.yml"
FORM = {"model": MODEL, "version": VERSION, "upload_target": TARGET, "format": "torch_script"}


@pytest.fixture(scope="module")
def world(act, s3_server, repository, tmp_path_factory):
    with running_world(tmp_path_factory.mktemp("world"), repository) as running:
        add_model(running)
        yield running


@pytest.fixture(scope="module")
def planned(world):
    """Return a run that ends with the plan."""
    run = world.runner().run(FLOW, inputs=FORM, keep={"plan"})
    assert run.code == 0, run.log[-4000:]
    return run


@pytest.fixture(scope="module")
def before(world, planned):
    """Publish other bytes under the keys of the plan; return what the bucket holds then."""
    plan = decode_text(ReleasePlan, (planned.store / "plan" / "plan.json").read_text())
    folder = world.folder / "before"
    config = json.loads((world.folder / "model-0" / "config.json").read_text())
    digest = another(folder, plan=plan, model_config=config)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in world.s3.environment().items():
            patch.setenv(name, value)
        assert run_program(["--work", str(folder), "-q", "publish", "--approved", digest]) == 0
    return world.objects()


@pytest.fixture(scope="module")
def overwritten(world, before):
    """Return a run that replaces what is released, for whose build Jenkins has no luck."""
    add_model(world, seed=1)
    world.proxy.reset()
    world.issuer.asked.clear()
    world.jenkins.job.fates.append("FAILURE")
    run = world.runner().run(FLOW, inputs={**FORM, "overwrite": True}, change=without_node)
    return run, world.writers(), list(world.issuer.asked)


def publish_again(world, overwritten, *, change=None, spoil=None, attempt=1, **outputs):
    """Run the jobs from publish on, with the artifacts and outputs of the run before."""
    run = overwritten[0]
    store = world.folder / "changed"
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(run.store, store)
    if spoil:
        spoil(store)
    handed = done(run)
    for name, over in outputs.items():
        handed[name] = {**handed[name], **over}
    world.proxy.reset()
    runner = world.runner(attempt=attempt)
    return runner.run(FLOW, inputs=FORM, keep={"publish"}, outputs=handed, store=store, change=change)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


# ---------------------------------------------------------------------------------------------------------------------
# The form


def test_choices_that_a_form_does_not_offer_and_texts_that_a_shell_would_run_are_refused_by_the_plan(world):
    form = load(world.checkout / ".github" / "workflows" / FLOW)["on"]["workflow_dispatch"]["inputs"]
    payload = " ".join(PAYLOADS).format(mark=mark(world))
    # A fine-tuning run's id goes to an action; what that run has left is not there, and the job would end before.
    inputs = {name: payload for name, about in form.items() if about["type"] == "string" and name != "tune_run_id"}
    inputs |= {name: "nonsense" for name, about in form.items() if about["type"] == "choice"}
    run = world.runner().run(FLOW, inputs=inputs, keep={"plan", "check", "fetch"})
    assert run.results() == {"plan": "failure"}
    assert exit_codes(run, "plan") == [2]
    for name, about in form.items():
        if about["type"] == "choice" and name != "accept_licence":
            assert f"--{name.replace('_', '-')}" in run.jobs["plan"].log, name
    assert not touched(world)
    assert run.outputs("plan")["target"] == ""


def test_a_version_that_is_taken_ends_the_run_before_anything_is_fetched(world, planned, before):
    world.proxy.reset()
    run = world.runner().run(FLOW, inputs=FORM, keep={"check", "fetch"}, outputs=done(planned), store=planned.store)
    assert run.results() == {"plan": "success", "check": "failure"}
    assert exit_codes(run, "check") == [3]
    assert "is taken" in run.jobs["check"].log
    assert not world.writers()
    assert world.readers() == {f"bucket-read-{TARGET}"}


def test_a_fine_tuned_model_is_taken_from_its_run_and_from_no_hub(world):
    store = world.folder / "tuned"
    shutil.copytree(world.folder / "model-0", store / "tuned-model")
    asked = len(world.hub.requests)
    world.github.runs.append(tuning_run(REPOSITORY, 4712))
    form = {**FORM, "model": "acme/tuned", "tune_run_id": "4712"}
    run = world.runner().run(FLOW, inputs=form, keep={"plan", "check", "fetch"}, store=store)
    assert run.results() == dict.fromkeys(("plan", "check", "fetch"), "success"), run.log[-4000:]
    plan = json.loads((run.store / "plan" / "plan.json").read_text())
    assert plan["source"]["origin"] == "folder"
    assert plan["source"]["model_id"] == "acme/tuned"
    assert (run.store / "snapshot" / "model.safetensors").is_file()
    assert len(world.hub.requests) == asked
    path = f"/repos/{REPOSITORY}/actions/runs/4712"
    assert [one.path for one in world.github.requests].count(path) == 1, "check has looked at the run"


# ---------------------------------------------------------------------------------------------------------------------
# Over what is released, while Jenkins fails


def test_an_overwrite_replaces_exactly_what_was_planned_by_the_role_that_may(world, overwritten, before):
    run, writers, asked = overwritten
    assert run.results() == {
        **dict.fromkeys(
            (
                *("plan", "check", "fetch", "answer", "trace-torch-script/trace", "trace-torch-script/validate"),
                *("quality", "node"),
            ),
            "success",
        ),
        **dict.fromkeys(("review", "approval", "second-approval", "publish/publish"), "success"),
        "publish/notify": "failure",
        "publish/record": "success",
        "publish/propose": "success",
    }, run.log[-6000:]
    assert writers == {f"overwrite-{TARGET}"}
    assert asked == [f"bucket-read-{TARGET}", f"overwrite-{TARGET}", "jenkins"]
    changed = {key for key, data in world.objects().items() if before.get(key, data) != data}
    assert {key for key in changed if key.startswith("ml-models/")} == {
        key for key in before if key.startswith("ml-models/") and "/torch_script/" in key
    }


def test_a_release_that_jenkins_did_not_serve_is_recorded_with_that_outcome(world, overwritten):
    run = overwritten[0]
    assert exit_codes(run, "publish/notify") == [10]
    pull = world.github.pulls[-1]
    ledger = world.github.git.files(pull["head"]["ref"])["supported_models.json"].decode()
    assert "FAILURE" in ledger
    assert run.outputs("review")["digest"] in ledger
    assert run.code != 0, "and the run is red all the same"


# ---------------------------------------------------------------------------------------------------------------------
# Between the jobs


def test_an_artifact_that_was_changed_after_its_job_is_not_published(world, overwritten):
    def spoil(store):
        (archive,) = (store / "archives-torch-script").glob("*.zip")
        flip(archive)

    run = publish_again(world, overwritten, spoil=spoil)
    assert run.jobs["publish/publish"].result == "failure"
    assert exit_codes(run, "publish/publish") == [7]
    assert "publish/notify" not in run.jobs
    assert not world.proxy.log, "nobody has even asked the bucket"


def test_a_file_that_no_job_made_ends_the_job_that_finds_it(world, overwritten):
    run = publish_again(world, overwritten, spoil=lambda store: (store / "review" / "more.json").write_text("{}"))
    assert exit_codes(run, "publish/publish") == [7]
    assert "more.json was made by no job" in run.jobs["publish/publish"].log
    assert not world.proxy.log


def test_another_digest_than_the_reviewed_one_is_not_published(world, overwritten):
    run = publish_again(world, overwritten, review={"digest": "0" * 64})
    assert exit_codes(run, "publish/publish") == [7]
    assert not world.writers()


def test_a_job_of_another_environment_does_not_get_the_role_that_publishes(world, overwritten):
    role = world.roles[f"overwrite-{TARGET}"]
    world.granted.environments["elsewhere"] = Granted(variables={"AWS_ROLE": role, "AWS_REGION": "us-east-1"})

    def change(copy):
        path = copy / ".github" / "workflows" / "publish.yml"
        text = path.read_text(encoding="utf-8")
        assert text.count("environment: ${{ inputs.environment }}") == 1
        path.write_text(text.replace("environment: ${{ inputs.environment }}", "environment: elsewhere"))

    run = publish_again(world, overwritten, change=change)
    assert run.jobs["publish/publish"].result == "failure"
    assert "Could not assume role with OIDC" in run.jobs["publish/publish"].log
    assert [call.arguments[0] for call in run.calls] == ["verify"]
    assert not world.proxy.log


def test_a_target_that_serves_nobody_is_published_to_and_neither_notified_nor_recorded(world, overwritten):
    """Here the same digest goes where it lies already: that is no second release."""
    there, builds, pulls = world.objects(), world.jenkins.started, len(world.github.pulls)
    run = publish_again(world, overwritten, plan={"serves": "false", "jenkins": "false"})
    assert run.jobs["publish/publish"].result == "success", run.log[-4000:]
    assert set(run.jobs) & {"publish/notify", "publish/record", "publish/propose"} == set()
    assert world.objects() == there
    assert (world.jenkins.started, len(world.github.pulls)) == (builds, pulls)
    assert json.loads(run.outputs("publish/publish")["files"])


def test_a_snapshot_that_was_changed_after_it_was_fetched_is_not_asked(world, overwritten):
    run = overwritten[0]
    store = world.folder / "snapshot-store"
    shutil.copytree(run.store, store)
    flip(store / "snapshot" / "model.safetensors")
    run = world.runner().run(FLOW, inputs=FORM, keep={"answer"}, outputs=done(run), store=store)
    assert exit_codes(run, "answer") == [7]
    assert run.outputs("answer")["files"] in ("", "{}")


def test_jobs_that_are_run_again_publish_nothing_twice_and_ask_for_the_build_that_failed(world, overwritten):
    """Jenkins was mended since."""
    there, pulls = world.objects(), len(world.github.pulls)
    run = publish_again(world, overwritten, attempt=2)
    assert {name: result for name, result in run.results().items() if name.startswith("publish/")} == {
        f"publish/{name}": "success" for name in ("publish", "notify", "record", "propose")
    }, run.log[-4000:]
    assert world.objects() == there
    assert world.jenkins.started == 2
    assert len(world.github.pulls) == pulls, "the same pull request, renewed"
    ledger = world.github.git.files(world.github.pulls[-1]["head"]["ref"])["supported_models.json"].decode()
    assert "SUCCESS" in ledger
    assert "FAILURE" not in ledger
