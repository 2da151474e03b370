"""A release by the workflow, from the form to the proposed record, executed with act against real and stand-in servers.

One run of release-model.yml with a hostile card and a hostile description, both formats, proven on the real OpenSearch
where it can run; then the listings by update-listing.yml. What is refused has a file of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from act.releasing import MARK, MODEL, VERSION, add_model, description, exit_codes, touched, without_node
from act.rewriting import NO_ENVIRONMENT
from act.world import ACCOUNTS, GITHUB_TOKEN, HUB_TOKEN, TARGET, running_world, secret_of

from release_tool.core.codec import decode_text
from release_tool.core.listing import LISTINGS
from release_tool.core.notice import BuildNotice
from release_tool.core.publication import CLAIMS, MARKER
from release_tool.core.receipt import Receipt
from release_tool.core.review import Review

SECRETS = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|AWS_(?:ACCESS|SESSION)")
RUNS_MODEL_CODE = ("answer", "trace", "validate", "quality", "node")


@pytest.fixture(scope="module")
def node_here(request):
    """Return whether the real node can run; it is started first, so that the job finds it."""
    if os.environ.get("RELEASE_TOOL_NODE_MISSING"):
        return False
    try:
        return bool(request.getfixturevalue("node"))
    except pytest.skip.Exception:
        return False


@pytest.fixture(scope="module")
def world(act, s3_server, repository, tmp_path_factory):
    with running_world(tmp_path_factory.mktemp("world"), repository) as running:
        yield running


@pytest.fixture(scope="module")
def released(world, node_here):
    """Return one run of the workflow, from the form to the proposal."""
    add_model(world)
    form = {
        "model": MODEL,
        "version": VERSION,
        "upload_target": TARGET,
        "description": description(world),
    }
    change = None if node_here else without_node
    return world.runner().run("release-model.yml", inputs=form, change=change)


def documents(run, name):
    """Return the bytes of a document, from the one artifact that has it."""
    (found,) = {path.read_bytes() for path in run.store.rglob(name)}
    return found


def test_every_job_succeeds(released):
    assert released.code == 0, released.log[-6000:]
    assert set(released.results().values()) == {"success"}


def test_the_bucket_holds_the_archives_that_were_reviewed_and_nothing_else_under_their_tree(released, world):
    review = decode_text(Review, documents(released, "review.json").decode())
    there = world.objects()
    served = {key: data for key, data in there.items() if key.startswith("ml-models/")}
    assert len(served) == 4
    reviewed = {file.path: file.sha256 for file in review.files}
    for key, data in served.items():
        artifact = key.split("/")[-2]
        path = f"archives/{Path(key).name}" if key.endswith(".zip") else f"archives/{artifact}.config.json"
        assert hashlib.sha256(data).hexdigest() == reviewed[path]
    assert f"releases/{review.digest}/{MARKER}" in there
    assert len([key for key in there if key.startswith(CLAIMS)]) == 2


def test_what_was_approved_is_the_digest_that_the_review_job_gave_out(released):
    review = decode_text(Review, documents(released, "review.json").decode())
    assert released.outputs("review")["digest"] == review.digest
    (publish,) = released.calls_of("publish")
    assert publish.environment["RELEASE_TOOL_PUBLISH_APPROVED"] == review.digest
    receipt = decode_text(Receipt, documents(released, "receipt.json").decode())
    assert receipt.approved == review.digest


def test_the_summary_of_the_review_is_the_page_that_is_released(released, world):
    review = decode_text(Review, documents(released, "review.json").decode())
    page = documents(released, "review.md").decode()
    assert page.strip() in released.jobs["review"].summary
    assert world.objects()[f"releases/{review.digest}/review.md"].decode() == page


def test_the_proposed_branch_holds_ledger_history_listings_and_changelog(released, world):
    (pull,) = world.github.pulls
    assert pull["state"] == "open"
    files = world.github.git.files(pull["head"]["ref"])
    before = world.github.git.files("main")
    changed = {name for name in files if files[name] != before.get(name)}
    assert changed == {"supported_models.json", "MODEL_UPLOAD_HISTORY.md", "CHANGELOG.md", *LISTINGS}
    digest = released.outputs("review")["digest"]
    rows = [row for row in json.loads(files["supported_models.json"]) if digest in json.dumps(row)]
    assert len(rows) == 2
    assert all(row["Upload Time"] for row in rows)
    assert [run["path"] for run in world.github.runs] == [".github/workflows/ci.yml"]


def test_jenkins_was_asked_once_and_its_answer_is_recorded(released, world):
    (build,) = world.jenkins.builds["ml-models-release"]
    assert build.parameters["VERSION"] == VERSION
    notice = decode_text(BuildNotice, documents(released, "notice.json").decode())
    assert [each.result for each in notice.builds] == ["SUCCESS"]
    (pull,) = world.github.pulls
    ledger = world.github.git.files(pull["head"]["ref"])["supported_models.json"].decode()
    assert "SUCCESS" in ledger


def test_each_job_acts_by_the_role_of_its_environment_and_only_publish_writes(released, world):
    asked = set(world.issuer.asked)
    assert asked == {f"bucket-read-{TARGET}", f"publish-{TARGET}", "jenkins"}
    assert world.writers() == {f"publish-{TARGET}"}
    assert world.readers() == {f"bucket-read-{TARGET}", f"publish-{TARGET}"}


def test_jobs_that_run_a_models_code_hold_no_secret_no_token_and_no_environment(released):
    calls = [call for call in released.calls if call.job in RUNS_MODEL_CODE]
    assert {call.job for call in calls} >= {"answer", "trace", "validate"}
    secrets = {HUB_TOKEN, GITHUB_TOKEN, *(secret_of(name) for name in ACCOUNTS)}
    for call in calls:
        assert not [name for name in call.environment if SECRETS.search(name)], call.job
        assert not secrets & set(call.environment.values())
        assert call.environment["STAND_IN_ENVIRONMENT"] == NO_ENVIRONMENT


def test_the_hub_is_asked_by_the_jobs_that_know_its_token_and_by_no_other(released, world):
    knowing = {call.job for call in released.calls if HUB_TOKEN in call.environment.values()}
    assert knowing == {"plan", "fetch"}
    # The files themselves come from a store of their own, by signed addresses; the client asks for a list once a job.
    without = [request.path for request in world.hub.requests if request.token != HUB_TOKEN]
    asked = [path for path in without if not path.startswith("/store/")]
    assert set(asked) <= {"/api/agent-harnesses"}
    assert len(asked) <= len(knowing)


def test_no_secret_is_said(released):
    for secret in (HUB_TOKEN, GITHUB_TOKEN, secret_of(f"publish-{TARGET}")):
        assert secret not in released.log
        for path in released.store.rglob("*"):
            if path.is_file():
                assert secret.encode() not in path.read_bytes()


def test_publish_has_no_torch(released):
    (publish,) = released.calls_of("publish")
    assert publish.lock == "publish"


def test_hostile_text_of_a_card_and_of_the_form_is_shown_and_never_executed(released, world):
    assert not touched(world)
    said = "\n".join(job.summary for job in released.jobs.values())
    (pull,) = world.github.pulls
    ledger = world.github.git.files(pull["head"]["ref"])["supported_models.json"].decode()
    assert MARK in ledger, "the description is recorded"
    assert MARK in said, "and on the page"
    for text in (said, ledger, pull["body"]):
        assert "$(" not in text
        assert "::set-output" not in text
        assert "<script>" not in text
    assert released.outputs("plan")["target"] == TARGET, "no line of a card became an output"


@pytest.mark.node
def test_the_real_opensearch_has_proven_both_archives(released, node_here):
    assert node_here
    for artifact in ("torch_script", "onnx"):
        certificate = json.loads(documents_of(released, "node", f"certificate-{artifact}.json"))
        assert {proof["ring"] for proof in certificate["proofs"]} == {"runtime", "node"}


def documents_of(run, maker, name):
    """Return a document as one job has handed it on: another one may have made an earlier."""
    files = json.loads(run.outputs(maker)["files"])
    found = {hashlib.sha256(data := path.read_bytes()).hexdigest(): data for path in run.store.rglob(name)}
    return found[files[name]]


# ---------------------------------------------------------------------------------------------------------------------
# Once the record is merged


@pytest.fixture(scope="module")
def merged(released, world):
    """Return what main holds once the proposal is merged, and what puts it into a copy."""
    (pull,) = world.github.pulls
    files = world.github.git.files(pull["head"]["ref"])

    def merge(copy):
        for name, data in files.items():
            (copy / name).parent.mkdir(exist_ok=True)
            (copy / name).write_bytes(data)

    return files, merge


def test_the_merged_listings_are_published_by_their_own_role_and_served(merged, world):
    """Here Jenkins fails at first, and the workflow is run by hand after; S3 is asked by the role's own session."""
    files, merge = merged
    before = world.jenkins.started
    world.jenkins.job.fates.append("FAILURE")
    pushed = world.runner(sessions=True).run("update-listing.yml", event="push", change=merge)
    assert exit_codes(pushed, "listing") == [10], pushed.log[-4000:]
    assert world.issuer.asked[-1] == f"listing-{TARGET}"
    client = world.aws.client("s3")
    for name in LISTINGS:
        key = f"ml-models/{name}"
        assert client.get_object(Bucket=world.bucket, Key=key)["Body"].read() == files[name]
    form = {"upload_target": TARGET}
    again = world.runner(sessions=True).run("update-listing.yml", inputs=form, change=merge)
    assert again.results() == {"listing": "success"}, again.log[-4000:]
    assert world.jenkins.started == before + 2
    builds = world.jenkins.builds["ml-models-release"][-2:]
    assert {build.parameters["BASE_DOWNLOAD_PATH"] for build in builds} == {"ml-models/model_listing"}


