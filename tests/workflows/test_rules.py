"""Rules that the workflows of a release keep: one command a step, least rights, nothing used before it was verified.

What holds for every workflow, such as pins, stands in tests/test_house.py.
"""

from __future__ import annotations

import re
import shlex
from itertools import combinations
from pathlib import Path

import click
import pytest
from github_double.server import title_of as title_in_github
from workflows_reading import RELEASING, ROOT, WORKFLOWS, jobs, read

from release_tool.cli import cli
from release_tool.core.environments import BRANCH, TRAITS, Purpose, environment_name
from release_tool.core.finetune.stages import Stage
from release_tool.core.handover import JOBS, MAKES, OUTPUTS
from release_tool.core.inputs import CHOSEN, DETECT, NAMES
from release_tool.core.kinds import Activation, Format, Framework, ModelKind, PoolingMode
from release_tool.core.request import TOGETHER
from release_tool.core.settings import SETTINGS_FILE, parse_settings
from release_tool.core.tuned_release import FIELDS, title_of
from release_tool.core.tuned_run import TUNING_WORKFLOW
from release_tool.core.variants import ONNX_VARIANTS, Variant
from release_tool.run_folder import FOLDER, PAID
from release_tool.steps.finetune.hand_over import MODEL

GATES = {"release-model.yml:approval", "release-model.yml:second-approval"}
GATE_RUN = 'echo "Approved $DIGEST"'
BUILDS = "publish-finetune.yml:packages"
BUILD_RUN = './scripts/build-finetune "$TAG" "$TARGET"'
"""What is built is no business of the program that is built: a script does it, and the program looks at it after."""
USES_MODEL = {
    "release-model.yml:answer",
    "trace.yml:trace",
    "trace.yml:validate",
    "release-model.yml:quality",
    "release-model.yml:node",
    "tune-model.yml:prepare",
    "tune-model.yml:hand-over",
}
"""Jobs in which a model's code, or what it made, is run."""
RIGHTS = {
    "release-model.yml:plan": ("contents: read", "actions: read"),
    "release-model.yml:check": ("contents: read", "actions: read", "id-token: write"),
    "release-model.yml:fetch": ("contents: read", "actions: read"),
    "release-model.yml:answer": ("contents: read",),
    "release-model.yml:trace-torch-script": ("contents: read",),
    "release-model.yml:trace-onnx": ("contents: read",),
    "release-model.yml:quality": ("contents: read",),
    "release-model.yml:node": ("contents: read",),
    "release-model.yml:review": ("contents: read",),
    "release-model.yml:approval": (),
    "release-model.yml:second-approval": (),
    # A called workflow can have no right that the job which calls it has not.
    "release-model.yml:publish": ("contents: write", "pull-requests: write", "actions: write", "id-token: write"),
    "trace.yml:trace": ("contents: read",),
    "trace.yml:validate": ("contents: read",),
    "publish.yml:publish": ("contents: read", "id-token: write"),
    "publish.yml:notify": ("contents: read", "id-token: write"),
    "publish.yml:record": ("contents: read",),
    "publish.yml:propose": ("contents: write", "pull-requests: write", "actions: write"),
    "update-listing.yml:listing": ("contents: read", "id-token: write"),
    "tune-model.yml:prepare": ("contents: read",),
    "tune-model.yml:queries": ("contents: read", "actions: read"),
    "tune-model.yml:train": ("contents: read",),
    "tune-model.yml:hand-over": ("contents: read",),
    "tune-model.yml:release": ("contents: read", "actions: write"),
    "publish-finetune.yml:packages": ("contents: read",),
    "publish-finetune.yml:publish-packages": ("contents: read", "id-token: write"),
    "ci.yml:lint": ("contents: read",),
    "ci.yml:test": ("contents: read",),
    "ci.yml:package": ("contents: read",),
    "ci.yml:required": (),
}
ENVIRONMENTS = {
    "release-model.yml:plan": "hub-read",
    "release-model.yml:check": "bucket-read-${{ needs.plan.outputs.target }}",
    "release-model.yml:fetch": "hub-read",
    "release-model.yml:approval": "release-gate",
    "release-model.yml:second-approval": "release-gate-second",
    "publish.yml:publish": "${{ inputs.environment }}",
    "publish.yml:notify": "jenkins",
    "update-listing.yml:listing": "listing-${{ inputs.upload_target || 'production' }}",
    "tune-model.yml:queries": "tuning-queries",
    "tune-model.yml:train": "tuning-gpu",
    "tune-model.yml:release": "tuning-release",
    "publish-finetune.yml:publish-packages": "publish-${{ inputs.upload_target }}",
}
BY_PLAN = "publish.yml:publish"
"""The plan says whether it creates or replaces; tests/steps/test_verify.py looks how."""
SETUP = ROOT / ".github" / "actions" / "setup" / "action.yml"
TRAINS = "tune-model.yml:train"
"""The one job that runs on a machine of one's own, and for days."""
LONGEST_WAIT_DAYS = 30
"""GitHub lets an approval wait so long."""

