"""Run ministack on loopback: S3, IAM, STS, Secrets Manager and CloudFormation whose policies are evaluated.

It refuses what a policy refuses, whether of a role or of a bucket. It takes any secret for a known access key, and any
signature of a web identity token: those can't be tested here.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from s3.server import free_port, wait_for

from aws.certificates import make_certificates
from aws.template import load

GATEWAY = Path(__file__).with_name("gateway.py")
UNKNOWN = "AWS::IAM::OIDCProvider"
"""The one resource of the templates that ministack can't make from a template."""
ACCOUNT = "123456789012"
REGION = "us-east-1"


@dataclass(frozen=True)
class Aws:
    """A running one."""

    endpoint: str
    authority: Path
    """The certificate that a client must trust."""
    log: Path
    """A line for each request that was allowed."""

    def used(self, credentials):
        """Return (action, ARN of the resource) of everything that was allowed to these credentials, in order."""
        lines = (line.split(" ", 2) for line in self.log.read_text(encoding="utf-8").splitlines())
        return [(action, resource) for key, action, resource in lines if key == credentials["AccessKeyId"]]

    def environment(self, credentials=None):
        """Return the variables that lead a client here, and to nobody's own settings.

        Args:
            credentials: of a role; null for the account's root, whom no policy binds.
        """
        found = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CA_BUNDLE": str(self.authority),
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "of-the-root",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }
        if credentials is not None:
            found |= {
                "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
                "AWS_SESSION_TOKEN": credentials["SessionToken"],
            }
        return found

    def client(self, service, credentials=None, **over):
        """Return a client of its own, past the package."""
        import boto3

        given = {
            "aws_access_key_id": credentials["AccessKeyId"] if credentials else ACCOUNT,
            "aws_secret_access_key": credentials["SecretAccessKey"] if credentials else "of-the-root",
            "aws_session_token": credentials["SessionToken"] if credentials else None,
        }
        settings = {"endpoint_url": self.endpoint, "verify": str(self.authority), "region_name": REGION}
        return boto3.session.Session().client(service, **{**given, **settings, **over})

    def assume(self, role, token):
        """Return credentials of a role for a web identity token, as a job gets them."""
        answer = anonymous_sts(self).assume_role_with_web_identity(
            RoleArn=role, RoleSessionName="job", WebIdentityToken=token
        )
        return answer["Credentials"]

    def deploy(self, stack, template, **parameters):
        """Create a stack of a template of this repository; return its outputs.

        A provider of identities is left out: the parameter ``Provider`` has to name one.
        """
        data = load(template)
        data["Resources"] = {key: one for key, one in data["Resources"].items() if one["Type"] != UNKNOWN}
        client = self.client("cloudformation")
        client.create_stack(
            StackName=stack,
            TemplateBody=json.dumps(data),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        client.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        (found,) = client.describe_stacks(StackName=stack)["Stacks"]
        return {item["OutputKey"]: item["OutputValue"] for item in found.get("Outputs", ())}

    def make_provider(self, issuer):
        """Make the account trust an issuer of tokens; return the provider's ARN."""
        client = self.client("iam")
        made = client.create_open_id_connect_provider(Url=issuer, ClientIDList=["sts.amazonaws.com"])
        return made["OpenIDConnectProviderArn"]

    def make_secret(self, name, **values):
        """Store a JSON object in Secrets Manager; return its ARN."""
        return self.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(values))["ARN"]


@functools.cache
def anonymous_sts(aws):
    """Return a client that signs nothing: whoever has a token needs no key."""
    from botocore import UNSIGNED
    from botocore.config import Config

    return aws.client("sts", config=Config(signature_version=UNSIGNED))


@contextmanager
def running_aws(folder):
    """Start one whose files lie below a folder, and end it."""
    port = free_port()
    files = make_certificates(folder)
    log, allowed = folder / "aws.log", folder / "allowed.log"
    allowed.touch()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "AUTH": "true",
        "GATEWAY_LOG": str(allowed),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(files.certificate),
        "MINISTACK_SSL_KEY": str(files.key),
        "LOG_LEVEL": "WARNING",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(GATEWAY)], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder,
            env=environment,
        )  # fmt: skip
    try:
        wait_for(port, process, log)
        yield Aws(endpoint=f"https://127.0.0.1:{port}", authority=files.authority, log=allowed)
    finally:
        # It keeps nothing that would have to be written, and takes its time for a polite end.
        process.kill()
        process.wait()
