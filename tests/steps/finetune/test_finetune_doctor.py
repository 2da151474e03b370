"""What stands in the way of a run is told with its fix, and nothing is started."""

from __future__ import annotations

import json

import pytest
from aws.account import ACCOUNT, Account

from release_tool.core.finetune import doctor
from release_tool.core.finetune.bedrock_batch import Limits
from release_tool.core.finetune.doctor import MISSING, OK, UNSEEN
from release_tool.core.finetune.parameters import recipe_data, tables_text
from release_tool.core.finetune.recipe import parse_recipe
from release_tool.services.finetune.roles import roles_of

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
MACHINES = {
    "ml.c5.4xlarge for training job usage": 2.0,
    "ml.g5.2xlarge for training job usage": 1.0,
    "ml.g5.xlarge for endpoint usage": 1.0,
}


@pytest.fixture
def account(s3, monkeypatch):
    with Account() as double:
        double.models.add(HAIKU)
        double.quotas["sagemaker"] = dict(MACHINES)
        for name, value in double.environment().items():
            monkeypatch.setenv(name, value)
        yield double


@pytest.fixture
def look(tmp_path, capsys):
    """Run the doctor over a recipe, and return exit code, state by name and everything that was said."""
    from release_tool.cli import run

    def looked(text, *options):
        recipe = tmp_path / "recipe.toml"
        recipe.write_text(text, encoding="utf-8")
        code = run(["--json", "finetune", "doctor", "--recipe", str(recipe), *options])
        said = capsys.readouterr()
        found = {one["what"]: one for one in json.loads(said.out)} if said.out else {}
        return code, found, said.err

    return looked