every_job = pytest.mark.parametrize("job", jobs(), ids=lambda job: job.name)
releasing = pytest.mark.parametrize("job", jobs(*RELEASING), ids=lambda job: job.name)


def form_of(name):
    return read(name)["on"]["workflow_dispatch"]["inputs"]


def form():
    return form_of("release-model.yml")


def command_of(run: str) -> tuple[list[str], click.Command]:
    """Return the words of a step that is one command of release-tool, and the command."""
    assert not re.search(r"[;&|<>`\n]|\$\(", run.strip()), run
    words = shlex.split(run)
    assert words[0] == "release-tool", run
    group: click.Command = cli
    rest = words[1:]
    while isinstance(group, click.Group):
        found = group.get_command(click.Context(group), rest[0])
        assert found is not None, run
        group, rest = found, rest[1:]
    return rest, group


# --- what is run ------------------------------------------------------------------------------------------------------


@releasing
def test_every_run_is_one_command_that_exists_with_options_that_exist(job):
    for step in job.runs():
        if job.name in {*GATES, BUILDS}:
            assert step["run"] == (GATE_RUN if job.name in GATES else BUILD_RUN)
            continue
        rest, command = command_of(step["run"])
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        assert {word for word in rest if word.startswith("-")} <= known, step["run"]


@releasing
def test_every_variable_of_a_run_is_an_option_of_its_command(job):
    for step in job.runs():
        if job.name in {*GATES, BUILDS}:
            continue
        _, command = command_of(step["run"])
        words = [word for word in shlex.split(step["run"])[1:] if not word.startswith(("-", "$"))]
        path = "_".join(words[: 2 if words[0] in ("listing", "finetune") else 1]).upper()
        names = {f"RELEASE_TOOL_{path}_{option.name}".upper() for option in command.params}
        given = {name for name in step.get("env", {}) if name.startswith("RELEASE_TOOL_")}
        assert given <= names


@releasing
def test_a_value_of_the_form_reaches_a_job_by_the_event_only(job):
    """But the id of a run, which GitHub's own action takes, and the names of the settings."""
    if job.file == "release-model.yml":
        text = str([{key: step.get(key) for key in ("env", "with")} for step in job.steps])
        assert set(re.findall(r"inputs\.(\w+)", text)) <= {"tune_run_id"}


# --- what a job may ---------------------------------------------------------------------------------------------------


def test_every_job_has_the_rights_of_the_table():
    found = {job.name: tuple(f"{right}: {how}" for right, how in (job.rights or {}).items()) for job in jobs()}
    assert found == RIGHTS


def test_every_job_is_in_the_environment_of_the_table():
    assert {job.name: job.environment for job in jobs() if job.environment} == ENVIRONMENTS


