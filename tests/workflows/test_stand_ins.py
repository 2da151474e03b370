"""What stands in for GitHub where the workflows are run, tried on a workflow of its own.

The artifacts' layout, what is refused, and above all that an environment's role is had by its jobs alone: a stand-in
that gives too much would prove nothing about the workflows.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from act.rewriting import Granted
from act.running import Runner
from aws.oidc import REQUEST_TOKEN, Issuer

TRIAL = Path(__file__).resolve().parents[1] / "act" / "trial"
TRUST = "arn:aws:iam::{account}:oidc-provider/token.actions.githubusercontent.com"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Return a checkout with the trial's workflows and a setup action."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(TRIAL, folder / ".github" / "workflows")
    (folder / ".github" / "actions" / "setup").mkdir(parents=True)
    (folder / ".github" / "actions" / "setup" / "action.yml").write_text("to be replaced")
    (folder / "requirements").mkdir()
    (folder / "requirements" / "base.txt").write_text("click==8.5.1\ncolorama==0.4\n")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def role(aws):
    """Return the ARN of a role that trusts the jobs of one environment."""
    from aws.server import ACCOUNT

    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": TRUST.format(account=ACCOUNT)},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
                "token.actions.githubusercontent.com:sub": "repo:acme/releases:environment:publish-staging",
            }
        },
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return aws.client("iam").create_role(RoleName="trial", AssumeRolePolicyDocument=document)["Role"]["Arn"]


@pytest.fixture(scope="module")
def trial(act, aws, role, checkout, tmp_path_factory):
    """Return a function that runs the trial: environment → Run, each once."""
    made = {}
    place = {"AWS_ROLE": role, "AWS_REGION": "us-east-1"}
    granted = Granted(
        variables={"SERVER": "https://ci.example.org"},
        environments={
            "hub-read": Granted(secrets={"HF_TOKEN": "hf_marked"}),
            "publish-staging": Granted(variables=place),
            "publish-other": Granted(variables=place),
        },
    )

    def run(environment):
        if environment not in made:
            with Issuer("acme/releases") as issuer:
                runner = Runner(
                    folder=tmp_path_factory.mktemp("trial") / "run",
                    checkout=checkout,
                    granted=granted,
                    environment={"AWS_ENDPOINT_URL": aws.endpoint, "AWS_CA_BUNDLE": str(aws.authority)},
                    tokens=f"{issuer.address}/token",
                    request_token=REQUEST_TOKEN,
                )
                made[environment] = runner.run("trial.yml", inputs={"environment": environment}), issuer.asked
        return made[environment]

    return run


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_jobs_run_in_order_and_end_as_on_github(trial):
    run, _ = trial("publish-staging")
    assert run.results() == {
        "make": "success",
        "unable": "failure",
        "call/take": "success",
        "call/fails": "failure",
        "call/goes-on": "success",
    }, run.log[-4000:]
    assert "the other one was a failure" in run.jobs["call/goes-on"].log
    assert run.jobs["make"].summary == "# A | summary\n"
    assert run.outputs("make")["files"] == '{"work/plan.json":"%25"}'
    assert run.code != 0


def test_an_artifact_is_laid_out_by_its_search_paths(trial):
    store = trial("publish-staging")[0].store
    assert files(store / "whole") == ["archives/a-1.zip", "archives/a.config.json", "plan.json"]
    assert files(store / "one") == ["a-1.zip"]
    assert files(store / "several") == ["archives/a-1.zip", "plan.json"]
    assert files(store / "below") == ["a-1.zip"]
    assert files(store / "again") == ["a.config.json"], "overwritten, not added to"


def test_an_artifact_of_nothing_and_a_name_that_is_taken_are_refused(trial):
    log = trial("publish-staging")[0].jobs["make"].log
    assert "No files were found" in log
    assert "an artifact with the name one already exists" in log
    assert not (trial("publish-staging")[0].store / "none").exists()


def test_artifacts_come_down_by_name_by_pattern_and_each_into_its_folder(trial):
    seen = trial("publish-staging")[0].outputs("call")["seen"].split()
    assert "named/plan.json" in seen
    assert [name for name in seen if name.startswith("merged/")] == [
        "merged/a-1.zip",
        "merged/archives/a-1.zip",
        "merged/plan.json",
    ]
    assert "apart/whole/archives/a-1.zip" in seen
    assert "apart/again/a.config.json" in seen


def test_the_role_is_had_by_a_job_of_its_environment_with_the_right_to_a_token(trial, role):
    run, asked = trial("publish-staging")
    assert asked == ["publish-staging"], "the job without the right has not even asked"
    assert "id-token" in run.jobs["unable"].log
    before, after = run.calls
    assert not [name for name in before.environment if name.startswith("AWS_ACCESS")]
    assert after.environment["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert after.environment["AWS_SESSION_TOKEN"]
    assert after.environment["AWS_SESSION_TOKEN"] not in run.log


def test_a_job_of_another_environment_is_refused_the_role(trial):
    run, asked = trial("publish-other")
    assert asked == ["publish-other"]
    assert run.jobs["call/take"].result == "failure"
    assert "Could not assume role with OIDC" in run.jobs["call/take"].log
    assert [call.job for call in run.calls] == ["make"], "nothing ran after the refusal"


def test_an_environments_secrets_and_variables_are_seen_by_its_jobs_alone(trial):
    make, take = trial("publish-staging")[0].calls
    assert make.environment["HF_TOKEN"] == "hf_marked"
    assert make.environment["SERVER"] == "https://ci.example.org"
    assert "hf_marked" not in json.dumps(take.environment)
    assert make.lock == take.lock == "base"


def test_steps_see_nothing_of_the_machine(trial, monkeypatch):
    for call in trial("publish-staging")[0].calls:
        given = {name for name in call.environment if not name.startswith(("GITHUB_", "RUNNER_", "STAND_IN_", "AWS_"))}
        assert given <= {
            "ACT", "CI", "HOME", "HF_TOKEN", "ImageOS", "PATH", "PWD", "SERVER", "SHLVL", "_",
            "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        }  # fmt: skip
