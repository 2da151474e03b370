"""The packages of the AWS template: published once, with a template that takes no other bytes than these."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aws.template import load as template_at
from packed import pack

from release_tool.cli import run
from release_tool.core.tuning_packages import NAMES

TAG = "v9.8.7"
BELOW = f"releases/finetune/{TAG}"


@pytest.fixture(scope="module")
def bucket(s3_server):
    return s3_server.make_bucket()


@pytest.fixture(scope="module")
def built(bucket, repository, tmp_path_factory):
    """Return folders: a build, and another one of the same tag, both for one place."""
    folder, place = tmp_path_factory.mktemp("built"), f"s3://{bucket}/releases/finetune"
    return {
        "first": pack(repository, folder / "first", place, TAG),
        "other": pack(repository, folder / "other", place, TAG, library="x = 2\n"),
    }


@pytest.fixture
def work(built, tmp_path):
    """Return a function: name of a build → work folder that holds it."""

    def make(name="first"):
        shutil.copytree(built[name], tmp_path / name / "packages")
        return tmp_path / name

    return make


@pytest.fixture(autouse=True)
def environment(s3_server, monkeypatch):
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)


def publish(work, to, *more):
    return run(["--work", str(work), "finetune", "publish", "--to", to, "--tag", TAG, *more])


def objects(s3_server, bucket):
    client = s3_server.client()
    found = client.list_objects_v2(Bucket=bucket).get("Contents", ())
    return {one["Key"]: client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in found}


@pytest.fixture(scope="module")
def published(built, bucket, s3_server, tmp_path_factory):
    """Return key → bytes after the first build was published."""
    work = tmp_path_factory.mktemp("published")
    shutil.copytree(built["first"], work / "packages")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment().items():
            patch.setenv(name, value)
        assert publish(work, f"s3://{bucket}") == 0
    return objects(s3_server, bucket)


def test_packages_and_template_lie_under_their_tag(published, built):
    assert published == {f"{BELOW}/{name}": (built["first"] / name).read_bytes() for name in NAMES}


def test_the_same_build_again_writes_nothing(published, work, bucket, s3_server, capsys):
    assert publish(work(), f"s3://{bucket}") == 0
    assert capsys.readouterr().out.count("was there  ") == len(NAMES)
    assert objects(s3_server, bucket) == published


def test_another_build_under_the_same_tag_is_refused_and_leaves_nothing(published, work, bucket, s3_server, capsys):
    assert publish(work("other"), f"s3://{bucket}") == 3
    assert f"{BELOW}/finetune-lambda.zip in s3://{bucket} is published with other bytes" in capsys.readouterr().err
    assert objects(s3_server, bucket) == published


def test_a_publication_that_was_killed_is_ended_by_the_next(published, work, bucket, s3_server, capsys):
    s3_server.client().delete_object(Bucket=bucket, Key=f"{BELOW}/template.yml")
    assert publish(work(), f"s3://{bucket}") == 0
    assert re.findall(r"(?m)^published  .*/(.+)$", capsys.readouterr().out) == ["template.yml"]
    assert objects(s3_server, bucket) == published


def changed(work, name, change):
    path = work / "packages" / name
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("finetune-lambda.zip", lambda data: data + b" ", "as finetune-lambda.zip, and that is"),
        ("finetune-training.tar.gz", lambda data: data[:-1], "as finetune-training.tar.gz, and that is"),
        ("template.yml", lambda data: data.replace(TAG.encode(), b"v9.8.6"), "is not that of v9.8.7"),
        ("template.yml", lambda data: re.sub(rb"s3://[^/]+", b"s3://elsewhere", data), "looks for finetune-lambda.zip"),
        ("template.yml", lambda data: re.sub(rb"    Default: s3://.*\n", b"", data), "at no address"),
        ("template.yml", lambda data: re.sub(rb'"[0-9a-f]{64}"', b'"' + b"0" * 64 + b'"', data), "pins 00000"),
        ("template.yml", lambda _: b"\xff\x00", "pins nothing"),
    ],
)
def test_a_template_that_does_not_pin_these_very_packages_is_not_published(work, capsys, bucket, name, change, says):
    folder = work()
    changed(folder, name, change)
    assert publish(folder, f"s3://{bucket}") == 7
    assert says in capsys.readouterr().err


def test_the_source_of_the_template_is_not_published(work, bucket, repository, capsys):
    folder = work()
    shutil.copy(repository / "templates" / "aws" / "finetune" / "template.yml", folder / "packages" / "template.yml")
    assert publish(folder, f"s3://{bucket}") == 7
    said = capsys.readouterr().err
    assert said.count("  - it ") == 5


def test_a_template_of_one_place_is_not_published_in_another(work, tmp_path, capsys):
    assert publish(work(), (tmp_path / "bucket").as_uri()) == 7
    assert "and it will lie at file://" in capsys.readouterr().err
    assert not (tmp_path / "bucket").exists()


def test_what_was_not_built_is_not_published(work, tmp_path, bucket, capsys):
    assert publish(tmp_path / "none", f"s3://{bucket}") == 2
    assert "There is no finetune-lambda.zip" in capsys.readouterr().err
    assert publish(work(), f"s3://{bucket}", "--tag", "../x") == 2
    assert "--tag: '../x' is no tag" in capsys.readouterr().err


# --- the stack that is made of it -------------------------------------------------------------------------------------


class Answers(BaseHTTPRequestHandler):
    """Where CloudFormation waits for an answer; and a web server of packages."""

    def do_PUT(self):
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.data)

    def log_message(self, *_):
        pass


@pytest.fixture
def cloudformation():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.got, server.data = [], b""
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def make_stack(cloudformation, tmp_path):
    """Return a function that lets the helper of a template do what it does when a stack is made; its answer."""

    def make(template, bucket, **addresses):
        path = tmp_path / "index.py"
        path.write_text(template["Resources"]["Helper"]["Properties"]["Code"]["ZipFile"], encoding="utf-8")
        spec = importlib.util.spec_from_file_location("index", path)
        index = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(index)
        event = {
            "RequestType": "Create", "StackId": "s", "RequestId": "r", "LogicalResourceId": "Packages",
            "ResponseURL": f"http://127.0.0.1:{cloudformation.server_port}/",
            "ResourceProperties": {"Bucket": bucket, "Packages": items_of(template, addresses)},
        }  # fmt: skip
        index.handler(event, None)
        return cloudformation.got[-1]

    return make


def items_of(template, addresses):
    """Return what CloudFormation tells the helper of the packages."""
    items, wanted = [], template["Resources"]["Packages"]["Properties"]["Packages"]
    pins = template["Mappings"]["Artifacts"]
    for one in wanted:
        parameter, place = one["Url"]["Ref"], one["Sha256"]["Fn::FindInMap"]
        sha256 = pins[place[1]][place[2]]
        key = one["Key"]["Fn::Sub"][0].replace("${Sha256}", sha256)
        address = addresses.get(parameter, template["Parameters"][parameter].get("Default"))
        items.append({"Url": address, "Sha256": sha256, "Key": key})
    return items


def load(folder, data):
    """Return a template as data."""
    (folder / "template.yml").write_bytes(data)
    return template_at(folder / "template.yml")


def test_a_stack_of_the_published_template_takes_the_published_packages(
    published, make_stack, s3_server, built, tmp_path
):
    template = load(tmp_path, published[f"{BELOW}/template.yml"])
    own = s3_server.make_bucket()
    assert make_stack(template, own)["Status"] == "SUCCESS"
    pins = {name: one["Sha256"] for name, one in template["Mappings"]["Artifacts"].items()}
    assert objects(s3_server, own) == {
        f"packages/{pins['Lambda']}/finetune-lambda.zip": (built["first"] / "finetune-lambda.zip").read_bytes(),
        f"packages/{pins['Training']}/finetune-training.tar.gz": (
            built["first"] / "finetune-training.tar.gz"
        ).read_bytes(),
    }


def test_a_stack_of_the_published_template_refuses_a_package_of_another_digest(
    published, make_stack, cloudformation, s3_server, built, tmp_path
):
    template, own = load(tmp_path, published[f"{BELOW}/template.yml"]), s3_server.make_bucket()
    cloudformation.data = (built["other"] / "finetune-lambda.zip").read_bytes()
    address = f"http://127.0.0.1:{cloudformation.server_port}/finetune-lambda.zip"
    answer = make_stack(template, own, LambdaZipUrl=address)
    assert answer["Status"] == "FAILED"
    assert f"and this template wants {template['Mappings']['Artifacts']['Lambda']['Sha256']}" in answer["Reason"]
    assert objects(s3_server, own) == {}
    # The right ones by way of a web server are as good.
    cloudformation.data = (built["first"] / "finetune-lambda.zip").read_bytes()
    assert make_stack(template, own, LambdaZipUrl=address)["Status"] == "SUCCESS"


def test_a_stack_of_the_source_takes_no_package_at_all(make_stack, cloudformation, s3_server, repository, tmp_path):
    source = (repository / "templates" / "aws" / "finetune" / "template.yml").read_bytes()
    own = s3_server.make_bucket()
    address = f"http://127.0.0.1:{cloudformation.server_port}/"
    answer = make_stack(load(tmp_path, source), own, LambdaZipUrl=address, TrainingScriptZipUrl=address)
    assert answer["Status"] == "FAILED"
    assert "make one with scripts/build-finetune" in answer["Reason"]
    assert objects(s3_server, own) == {}


def test_the_helper_may_read_the_two_published_objects_and_nothing_else_of_other_buckets(
    published, aws, bucket, tmp_path
):
    """CloudFormation makes the role of the published template, with the bucket and the log that it names."""
    template = load(tmp_path, published[f"{BELOW}/template.yml"])
    made = {name: template["Resources"][name] for name in ("Bucket", "HelperLog", "HelperRole")}
    client = aws.client("cloudformation")
    client.create_stack(
        StackName="packages", TemplateBody=json.dumps({**template, "Resources": made, "Outputs": {}}),
        Parameters=[{"ParameterKey": "ModelName", "ParameterValue": "acme"}], Capabilities=["CAPABILITY_IAM"],
    )  # fmt: skip
    client.get_waiter("stack_create_complete").wait(StackName="packages", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    found = {
        one["LogicalResourceId"]: one["PhysicalResourceId"]
        for one in client.describe_stack_resources(StackName="packages")["StackResources"]
    }
    policy = aws.client("iam").get_role_policy(RoleName=found["HelperRole"], PolicyName="what-it-needs")
    statements = policy["PolicyDocument"]["Statement"]
    (reading,) = [one for one in statements if one["Action"] == "s3:GetObject"]
    names = ("finetune-lambda.zip", "finetune-training.tar.gz")
    assert reading["Resource"] == [f"arn:aws:s3:::{bucket}/{BELOW}/{name}" for name in names]
    (writing,) = [one for one in statements if one["Action"] == "s3:PutObject"]
    assert writing["Resource"] == f"arn:aws:s3:::{found['Bucket']}/packages/*"