def test_the_environments_are_those_that_the_tool_knows():
    known = {environment_name(purpose, "X") for purpose in Purpose}
    settled = {
        re.sub(r"-\$\{\{.*\}\}$", "-X", job.environment) for job in jobs() if job.environment and job.name != BY_PLAN
    }
    assert settled | {environment_name(purpose, "X") for purpose in (Purpose.PUBLISH, Purpose.OVERWRITE)} == known


@pytest.mark.parametrize("job", [job for job in jobs() if job.name in USES_MODEL], ids=lambda job: job.name)
def test_a_job_that_runs_a_models_code_has_nothing_to_steal(job):
    assert job.rights == {"contents": "read"}
    assert job.environment is None
    assert_nothing_to_steal(job)


def assert_nothing_to_steal(job):
    text = str(job.data)
    assert "secrets." not in text
    assert "github.token" not in text
    assert "vars." not in text
    assert "aws-actions" not in text


@releasing
def test_a_job_with_a_role_or_a_secret_cannot_load_a_model(job):
    locks = [step["with"]["lock"] for step in job.steps if step.get("uses") == "./.github/actions/setup"]
    grants = job.environment and job.environment != Purpose.TUNING_GPU  # which holds nothing
    writes = "write" in (job.rights or {}).values()
    if "uses" not in job.data and (grants or writes):
        assert not {"trace", "quality", "finetune"} & set(locks)
    assert all((ROOT / "requirements" / f"{lock}.txt").is_file() for lock in locks)


@releasing
def test_a_token_of_the_run_is_asked_for_where_a_role_is_taken_and_nowhere_else(job):
    if "uses" in job.data:
        return
    takes_role = any(str(step.get("uses")).startswith("aws-actions/configure-aws-credentials@") for step in job.steps)
    assert takes_role == ((job.rights or {}).get("id-token") == "write")
    if takes_role:
        name = job.environment.split("-$")[0] if not job.environment.startswith("$") else "publish"
        assert TRAITS[Purpose(name)].role


@releasing
def test_a_secret_is_read_in_an_environment_that_may_hold_it(job):
    if "secrets." in str(job.steps):
        assert TRAITS[Purpose(job.environment)].secret


# --- pins and limits --------------------------------------------------------------------------------------------------


def test_who_publishes_the_packages_has_built_nothing_and_who_builds_them_has_nothing_to_steal():
    building, publishing = jobs("publish-finetune.yml")
    assert building.environment is None
    assert_nothing_to_steal(building)
    assert [step["run"] for step in publishing.runs()] == ["release-tool verify", "release-tool finetune publish"]
    assert publishing.data["if"] == f"github.ref == 'refs/heads/{BRANCH}'"
    assert not set(form_of("publish-finetune.yml")) - {"tag", "upload_target"}


def test_one_action_has_one_pin():
    text = "".join(path.read_text() for path in ROOT.glob(".github/**/*.yml"))
    pins = dict(re.findall(r"uses: ([\w.-]+/[\w.-]+)@([0-9a-f]{40})", text))
    assert {(name, pin) for name, pin in re.findall(r"uses: ([\w.-]+/[\w.-]+)@([0-9a-f]{40})", text)} == set(
        pins.items()
    )


@every_job
def test_every_job_ends_some_time_and_has_a_name(job):
    assert job.data["name"]
    if "uses" not in job.data:
        assert 0 < job.data["timeout-minutes"] <= (150 if job.name != TRAINS else 3 * 24 * 60)


@releasing
def test_artifacts_outlive_the_longest_wait_for_an_approval(job):
    for step in job.steps:
        if str(step.get("uses")).startswith("actions/upload-artifact@"):
            assert step["with"]["retention-days"] > LONGEST_WAIT_DAYS
            assert step["with"]["overwrite"] is True


