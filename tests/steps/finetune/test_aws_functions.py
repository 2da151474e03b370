"""The functions and the job of the AWS workflow, run as they are: S3 is real, Bedrock and SageMaker are doubles."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from aws.bedrock import Bedrock as Double
from aws.bedrock import Job, Script
from http_double import AnswersAll
from http_double import Double as HttpDouble

from release_tool.core.finetune.recipe import parse_recipe

FOLDER = Path(__file__).resolve().parents[3] / "templates" / "aws" / "finetune"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:workflow:first"


def loaded(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def checks():
    return loaded("finetune_checks")


@pytest.fixture
def stack(s3, monkeypatch):
    """The variables of a stack whose corpus is there."""
    bucket = s3.make_bucket()
    s3.client().put_object(Bucket=bucket, Key="in/corpus.jsonl", Body=b'{"text": "a"}\n')
    given = {
        "BUCKET": bucket,
        "BATCH_ROLE": "arn:aws:iam::123456789012:role/batch",
        "TRAINING_SHA256": "ab" * 32,
        "P_ModelName": "Acme-Search",
        "P_InputType": "s3",
        "P_S3CorpusPath": f"s3://{bucket}/in/corpus.jsonl",
        "P_OpenSearchEndpoint": "https://domain.example",
        "P_TrainingInstanceType": "ml.p4d.24xlarge",
        "P_DeployEndpoint": "true",
        "P_RegisterConnector": "true",
        "P_DollarsIn": "0.5",
        "P_DollarsOut": "2.5",
        "P_MaxDollars": "100",
        "P_LearningRate": "5e-6",
        "P_SampleQueryUri": "",
        "P_RecipeUri": "",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return bucket


def test_a_good_input_becomes_a_recipe_and_what_the_states_need(checks, stack, s3):
    found = checks.validate({"input": {}, "execution": EXECUTION}, None)
    text = s3.client().get_object(Bucket=stack, Key=f"{found['prefix']}/recipe.toml")["Body"].read()
    recipe = parse_recipe(text)
    assert recipe.queries.provider == "bedrock"
    assert recipe.queries.wait_hours == 0
    assert recipe.queries.batch_s3 == f"s3://{stack}/batches"
    assert recipe.train.processes == 8
    assert recipe.train.learning_rate == 5e-6
    assert (found["deploy"], found["register"], found["model"]) == (True, True, "Acme-Search")
    assert found["job"]["environment"]["CODE_SHA256"] == "ab" * 32
    assert found["job"]["environment"]["AWS_DEFAULT_REGION"] == "us-east-1"
    assert len(found["job"]["script"]) <= 256
    assert found["name"] == checks.validate({"input": {}, "execution": EXECUTION}, None)["name"]
    assert found["name"] != checks.validate({"input": {}, "execution": EXECUTION + "2"}, None)["name"]


def test_the_input_of_an_execution_goes_over_the_stacks_parameters_and_a_recipe_under_them(
    checks, stack, s3, monkeypatch
):
    base = b'[train]\nsteps = 7\nsave_steps = 3\n[queries]\nprovider = "sentences"\n'
    s3.client().put_object(Bucket=stack, Key="base.toml", Body=base)
    monkeypatch.setenv("P_RecipeUri", f"s3://{stack}/base.toml")
    found = checks.validate({"input": {"parameters": {"MaxSteps": "9"}}, "execution": EXECUTION}, None)
    text = s3.client().get_object(Bucket=stack, Key=f"{found['prefix']}/recipe.toml")["Body"].read().decode()
    data = tomllib.loads(text)
    assert (data["train"]["steps"], data["train"]["save_steps"]) == (9, 3)
    assert data["queries"]["provider"] == "sentences"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"P_S3CorpusPath": ""}, "corpus.s3_path: is missing"),
        ({"P_S3CorpusPath": "s3://BUCKET/in/nothing.jsonl"}, "S3CorpusPath: s3://BUCKET/in/nothing.jsonl is not there"),
        ({"P_InputType": "opensearch"}, "corpus.index: is missing"),
        ({"P_OpenSearchEndpoint": ""}, "OpenSearchEndpoint: is missing"),
        ({"P_DeployEndpoint": "false"}, "aws.register: needs an endpoint"),
        ({"P_LearningRate": "fast"}, "LearningRate: is 'fast'"),
        ({"P_SampleQueryUri": "s3://BUCKET/in/samples.jsonl"}, "SampleQueryUri: .* is not there"),
        ({"P_ModelName": "a--b"}, "model.name: is 'a--b'"),
    ],
)
def test_what_can_only_fail_later_is_refused_before_anything_is_paid(checks, stack, monkeypatch, change, said):
    for name, value in change.items():
        monkeypatch.setenv(name, value.replace("BUCKET", stack))
    with pytest.raises(checks.InvalidInput, match=said.replace("BUCKET", stack)):
        checks.validate({"input": {}, "execution": EXECUTION}, None)


@pytest.mark.parametrize("given", [[1], {"parameters": [1]}, {"parameters": {"MaxSteps": 9}}])
def test_an_input_of_another_shape_is_refused(checks, stack, given):
    with pytest.raises(checks.InvalidInput, match="names and texts"):
        checks.validate({"input": given, "execution": EXECUTION}, None)


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (("InProgress", "Completed"), "running"),
        (("Expired", "PartiallyCompleted"), "collect"),
        (("Stopped", "Failed"), "collect"),
        (("Completed", "Melted"), "unknown"),
    ],
)
def test_batches_are_waited_for_until_all_of_them_are_over(checks, stack, s3, monkeypatch, states, said):
    with Double(s3.client()) as double:
        for name, value in double.environment().items():
            monkeypatch.setenv(name, value)
        for number, state in enumerate(states):
            request = {
                "jobName": "j", "modelId": "m", "roleArn": "arn:aws:iam::123456789012:role/r",
                "inputDataConfig": {"s3InputDataConfig": {"s3Uri": f"s3://{stack}/i"}},
                "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"s3://{stack}/o"}},
            }  # fmt: skip
            job = Job(id=f"{number:012}", request=request, script=Script(states=(state,)), records=[])
            job.written = True
            double.jobs.append(job)
        left = {"state": "running", "jobs": [job.arn for job in double.jobs]}
        s3.client().put_object(Bucket=stack, Key="runs/x/queries.json", Body=json.dumps(left).encode())
        assert checks.queries({"run": "runs/x"}, None) == {"state": said}


def test_queries_that_are_there_are_done(checks, stack, s3):
    s3.client().put_object(Bucket=stack, Key="runs/y/queries.json", Body=b'{"state": "done"}')
    assert checks.queries({"run": "runs/y"}, None) == {"state": "done"}


class Endpoint(AnswersAll):
    def answer(self):
        self.double.asked.append(json.loads(self.body()))
        self.send(200, json.dumps(self.double.rows).encode(), "application/json")


@pytest.mark.parametrize(
    ("kind", "rows", "is_good"),
    [
        ("dense", [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]], True),
        ("dense", [[0.1, 0.2], [0.3, 0.2]], False),
        ("dense", [[0.1, 0.2, 0.3]], False),
        ("dense", [[0.1, 0.2, 0.3]] * 2, False),
        ("dense", {"error": "no"}, False),
        ("dense", [{"a": 1.0}, {"b": 1.0}], False),
        ("sparse", [{"a": 1.0}, {"b": 1.0}], True),
        ("sparse", [{}, {"b": 1.0}], False),
        ("sparse", [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]], False),
    ],
)
def test_an_endpoint_is_asked_before_it_is_registered(checks, stack, monkeypatch, kind, rows, is_good):
    facts = json.dumps({"kind": kind, "dimension": 3}).encode()
    checks.client("s3").put_object(Bucket=stack, Key="runs/z/model.json", Body=facts)
    with HttpDouble(Endpoint) as double:
        double.asked, double.rows = [], rows
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", double.address)
        event = {"endpoint": "acme-1", "prefix": "runs/z"}
        if is_good:
            assert checks.predict(event, None) == {"kind": kind, "dimension": 3}
        else:
            with pytest.raises(checks.InvalidInput, match="The endpoint"):
                checks.predict(event, None)
        assert [len(one) for one in double.asked] == [2]


def test_the_connector_takes_a_role_to_ask_the_endpoint(monkeypatch):
    register = loaded("finetune_register")
    monkeypatch.setenv("CONNECTOR_ROLE", "arn:aws:iam::123456789012:role/connector")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    for kind, post in (("dense", True), ("sparse", False)):
        made = register.connector({"endpoint": "acme-1", "kind": kind})
        assert made["credential"] == {"roleArn": "arn:aws:iam::123456789012:role/connector"}
        assert made["parameters"] == {"region": "eu-west-1", "service_name": "sagemaker", "endpoint": "acme-1"}
        assert ("post_process_function" in made["actions"][0]) == post


def test_a_cluster_that_does_not_answer_is_asked_again_by_the_workflow(monkeypatch, capsys):
    register = loaded("finetune_register")
    monkeypatch.setenv("CONNECTOR_ROLE", "arn:aws:iam::123456789012:role/connector")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    event = {"endpoint": "acme", "model": "acme", "cluster": "http://127.0.0.1:9", "kind": "dense", "dimension": 3}
    with pytest.raises(register.Unreachable, match="exit code 11"):
        register.register(event, None)
    assert "127.0.0.1:9" in capsys.readouterr().err


def test_the_script_of_a_job_refuses_another_package_and_runs_the_right_one(checks, tmp_path):
    import hashlib
    import tarfile

    program = tmp_path / "finetune_job.py"
    program.write_text("import sys; print('stage', sys.argv[1])")
    package = tmp_path / "finetune-training.tar.gz"
    with tarfile.open(package, "w:gz") as archive:
        archive.add(program, "finetune_job.py")
    script = checks.SCRIPT.replace("/opt/ml/input/data/code", str(tmp_path))
    digest = hashlib.sha256(package.read_bytes()).hexdigest()

    def ran(sha256):
        return subprocess.run(
            ["bash", "-c", script, "job", "mine"],
            env={"CODE_SHA256": sha256, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert ran(digest).stdout.endswith("stage mine\n")
    wrong = ran("0" * 64)
    assert wrong.returncode
    assert "stage" not in wrong.stdout
