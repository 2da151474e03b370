"""The workflow of the AWS template, executed: each way through it, and each way in which it can fail."""

from __future__ import annotations

import copy
import re

import pytest
from aws.template import workflow
from aws.workflow import executed

VALIDATED = {
    "name": "acme-0123abcd", "prefix": "runs/acme-0123abcd", "model": "acme", "cluster": "https://domain.example",
    "deploy": True, "register": True,
    "job": {
        "script": "exec", "processing": "ml.c5.4xlarge", "scoring": "ml.g5.2xlarge", "training": "ml.p4d.24xlarge",
        "inference": "ml.g5.xlarge", "count": 2, "volume": 100, "environment": {"RUN": "s3://b/runs/acme-0123abcd"},
        "inputs": [{"ChannelName": "code"}],
    },
}  # fmt: skip
JOBS = ["job split", "job queries", "job mine", "job select", "job train", "job hand-over"]
DEPLOYED = ["createModel", "createEndpointConfig", "createEndpoint", "describeEndpoint"]


def said(*values):
    return [{"return": value} for value in values]


def thrown(error, cause="its words", times=50):
    return [{"throw": [error, cause]}] * times


def job_done(stage):
    return {"TrainingJobName": f"{stage}-1", "ModelArtifacts": {"S3ModelArtifacts": f"s3://b/{stage}.tar.gz"}}


GOOD = {
    "Validate": said(VALIDATED),
    **{job: said(job_done(job)) for job in JOBS},
    "CheckQueries": said({"state": "done"}),
    "createModel": said({}), "createEndpointConfig": said({}), "createEndpoint": said({}), "deleteEndpoint": said({}),
    "describeEndpoint": said({"EndpointStatus": "InService"}),
    "SmokePredict": said({"kind": "dense", "dimension": 1024}),
    "Register": said({"model_id": "m", "connector_id": "c"}),
}  # fmt: skip
CASES = {
    "good": {},
    "training only": {"Validate": said({**VALIDATED, "deploy": False, "register": False})},
    "deploy only": {"Validate": said({**VALIDATED, "register": False})},
    "slow": {
        "CheckQueries": said({"state": "running"}, {"state": "running"}, {"state": "collect"}, {"state": "done"}),
        "describeEndpoint": said({"EndpointStatus": "Creating"}, {"EndpointStatus": "InService"}),
    },
    "wrong input": {"Validate": thrown("InvalidInput", "corpus.s3_path: is missing")},
    "unknown state": {"CheckQueries": said({"state": "unknown"})},
    "busy": {
        "Validate": [*thrown("Lambda.TooManyRequestsException", times=3), *said(VALIDATED)],
        "job split": [*thrown("SageMaker.ResourceLimitExceededException", times=4), *said(job_done("split"))],
        "job train": [*thrown("States.TaskFailed", times=1), *said(job_done("train"))],
    },
    **{f"{job} fails": {job: thrown("States.TaskFailed", f"{job}: out of memory")} for job in JOBS},
    **{f"{name} fails": {name: thrown("SageMaker.SageMakerException")} for name in DEPLOYED},
    "endpoint fails": {"describeEndpoint": said({"EndpointStatus": "Creating"}, {"EndpointStatus": "Failed"})},
    "endpoint is odd": {"describeEndpoint": said({"EndpointStatus": "UpdateRollbackFailed"})},
    "endpoint stays": {
        "describeEndpoint": said({"EndpointStatus": "Failed"}),
        "deleteEndpoint": thrown("SageMaker.SageMakerException"),
    },
    "wrong dimension": {"SmokePredict": thrown("InvalidInput", "The endpoint answers [3, 3] numbers")},
    "not registered": {"Register": thrown("RegisterFailed", "exit code 10")},
    "registered at last": {"Register": [*thrown("Unreachable", times=3), *GOOD["Register"]]},
}  # fmt: skip


@pytest.fixture(scope="module")
def definition():
    """The workflow as CloudFormation makes it of the template."""
    return workflow()


@pytest.fixture(scope="module")
def ended(definition):
    """How every case ended, by name."""
    jobs = [
        {"definition": definition, "input": {}, "script": {**GOOD, **copy.deepcopy(case)}} for case in CASES.values()
    ]
    return dict(zip(CASES, executed(jobs), strict=True))


def test_the_whole_way_ends_with_a_registered_model(ended):
    found = ended["good"]
    assert (found.status, found.error) == ("SUCCEEDED", "")
    assert found.asked == ["Validate", *JOBS[:2], "CheckQueries", *JOBS[2:], *DEPLOYED, "SmokePredict", "Register"]
    assert found.output["registered"] == {"model_id": "m", "connector_id": "c"}


