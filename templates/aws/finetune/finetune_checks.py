"""Functions of the workflow that look: at the input before anything is paid for, at batches, at the endpoint.

They hold no rule of their own: what a recipe may say and what is asked how stands in the package.
"""

from __future__ import annotations

import json
import os
from typing import Any

from release_tool.core.finetune.bedrock_batch import JobStatus
from release_tool.core.finetune.naming import run_name
from release_tool.core.finetune.parameters import recipe_data, tables_text, with_machine
from release_tool.core.finetune.recipe import parse_recipe
from release_tool.errors import Fault, RequestError
from release_tool.services.finetune.aws import asked, client, split_s3

PREFIX = "P_"
"""Of the variables that hold the stack's parameters."""
SCRIPT = (
    'f=/opt/ml/input/data/code/finetune-training.tar.gz; echo "$CODE_SHA256  $f" | sha256sum -c - '
    '&& c=$(mktemp -d) && tar xzf "$f" -C "$c" && exec python3 "$c/finetune_job.py" "$1"'
)
SAMPLE = "What is a neural network?"
OTHER = "Opening hours of the library on Sundays"
MAX_ANSWER = 50_000_000


class InvalidInput(Exception):
    """The workflow's state that catches it is called so."""


def validate(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Return the input of all states after this one; a recipe and the settings of the cluster lie in S3 then.

    Args:
        event: ``execution``, its ARN, and ``input``: ``parameters`` may replace those of the stack.

    Raises:
        InvalidInput: with every fault.
    """
    given = event.get("input") or {}
    own = given.get("parameters") or {} if isinstance(given, dict) else None
    if not isinstance(own, dict) or not all(isinstance(value, str) for value in own.values()):
        raise InvalidInput('The input is {"parameters": {"MaxSteps": "100"}}: names and texts.')
    parameters = {name[len(PREFIX) :]: value for name, value in os.environ.items() if name.startswith(PREFIX)} | own
    bucket, store = os.environ["BUCKET"], client("s3")
    try:
        data = with_machine(recipe_data(parameters, _text(store, parameters.get("RecipeUri", ""))))
        queries = data.setdefault("queries", {})
        queries.setdefault("provider", "bedrock")
        queries |= {"batch_s3": f"s3://{bucket}/batches", "batch_role": os.environ["BATCH_ROLE"], "wait_hours": 0}
        # A job is a machine of its own, on which the stages run as on any other.
        data["engine"] = {**data.get("engine", {}), "name": "local"}
        recipe = parse_recipe(tables_text(data).encode())
        _check(recipe, store)
    except RequestError as error:
        raise InvalidInput(str(error)) from error
    name = run_name(recipe.model.name, event["execution"])
    prefix = f"runs/{name}"
    store.put_object(Bucket=bucket, Key=f"{prefix}/recipe.toml", Body=tables_text(data).encode())
    digest = os.environ["TRAINING_SHA256"]
    return {
        "name": name,
        "prefix": prefix,
        "model": recipe.model.name,
        "cluster": recipe.corpus.endpoint,
        "deploy": recipe.aws.deploy,
        "register": recipe.aws.register,
        "job": {
            "script": SCRIPT,
            "processing": recipe.aws.processing_instance,
            "scoring": recipe.aws.scoring_instance,
            "training": recipe.aws.training_instance,
            "inference": recipe.aws.inference_instance,
            "count": recipe.aws.inference_count,
            "volume": recipe.aws.volume_gb,
            "environment": {
                "AWS_DEFAULT_REGION": os.environ["AWS_REGION"],
                "CODE_SHA256": digest,
                "RUN": f"s3://{bucket}/{prefix}",
                "RELEASE_TOOL_FINETUNE_STATE": f"s3://{bucket}/state/{recipe.model.name}",
            },
            "inputs": [
                _channel("code", f"s3://{bucket}/packages/{digest}/"),
                _channel("run", f"s3://{bucket}/{prefix}/"),
            ],
        },
    }


def _channel(name: str, place: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": place, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def _text(store: Any, address: str) -> bytes:
    if not address:
        return b""
    bucket, key = split_s3(address)
    with asked(f"The recipe {address}", "s3:GetObject"):
        body: bytes = store.get_object(Bucket=bucket, Key=key)["Body"].read(1_000_000)
    return body


def _check(recipe: Any, store: Any) -> None:
    """Refuse what can only fail later, when machines and queries are paid for.

    Raises:
        RequestError: all of it.
    """
    faults = []
    for name, address in (("S3CorpusPath", recipe.corpus.s3_path), ("SampleQueryUri", recipe.queries.examples)):
        used = recipe.corpus.source == "s3" or name != "S3CorpusPath"
        if used and address.startswith("s3://"):
            bucket, key = split_s3(address)
            with asked(f"The list of {address}", "s3:ListBucket"):
                found = store.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("KeyCount", 0)
            if not found:
                faults.append(Fault(name, f"{address} is not there"))
    if recipe.aws.register and not recipe.corpus.endpoint:
        faults.append(Fault("OpenSearchEndpoint", "is missing", "or set RegisterConnector to false"))
    if faults:
        raise RequestError(tuple(faults))


def queries(event: dict[str, Any], _context: object) -> dict[str, str]:
    """Return whether the queries are there (``done``), under way (``running``) or ready to be fetched (``collect``)."""
    with asked("What the job of the queries left", "s3:GetObject"):
        found = client("s3").get_object(Bucket=os.environ["BUCKET"], Key=f"{event['run']}/queries.json")
    left = json.loads(found["Body"].read(1_000_000))
    if left["state"] != "running":
        return {"state": str(left["state"])}
    control = client("bedrock")
    with asked("The state of a batch job", "bedrock:GetModelInvocationJob"):
        states = [control.get_model_invocation_job(jobIdentifier=arn)["status"] for arn in left["jobs"]]
    known = set(JobStatus)
    if any(state not in known for state in states):
        return {"state": "unknown"}
    return {"state": "collect" if all(JobStatus(state).is_over for state in states) else "running"}


def predict(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Ask the endpoint two texts, and return kind and dimension of what it serves.

    Raises:
        InvalidInput: it answers something else than the model that was handed over.
    """
    with asked("What was handed over", "s3:GetObject"):
        found = client("s3").get_object(Bucket=os.environ["BUCKET"], Key=f"{event['prefix']}/model.json")
    wanted = json.loads(found["Body"].read(1_000_000))
    with asked(f"A prediction of {event['endpoint']}", "sagemaker:InvokeEndpoint"):
        answer = client("sagemaker-runtime").invoke_endpoint(
            EndpointName=event["endpoint"], ContentType="application/json", Body=json.dumps([SAMPLE, OTHER])
        )
    rows = json.loads(answer["Body"].read(MAX_ANSWER))
    if not isinstance(rows, list) or len(rows) != 2 or rows[0] == rows[1]:
        raise InvalidInput("The endpoint does not give two texts an answer each.")
    if wanted["kind"] == "sparse":
        if not all(isinstance(row, dict) and row and len(row) <= wanted["dimension"] for row in rows):
            raise InvalidInput("The endpoint answers no weights of tokens.")
    elif not all(isinstance(row, list) and len(row) == wanted["dimension"] for row in rows):
        lengths = [len(row) if isinstance(row, list) else None for row in rows]
        raise InvalidInput(f"The endpoint answers {lengths} numbers; the model's vectors have {wanted['dimension']}.")
    return {"kind": wanted["kind"], "dimension": wanted["dimension"]}