def test_a_recipe_that_needs_nothing_but_a_file_is_looked_at_without_aws(look, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n', encoding="utf-8")
    code, found, _ = look('[model]\nname = "a"\n[corpus]\npath = "a.jsonl"\n')
    assert code == 0
    assert {name: one["state"] for name, one in found.items()} == {"corpus": OK}


def test_a_file_that_is_not_there_is_missing(look):
    code, found, said = look('[model]\nname = "a"\n[corpus]\npath = "none.jsonl"\n')
    assert code == 12
    assert found["corpus"]["state"] == MISSING
    assert "for want of corpus" in said


BATCH = """
[model]
name = "a"
[corpus]
source = "s3"
s3_path = "s3://{bucket}/in/corpus.jsonl"
[queries]
provider = "bedrock"
batch_s3 = "s3://{bucket}/batches"
batch_role = "arn:aws:iam::123456789012:role/batch"
dollars_in = 0.5
dollars_out = 2.5
"""


@pytest.fixture
def bucket(s3):
    name = s3.make_bucket()
    s3.client().put_object(Bucket=name, Key="in/corpus.jsonl", Body=b'{"text": "a"}\n')
    return name


def test_all_that_batches_need_is_looked_at(look, account, bucket):
    code, found, _ = look(BATCH.format(bucket=bucket))
    assert code == 0
    assert {name: one["state"] for name, one in found.items()} == dict.fromkeys(
        ("identity", "documents", "model's region", "model", "batch size", "batch bucket", "batch role"), OK
    )
    assert f"arn:aws:iam::{ACCOUNT}:user/me in us-east-1" in found["identity"]["why"]


def test_everything_that_lacks_is_told_at_once_with_its_fix(look, account, bucket):
    account.models.clear()
    account.roles.clear()
    text = BATCH.format(bucket=bucket).replace("in/corpus", "in/nothing").replace(f"{bucket}/batches", "no-such-one/b")
    code, found, _ = look(text + "documents = 50\n")
    assert code == 12
    lacking = {name for name, one in found.items() if one["state"] == MISSING}
    assert lacking == {"documents", "model", "batch size", "batch bucket", "batch role"}
    assert all(one["fix"] for one in found.values() if one["state"] == MISSING)
    assert found["batch size"]["fix"] == "queries.documents = 100"


def test_every_file_in_s3_is_looked_at(look, account, bucket):
    keys = {"prompt": "in/corpus.jsonl", "examples": "in/none.jsonl", "qrels": "in/no.tsv", "path": "in/q.jsonl"}
    lines = "".join(f'{word} = "s3://{bucket}/{key}"\n' for word, key in keys.items())
    code, found, _ = look(f'[model]\nname = "a"\n[corpus]\npath = "none.jsonl"\n[queries]\nprovider = "file"\n{lines}')
    assert code == 12
    states = {name: one["state"] for name, one in found.items()}
    assert states == {
        "identity": OK, "prompt": OK, "corpus": MISSING,
        "example queries": MISSING, "judgements": MISSING, "own queries": MISSING,
    }  # fmt: skip


def test_what_may_not_be_looked_at_is_not_called_missing(look, account, bucket):
    account.forbidden = {"GetRole", "ListServiceQuotas"}
    code, found, _ = look(BATCH.format(bucket=bucket))
    assert code == 0
    assert found["batch role"]["state"] == UNSEEN
    assert "iam:GetRole" in found["batch role"]["fix"]
    assert found["batch size"]["state"] == OK


def test_the_region_of_either_variable_holds_and_none_is_told(look, account, bucket, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    _, found, _ = look(BATCH.format(bucket=bucket))
    assert found["identity"]["why"].endswith("in us-east-1")
    monkeypatch.delenv("AWS_REGION")
    code, found, _ = look(BATCH.format(bucket=bucket))
    assert code == 12
    assert "AWS_REGION" in found["identity"]["fix"]


def test_without_credentials_nothing_else_is_asked(look, account, bucket, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    code, found, _ = look(BATCH.format(bucket=bucket))
    assert code == 12
    assert list(found) == ["identity"]
    assert "AWS_PROFILE" in found["identity"]["fix"]


@pytest.mark.parametrize("name", ["s3", "opensearch", "training-only"])
def test_the_examples_and_their_parameter_files_say_the_same(repository, name):
    from release_tool.core.finetune.naming import bucket_name
    from release_tool.core.finetune.parameters import parameters_of

    folder = repository / "examples" / "finetune"
    recipe = parse_recipe((folder / f"{name}.toml").read_bytes())
    rows = json.loads((folder / f"{name}.parameters.json").read_text(encoding="utf-8"))
    given = {row["ParameterKey"]: row["ParameterValue"] for row in rows}
    assert given.pop("BucketName") == bucket_name(recipe.model.name, ACCOUNT)
    assert given == parameters_of(recipe)
    back = recipe_data(given) | {"engine": {"name": "aws"}}
    assert parse_recipe(tables_text(back).encode()) == recipe


def test_a_stack_is_looked_at_and_its_parameters_are_written(look, account, bucket, tmp_path):
    text = f"""
[model]
name = "Acme"
[corpus]
source = "s3"
s3_path = "s3://{bucket}/in/corpus.jsonl"
[aws]
register = false
"""
    out = tmp_path / "parameters.json"
    code, found, said = look(text, "--aws", "--parameters", str(out))
    assert code == 0, said
    assert {one["state"] for one in found.values()} == {OK}
    given = {row["ParameterKey"]: row["ParameterValue"] for row in json.loads(out.read_text(encoding="utf-8"))}
    assert given["ModelName"] == "Acme"
    assert given["BucketName"].endswith(f"-{ACCOUNT}")


def test_a_stack_that_would_fail_writes_no_parameters(look, account, bucket, tmp_path):
    account.quotas["sagemaker"]["ml.g5.2xlarge for training job usage"] = 0.0
    account.roles.add("FineTuning-LambdaInvokeOpenSearchRole")
    (tmp_path / "a.jsonl").touch()
    out = tmp_path / "parameters.json"
    code, found, _ = look('[model]\nname = "a"\n[corpus]\npath = "a.jsonl"\n', "--aws", "--parameters", str(out))
    assert code == 12
    assert not out.exists()
    lacking = {name for name, one in found.items() if one["state"] == MISSING}
    assert lacking == {"corpus", "ml.g5.2xlarge for training job usage", "search role", "cluster"}
    assert found["search role"]["fix"].startswith('aws.search_role = "opensearch-finetune-a-')


def test_a_recipe_for_aws_runs_no_stage_here(tmp_path, capsys):
    from release_tool.cli import run
    from release_tool.core.finetune.stages import FinetunePlan
    from release_tool.run_folder import RunFolder
    from release_tool.steps.finetune.plan import names_of

    recipe = parse_recipe(b'[model]\nname = "Acme"\n[corpus]\npath = "a"\n[engine]\nname = "aws"\n')
    names = names_of(recipe)
    assert names["stack"].startswith("opensearch-finetune-acme-")
    plan = FinetunePlan(tool_version="1", recipe=recipe, folder=str(tmp_path), names=names, pins={})
    RunFolder.below(tmp_path).write_plan(plan)
    assert run(["--work", str(tmp_path), "finetune", "corpus"]) == 2
    assert "not on this machine" in capsys.readouterr().err


def test_parameters_belong_to_the_template(look):
    code, _, said = look('[model]\nname = "a"\n[corpus]\npath = "a"\n', "--parameters", "x")
    assert code == 2
    assert "Add --aws" in said


@pytest.mark.parametrize(
    ("model", "region", "state"),
    [
        (HAIKU, "us-east-1", OK),
        (HAIKU, "eu-west-1", MISSING),
        (HAIKU, "us-gov-west-1", MISSING),
        ("us-gov.anthropic.x", "us-gov-west-1", OK),
        ("eu.anthropic.x", "eu-central-1", OK),
        ("jp.anthropic.x", "ap-northeast-1", OK),
        ("jp.anthropic.x", "ap-south-1", MISSING),
        ("global.anthropic.x", "sa-east-1", OK),
        ("anthropic.x", "sa-east-1", OK),
    ],
)
def test_a_profile_is_called_from_its_part_of_the_world(model, region, state):
    assert doctor.geography(model, region).state == state


def test_the_right_profile_is_named():
    assert "eu.anthropic.claude-haiku-4-5-20251001-v1:0" in doctor.geography(HAIKU, "eu-west-3").fix


def test_a_role_that_is_not_mapped_is_told_with_the_mapping():
    found = doctor.role_mapping(("own_index", "readall"), arn="arn:aws:iam::123456789012:role/x")
    assert found.state == MISSING
    assert 'rolesmapping/ml_full_access {"backend_roles": ["arn:aws:iam::123456789012:role/x"]}' in found.fix
    assert doctor.role_mapping(("all_access",), arn="").state == OK
    assert doctor.role_mapping(None, arn="").state == UNSEEN


def test_a_batch_of_too_few_is_told():
    assert doctor.batch_size(99, Limits()).state == MISSING
    assert doctor.batch_size(100, Limits()).state == OK


class Told:
    """A cluster that answers one thing."""

    def __init__(self, answer):
        self.answer = answer

    def send(self, _request, **_):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_roles_are_those_that_the_security_plugin_tells():
    from release_tool.errors import Refused

    assert roles_of(Told({"roles": ["a", "b"]})) == ("a", "b")
    assert roles_of(Told({"roles": "a"})) is None
    assert roles_of(Told(Refused("no handler", status=400))) is None
