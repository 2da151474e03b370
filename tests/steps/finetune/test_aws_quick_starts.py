"""The three quick starts: what their parameter files say goes through the functions and the workflow."""

from __future__ import annotations

import importlib.util
import json
from contextlib import suppress

import pytest
from aws.template import load, workflow
from aws.workflow import executed

from release_tool.core.finetune.recipe import parse_recipe

DONE = {"ModelArtifacts": {"S3ModelArtifacts": "s3://b/model.tar.gz"}, "TrainingJobName": "x"}
STAGES = ("split", "queries", "mine", "select", "train", "hand-over")


@pytest.fixture
def documents(s3):
    """The bucket that the examples name, with the corpus in it."""
    client = s3.client()
    with suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
        client.create_bucket(Bucket="acme-documents")
    client.put_object(Bucket="acme-documents", Key="articles/corpus.jsonl", Body=b'{"text": "a"}\n')
    return s3.make_bucket()


@pytest.mark.parametrize(
    ("name", "last"), [("s3", "Register"), ("opensearch", "Register"), ("training-only", "job hand-over")]
)
def test_a_quick_start_ends_where_it_says(repository, documents, s3, monkeypatch, name, last):
    folder = repository / "templates" / "aws" / "finetune"
    spec = importlib.util.spec_from_file_location("finetune_checks", folder / "finetune_checks.py")
    checks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checks)
    template = load("finetune/template.yml")
    given = json.loads((repository / "examples" / "finetune" / f"{name}.parameters.json").read_text(encoding="utf-8"))
    parameters = {one: found.get("Default", "") for one, found in template["Parameters"].items()}
    parameters |= {row["ParameterKey"]: row["ParameterValue"] for row in given}
    assert set(parameters) == set(template["Parameters"])
    variables = template["Resources"]["Validate"]["Properties"]["Environment"]["Variables"]
    for variable, value in variables.items():
        if variable.startswith("P_"):
            monkeypatch.setenv(variable, str(parameters[value["Ref"]]))
    monkeypatch.setenv("BUCKET", documents)
    monkeypatch.setenv("BATCH_ROLE", "arn:aws:iam::123456789012:role/batch")
    monkeypatch.setenv("TRAINING_SHA256", "ab" * 32)
    validated = checks.validate({"input": {}, "execution": f"arn:of:{name}"}, None)
    written = s3.client().get_object(Bucket=documents, Key=f"{validated['prefix']}/recipe.toml")["Body"].read()
    recipe = parse_recipe(written)
    assert recipe.corpus.source == ("opensearch" if name == "opensearch" else "s3")
    assert recipe.engine.name == "local"
    assert (recipe.train.processes, recipe.engine.processes, recipe.train.batch_size) == (8, 8, 4)
    script = {
        "Validate": [{"return": validated}],
        **{f"job {stage}": [{"return": DONE}] for stage in STAGES},
        "CheckQueries": [{"return": {"state": state}} for state in ("running", "collect", "done")],
        "createModel": [{"return": {}}], "createEndpointConfig": [{"return": {}}], "createEndpoint": [{"return": {}}],
        "describeEndpoint": [{"return": {"EndpointStatus": "InService"}}],
        "SmokePredict": [{"return": {"kind": "dense", "dimension": 1024}}],
        "Register": [{"return": {"model_id": "m", "connector_id": "c"}}],
    }  # fmt: skip
    (found,) = executed([{"definition": workflow(), "input": {}, "script": script}])
    assert (found.status, found.cause) == ("SUCCEEDED", "")
    assert found.asked[-1] == last
    calls = dict(found.calls)
    assert calls["job train"]["ResourceConfig"]["InstanceType"] == "ml.p4d.24xlarge"
    assert calls["job train"]["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"].startswith(
        f"s3://{documents}/"
    )
