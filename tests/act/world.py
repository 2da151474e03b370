"""Everything that the workflows talk to, on loopback: a hub, AWS, an S3 server, Jenkins, GitHub's API and its tokens.

The roles are those of templates/aws, made by CloudFormation. Whoever is granted one gets an account of the S3 server,
which knows no roles, with what the role may do there; where the S3 server is AWS's own stand-in, the session itself.
"""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aws.oidc import ISSUER, REQUEST_TOKEN, Issuer
from aws.server import REGION, running_aws
from github_double.git import Git
from github_double.server import TOKEN as GITHUB_TOKEN
from github_double.server import GitHubDouble
from hub.server import Hub
from jenkins_double.server import TOKEN, USER, Jenkins
from s3.proxy import running_proxy
from s3.server import ACCESS, PROGRAM, SECRET, running_server

from act.rewriting import Granted
from act.running import REPOSITORY, Runner
from release_tool.core.settings import SETTINGS_FILE, parse_settings
from release_tool.services.cache import cache_folder

JENKINS_SECRET = "releases/jenkins"
HUB_TOKEN = "hf_MARKED_hub_token_3Rz8"
TARGET = "production"
READ = ["s3:GetObject", "s3:ListBucket"]
WRITE = [
    *READ, "s3:PutObject", "s3:DeleteObject", "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts",
    "s3:AbortMultipartUpload",
]  # fmt: skip
ACCOUNTS = {f"bucket-read-{TARGET}": READ, f"publish-{TARGET}": WRITE, f"overwrite-{TARGET}": WRITE}
"""Environment → what its role may do with the S3 server."""
ROLES = {
    f"bucket-read-{TARGET}": "BucketReadRole",
    f"publish-{TARGET}": "PublishRole",
    f"overwrite-{TARGET}": "OverwriteRole",
    f"listing-{TARGET}": "ListingRole",
    "jenkins": "JenkinsRole",
}
"""Environment → output of the stacks."""