def test_a_machine_of_ones_own_is_used_by_one_job_from_main_that_a_person_let_in_and_that_holds_nothing():
    own = [job for job in jobs() if "uses" not in job.data and job.data["runs-on"] != "ubuntu-24.04"]
    (job,) = own
    assert job.name == TRAINS
    assert job.data["runs-on"] == ["self-hosted", "${{ inputs.runner }}"]
    assert job.data["if"] == f"github.ref == 'refs/heads/{BRANCH}'"
    assert job.rights == {"contents": "read"}
    traits = TRAITS[Purpose(job.environment)]
    assert traits.reviewed
    assert not traits.grants
    assert_nothing_to_steal(job)


def test_a_release_takes_the_model_of_a_tuning_run_by_the_names_that_it_looks_for():
    flow = read(Path(TUNING_WORKFLOW).name)
    (upload,) = [
        step
        for step in flow["jobs"]["hand-over"]["steps"]
        if step.get("with", {}).get("name") == "tuned-model" and "upload" in step["uses"]
    ]
    assert upload["with"]["path"] == f"work/{FOLDER}/{Stage.HAND_OVER.folder}/{MODEL}"
    assert list(flow["on"]) == ["workflow_dispatch"]
    assert len(flow["on"]["workflow_dispatch"]["inputs"]) <= 25
    assert all(entry["description"] for entry in flow["on"]["workflow_dispatch"]["inputs"].values())


def tuning_step(job, command):
    """Return the variables of a step of the tuning workflow that runs a command."""
    steps = read("tune-model.yml")["jobs"][job]["steps"]
    (step,) = [step for step in steps if step.get("run", "").startswith(f"release-tool {command}")]
    return {name.removeprefix("RELEASE_TOOL_FINETUNE_RELEASE_").lower(): value for name, value in step["env"].items()}


def test_a_tuned_model_is_released_only_where_a_version_is_named_by_a_job_that_may_do_that_alone():
    job = read("tune-model.yml")["jobs"]["release"]
    assert job["if"] == f"github.ref == 'refs/heads/{BRANCH}' && inputs.release_version != ''"
    assert set(job["needs"]) == {"prepare", "queries", "train", "hand-over"}
    assert "default" not in read("tune-model.yml")["on"]["workflow_dispatch"]["inputs"]["release_version"]
    starting = [job.name for job in jobs("tune-model.yml") if (job.rights or {}).get("actions") == "write"]
    assert starting == ["tune-model.yml:release"]
    traits = TRAITS[Purpose(job["environment"])]
    assert traits.reviewed
    assert not traits.grants


def test_what_a_tuning_run_says_of_the_release_is_looked_at_first_and_is_what_the_form_takes():
    looked_at, sent = tuning_step("prepare", "finetune release"), tuning_step("release", "finetune release")
    own = {"github_token", "accept_worse", "tune_run_id", "revision"}
    assert {name: value for name, value in sent.items() if name not in own} == looked_at
    assert set(looked_at) == set(FIELDS)
    assert set(FIELDS) | {"tune_run_id", "revision"} <= set(form())
    assert sent["tune_run_id"] == "${{ github.run_id }}"
    assert sent["revision"] == "${{ needs.hand-over.outputs.revision }}"
    asked = read("tune-model.yml")["on"]["workflow_dispatch"]["inputs"]
    for name in ("kind", "format", "upload_target"):
        about = asked[f"release_{name.removeprefix('upload_')}"]
        assert set(about["options"]) <= set(form()[name]["options"])
        assert about["default"] == form()[name]["default"]


def test_the_run_of_a_release_is_called_as_the_tool_looks_for_it():
    said = {"model": "acme/search", "version": "1.0.0", "upload_target": "staging"}
    named = read("release-model.yml")["run-name"]
    assert title_in_github(named, said) == "Release acme/search 1.0.0 to staging"
    tuned = {**said, "tune_run_id": "4712", "revision": "sha256:" + "a" * 64}
    assert title_in_github(named, tuned) == title_of(tuned)