# ---------------------------------------------------------------------------------------------------------------------
# The packages of fine-tuning in AWS


def no_libraries(copy):
    """Leave the libraries out of the functions' package: they come from a registry."""
    (copy / "requirements" / "ml.txt").write_text("")


@pytest.fixture(scope="module")
def packages(world):
    """Return one run of the workflow, from the build to the bucket, by the role that publishes."""
    asked = len(world.issuer.asked)
    run = world.runner(sessions=True).run(
        "publish-finetune.yml", inputs={"tag": "v9.8.7", "upload_target": TARGET}, change=no_libraries
    )
    return run, world.issuer.asked[asked:]


def test_the_packages_are_published_as_they_were_built_by_the_role_that_publishes(packages, world):
    run, asked = packages
    assert run.results() == {"packages": "success", "publish-packages": "success"}, run.log[-4000:]
    assert asked == [f"publish-{TARGET}"]
    files = json.loads(run.outputs("packages")["files"])
    client = world.aws.client("s3")
    there = {
        name: client.get_object(Bucket=world.bucket, Key=f"releases/finetune/v9.8.7/{name}")["Body"].read()
        for name in ("finetune-lambda.zip", "finetune-training.tar.gz", "template.yml")
    }
    assert {f"packages/{name}": hashlib.sha256(data).hexdigest() for name, data in there.items()} == files
    template = there["template.yml"].decode()
    for name in ("finetune-lambda.zip", "finetune-training.tar.gz"):
        assert files[f"packages/{name}"] in template
        assert f"s3://{world.bucket}/releases/finetune/v9.8.7/{name}\n" in template
    assert files["packages/template.yml"] in run.jobs["publish-packages"].summary


def test_packages_that_were_changed_between_the_jobs_are_not_published(packages, world, tmp_path):
    run, asked = packages[0], len(world.issuer.asked)
    store = shutil.copytree(run.store, tmp_path / "store")
    (store / "packages" / "finetune-lambda.zip").write_bytes(b"PK")
    again = world.runner(sessions=True).run(
        "publish-finetune.yml", inputs={"tag": "v9.8.8", "upload_target": TARGET}, keep={"publish-packages"},
        outputs={"packages": run.outputs("packages")}, store=store,
    )  # fmt: skip
    assert exit_codes(again, "publish-packages") == [7]
    assert "packages/finetune-lambda.zip is not what its job made" in again.log
    assert len(world.issuer.asked) == asked, "no role was asked for"