def test_each_task_is_asked_for_what_it_needs(ended):
    calls = dict(ended["good"].calls)
    assert set(calls["Validate"]["Payload"]) == {"input", "execution"}
    # The documents may lie in the cluster, and it may be the one that is asked for negatives; models see neither.
    roles = {job: calls[job]["RoleArn"] for job in JOBS}
    assert roles == {job: "ReadRole" if job in ("job split", "job mine") else "JobRole" for job in JOBS}
    machines = {job: calls[job]["ResourceConfig"]["InstanceType"] for job in JOBS}
    assert list(machines.values()) == ["ml.c5.4xlarge"] * 3 + ["ml.g5.2xlarge"] + ["ml.p4d.24xlarge"] * 2
    assert calls["job train"]["ResourceConfig"]["VolumeSizeInGB"] == 100
    assert calls["job train"]["AlgorithmSpecification"]["ContainerArguments"] == ["exec", "job", "train"]
    assert calls["createModel"]["PrimaryContainer"]["ModelDataUrl"] == "s3://b/job hand-over.tar.gz"
    assert calls["createEndpointConfig"]["ProductionVariants"][0]["InitialInstanceCount"] == 2
    assert calls["Register"]["Payload"] == {
        "endpoint": "acme-0123abcd", "model": "acme", "cluster": "https://domain.example", "kind": "dense",
        "dimension": 1024,
    }  # fmt: skip


def test_names_of_jobs_are_legal_and_none_is_taken_twice(ended):
    names = [data["TrainingJobName"] for one in ended.values() for name, data in one.calls if name in JOBS]
    assert len(set(names)) == len(names) > 100
    assert all(re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name) for name in names)


def test_training_only_makes_no_endpoint(ended):
    assert ended["training only"].status == "SUCCEEDED"
    assert ended["training only"].asked[-1] == "job hand-over"


def test_an_endpoint_alone_is_not_registered(ended):
    assert ended["deploy only"].status == "SUCCEEDED"
    assert ended["deploy only"].asked[-1] == "SmokePredict"


def test_batches_and_endpoints_are_waited_for_and_the_queries_fetched(ended):
    found = ended["slow"]
    assert found.status == "SUCCEEDED"
    assert found.asked.count("CheckQueries") == 4
    assert found.asked.count("job queries") == 2
    assert found.asked.count("describeEndpoint") == 2


def test_what_is_busy_is_asked_again(ended):
    found = ended["busy"]
    assert found.status == "SUCCEEDED"
    assert [found.asked.count(name) for name in ("Validate", "job split", "job train")] == [4, 5, 2]


@pytest.mark.parametrize(
    ("case", "error", "cause"),
    [
        ("wrong input", "Finetune.Input", "corpus.s3_path: is missing"),
        ("unknown state", "Finetune.Queries", "a state that nobody knows"),
        ("job split fails", "Finetune.Prepare", "job split: out of memory"),
        ("job queries fails", "Finetune.AskQueries", "job queries: out of memory"),
        ("job mine fails", "Finetune.Mine", "job mine: out of memory"),
        ("job select fails", "Finetune.Teach", "job select: out of memory"),
        ("job train fails", "Finetune.Train", "job train: out of memory"),
        ("job hand-over fails", "Finetune.Evaluate", "job hand-over: out of memory"),
        ("createModel fails", "Finetune.Deploy", "its words"),
        ("createEndpointConfig fails", "Finetune.Deploy", "its words"),
        ("createEndpoint fails", "Finetune.Deploy", "its words"),
        ("describeEndpoint fails", "Finetune.Endpoint", "its words"),
        ("endpoint fails", "Finetune.Endpoint", "the endpoint is Failed"),
        ("endpoint is odd", "Finetune.Endpoint", "the endpoint is UpdateRollbackFailed"),
        ("wrong dimension", "Finetune.Endpoint", "answers [3, 3] numbers"),
        ("endpoint stays", "Finetune.EndpointLeft", "Delete it by hand"),
        ("not registered", "Finetune.Register", "exit code 10"),
    ],
)
def test_every_failure_ends_under_its_own_name_with_its_cause(ended, case, error, cause):
    found = ended[case]
    assert (found.status, found.error) == ("FAILED", error)
    assert cause in found.cause


@pytest.mark.parametrize("case", ["describeEndpoint fails", "endpoint fails", "endpoint is odd", "wrong dimension"])
def test_an_endpoint_that_is_of_no_use_is_deleted(ended, case):
    assert ended[case].asked[-1] == "deleteEndpoint"
    assert "Register" not in ended[case].asked


def test_nothing_is_paid_for_after_a_wrong_input(ended):
    assert ended["wrong input"].asked == ["Validate"]


def test_a_register_that_meets_no_answer_is_tried_again(ended):
    assert ended["registered at last"].status == "SUCCEEDED"
    assert ended["registered at last"].asked.count("Register") == 4


def test_every_case_fails_or_succeeds_as_it_says(ended):
    assert {one.status for one in ended.values()} == {"SUCCEEDED", "FAILED"}