def test_what_was_paid_for_is_kept_whatever_becomes_of_the_job_and_never_replaced_by_less():
    steps = read("tune-model.yml")["jobs"]["queries"]["steps"]
    keeps = [at for at, step in enumerate(steps) if step.get("with", {}).get("name") == "paid" and "if" in step]
    takes = [at for at, step in enumerate(steps) if step.get("with", {}).get("pattern") == "paid"]
    verify = next(at for at, step in enumerate(steps) if step.get("id") == "verify")
    pays = next(at for at, step in enumerate(steps) if step.get("id") == "finetune")
    earlier, kept = keeps
    assert [earlier, *takes, verify, pays, kept] == sorted([earlier, *takes, verify, pays, kept])
    assert len(takes) == 1
    assert steps[verify]["run"] == "release-tool verify --paid"
    # Of all functions that say when, this one alone is true for a job that is cancelled.
    assert steps[kept]["if"] == "${{ always() && steps.verify.outcome == 'success' }}"
    assert {steps[at]["with"]["path"] for at in (earlier, *takes, kept)} == {f"work/{FOLDER}/{PAID}"}


@pytest.mark.parametrize("name", ["release-model.yml", "update-listing.yml", "tune-model.yml", "publish-finetune.yml"])
def test_one_release_of_a_version_at_a_time_and_none_is_cut_off(name):
    found = read(name)["concurrency"]
    assert found["cancel-in-progress"] is False
    assert "inputs." in found["group"]


def test_nothing_is_cached_where_something_is_released():
    for name in RELEASING:
        assert "cache" not in (WORKFLOWS / name).read_text()
    assert "cache" not in SETUP.read_text()


# --- what is handed on ------------------------------------------------------------------------------------------------


@releasing
def test_what_was_downloaded_is_verified_before_anything_else_is_run(job):
    verified = True
    for step in job.steps:
        if str(step.get("uses")).startswith("actions/download-artifact@"):
            verified = verified and "run-id" in step["with"]  # a tuned model is pinned by the plan itself
        elif str(step.get("run", "")).startswith("release-tool verify"):
            verified = True
        elif not str(step.get("uses", "")).startswith(("actions/checkout@", "./.github/actions/setup")):
            assert verified, f"{step} comes before release-tool verify"


@releasing
def test_verify_is_told_of_every_job_before_and_by_nobody_else(job):
    """As one JSON of GitHub's: an output of a job can hold any text, and no text of it may pass for another job's."""
    called = "workflow_call" in read(job.file)["on"]
    for step in job.runs():
        if step["run"].startswith("release-tool verify"):
            wanted = {"RELEASE_TOOL_VERIFY_NEEDS": "${{ toJSON(needs) }}"}
            if called:
                wanted["RELEASE_TOOL_VERIFY_BEFORE"] = "${{ inputs.before }}"
            assert step["env"] == wanted


@pytest.mark.parametrize("job", [job for job in jobs(*RELEASING) if "uses" in job.data], ids=lambda job: job.name)
def test_a_called_workflow_is_told_of_the_jobs_before_it(job):
    assert job.data["with"]["before"] == "${{ toJSON(needs) }}"


@releasing
def test_every_job_whose_files_are_needed_is_a_job_that_verify_knows(job):
    assert set(job.needs) <= JOBS
    for id_, output, _ in OUTPUTS:
        if job.id == id_ and "uses" not in job.data:
            assert output in job.data["outputs"]


def test_a_gate_opens_for_a_release_that_was_proven_and_reviewed():
    """Said openly: a job that ran out of time counts as cancelled, not as failed."""
    conditions = {job.name: job.data.get("if", "") for job in jobs()}
    assert "needs.node.result == 'success'" in conditions["release-model.yml:review"]
    assert "needs.review.result == 'success'" in conditions["release-model.yml:approval"]
    assert "needs.review.outputs.digest != ''" in conditions["release-model.yml:approval"]
    assert "needs.approval.result == 'success'" in conditions["release-model.yml:second-approval"]
    for gate in ("approval", "second-approval"):
        assert f"needs.{gate}.result == 'success'" in conditions["release-model.yml:publish"]
    for name in ("notify", "record"):
        assert "needs.publish.result == 'success'" in conditions[f"publish.yml:{name}"]