@dataclass
class World:
    """What runs, and what it holds."""

    folder: Path
    checkout: Path
    hub: Hub
    aws: Any
    roles: dict[str, str]
    """Environment → ARN of its role."""
    s3: Any
    proxy: Any
    bucket: str
    issuer: Issuer
    jenkins: Jenkins
    github: GitHubDouble
    runs: int = 0
    granted: Granted = field(default_factory=Granted)

    def runner(self, *, sessions=False, attempt=1):
        """Return a runner in a folder of its own.

        Args:
            attempt: which time the run is run.
            sessions: S3 is AWS's stand-in, too, and jobs act by the sessions of their roles.
        """
        self.runs += 1
        environment = {
            "AWS_ENDPOINT_URL": self.aws.endpoint,
            "AWS_CA_BUNDLE": str(self.aws.authority),
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1,localhost",
            "HF_ENDPOINT": self.hub.endpoint,
            "GITHUB_API_URL": self.github.address,
            "RELEASE_TOOL_CACHE": str(cache_folder(os.environ)),
            "OMP_NUM_THREADS": "1",
            **{name: os.environ[name] for name in ("JAVA_HOME", "OPENSEARCH_JAVA_HOME") if name in os.environ},
        }
        if not sessions:
            environment["AWS_ENDPOINT_URL_S3"] = self.proxy.endpoint
            environment["STAND_IN_ACCOUNTS"] = json.dumps(
                {
                    self.roles[name]: {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": secret_of(name)}
                    for name in ACCOUNTS
                }
            )
        return Runner(
            folder=self.folder / f"run-{self.runs}",
            checkout=self.checkout,
            granted=self.granted,
            environment=environment,
            files={SETTINGS_FILE: settings_of(self)},
            tokens=f"{self.issuer.address}/token",
            request_token=REQUEST_TOKEN,
            attempt=attempt,
        )

    def objects(self):
        """Return key → bytes of all that lies in the bucket now."""
        client = self.s3.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {key: client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    def writers(self):
        """Return who has written to the S3 server since its log was emptied."""
        return {who(request) for request in self.proxy.log if request.writes}

    def readers(self):
        """Return who has asked the S3 server for anything since its log was emptied."""
        return {who(request) for request in self.proxy.log}


def settings_of(world):
    """Return the settings of the checkout, but with the Jenkins of this machine."""
    text = (world.checkout / SETTINGS_FILE).read_text(encoding="utf-8")
    named = parse_settings(text.encode()).jenkins
    assert named.secret == JENKINS_SECRET
    return text.replace(f'"{named.server}"', f'"{world.jenkins.address}"')


def who(request):
    """Return the access key of a request to the S3 server."""
    return request.headers["authorization"].partition("Credential=")[2].partition("/")[0]


def secret_of(name):
    return f"MARKED-secret-of-{name}"


@contextmanager
def running_world(folder, checkout):
    """Start everything, and end it."""
    targets = parse_settings((checkout / SETTINGS_FILE).read_bytes())
    bucket = targets.target(TARGET).to.removeprefix("s3://")
    with ExitStack() as stack:
        for name in ("aws", "s3", "iam"):
            (folder / name).mkdir()
        aws = stack.enter_context(running_aws(folder / "aws"))
        server = stack.enter_context(running_server(folder / "s3", "--iam-dir", str(folder / "iam")))
        git = Git.made(folder / "github", proposed_files(checkout))
        world = World(
            folder=folder,
            checkout=checkout,
            hub=stack.enter_context(Hub()),
            aws=aws,
            roles=made_roles(aws, bucket),
            s3=server,
            proxy=stack.enter_context(running_proxy(server.endpoint)),
            bucket=bucket,
            issuer=stack.enter_context(Issuer(REPOSITORY)),
            jenkins=stack.enter_context(Jenkins()),
            github=stack.enter_context(GitHubDouble(git, REPOSITORY)),
        )
        make_accounts(server, bucket)
        world.granted = granted(world)
        yield world


def proposed_files(checkout):
    """Return what of the checkout the records are about, and the workflow that is to check them."""
    names = (
        "supported_models.json", "MODEL_UPLOAD_HISTORY.md", "CHANGELOG.md", ".github/workflows/ci.yml",
        *(str(path.relative_to(checkout)) for path in sorted((checkout / "model_listing").glob("*"))),
        *(str(path.relative_to(checkout)) for path in sorted((checkout / "templates").glob("*.j2"))),
    )  # fmt: skip
    return {name: (checkout / name).read_bytes() for name in names if (checkout / name).is_file()}


def made_roles(aws, bucket):
    """Make the stacks of the templates; return environment → ARN of its role."""
    secret = aws.make_secret(JENKINS_SECRET, user=USER, token=TOKEN)
    shared = {"Subject": f"repo:{REPOSITORY}", "JenkinsSecret": secret, "Provider": aws.make_provider(ISSUER)}
    outputs = aws.deploy("account", "account.yml", **shared)
    outputs |= aws.deploy(TARGET, "target.yml", Target=TARGET, BucketName=bucket, **shared)
    return {environment: outputs[output] for environment, output in ROLES.items()}


def make_accounts(server, bucket):
    """Make the bucket, versioned as the template has it, and an account for each role that works with it."""
    client = server.client()
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    statements = []
    for name, actions in ACCOUNTS.items():
        administration = [PROGRAM, "admin", "--access", ACCESS, "--secret", SECRET, "--region", REGION]
        administration += ["--endpoint-url", server.endpoint, "create-user", "--role", "user"]
        made = [*administration, "--access", name, "--secret", secret_of(name)]
        subprocess.run(made, check=True, capture_output=True)
        statements.append({"Effect": "Allow", "Principal": {"AWS": [name]}, "Action": actions, "Resource": resources})
    policy = {"Version": "2012-10-17", "Statement": statements}
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def granted(world):
    """Return what the repository and its environments hold, as the set-up guide says."""
    environments = {
        name: Granted(variables={"AWS_ROLE": role, "AWS_REGION": REGION}) for name, role in world.roles.items()
    }
    environments["hub-read"] = Granted(secrets={"HF_TOKEN": HUB_TOKEN})
    return Granted(
        secrets={"GITHUB_TOKEN": GITHUB_TOKEN},
        environments=environments,
    )