@releasing
def test_what_a_job_uploads_is_what_its_command_makes(job):
    outputs = job.data.get("outputs", {})
    if outputs and "uses" not in job.data:
        made = {re.match(r"\$\{\{ steps\.(\w+)\.outputs", value)[1] for value in outputs.values()}
        assert len(made) == 1
        (id_,) = made
        step = next(step for step in job.steps if step.get("id") == id_)
        assert job.name == BUILDS or shlex.split(step["run"])[1] == id_
        assert id_ in MAKES


# --- the form ---------------------------------------------------------------------------------------------------------


def test_the_form_has_no_more_inputs_than_github_takes_and_every_one_is_known():
    assert len(form()) <= 25
    assert set(form()) <= set(NAMES)
    assert all(entry["description"] for entry in form().values())


@pytest.mark.parametrize(
    ("name", "enum", "blank"),
    [
        ("format", Format, "both"),
        ("pooling_mode", PoolingMode, DETECT),
        ("activation", Activation, DETECT),
        ("framework", Framework, DETECT),
    ],
)
def test_the_choices_are_the_enums(name, enum, blank):
    entry = form()[name]
    assert entry["type"] == "choice"
    assert entry["options"] == [blank, *(member.value for member in enum)]
    assert entry["default"] == blank


def test_the_kinds_of_the_form_are_those_of_the_tool_and_the_pair_that_is_released_together():
    entry = form()["kind"]
    pair = ",".join(sorted(TOGETHER))
    assert (entry["type"], entry["default"]) == ("choice", DETECT)
    assert [word for word in entry["options"] if word != pair] == [DETECT, *(kind.value for kind in ModelKind)]
    assert entry["options"].count(pair) == 1


def test_the_variants_of_the_form_are_those_that_a_plan_can_make_together():
    entry = form()["variant"]
    together = {frozenset(words.split(",")) for words in entry["options"] if words != DETECT}
    subsets = {frozenset(some) for count in (1, 2, 3) for some in combinations(ONNX_VARIANTS, count)}
    assert (entry["type"], entry["default"]) == ("choice", DETECT)
    assert together == {some for some in subsets if not {Variant.FP32, Variant.FUSED} <= some}
    assert form()["cpu_only"] == {**form()["cpu_only"], "type": "boolean", "default": False}


def test_every_other_choice_is_what_the_tool_takes():
    assert {name for name, entry in form().items() if "auto" in entry.get("options", ())} <= CHOSEN
    assert form()["normalize_result"]["options"] == ["auto", "true", "false"]
    assert form()["accept_licence"]["options"] == ["no", "yes"]
    choices = {name for name, entry in form().items() if entry["type"] == "choice"}
    assert choices == {*CHOSEN, "accept_licence", "upload_target"}


@pytest.mark.parametrize("name", ["release-model.yml", "update-listing.yml", "publish-finetune.yml"])
def test_the_targets_of_a_form_are_those_of_the_settings(name):
    settings = parse_settings((ROOT / SETTINGS_FILE).read_bytes())
    entry = read(name)["on"]["workflow_dispatch"]["inputs"]["upload_target"]
    assert sorted(entry["options"]) == list(settings.names)
    assert entry["default"] in settings.names
    assert settings.target("production").serves


def test_a_blank_form_is_a_request_with_its_model_and_version_alone():
    import json

    from release_tool.core.inputs import event_inputs, parse_inputs
    from release_tool.core.request import ReleaseRequest

    filled = {name: str(entry.get("default", "")) for name, entry in form().items()}
    filled |= {"model": "acme/tiny", "version": "1.0.0"}
    inputs = event_inputs(json.dumps({"inputs": filled, "sender": {"login": "octocat"}}).encode(), "event.json")
    request, faults = parse_inputs(inputs)
    assert faults == []
    assert request == ReleaseRequest(model="acme/tiny", version="1.0.0", upload_target="staging")
