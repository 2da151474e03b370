"""Ask for the job's token, assume the role with it, and export the credentials to the later steps.

Where STAND_IN_ACCOUNTS names an account for the role, that of an S3 server which knows no roles, its keys are exported
instead of the session's; the role had to be granted all the same.
"""

import http.client
import json
import os
import sys
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError


def main():
    role, region = os.environ["ROLE"], os.environ["REGION"]
    if not role or not region:
        sys.exit("::error::Input required and not supplied: role-to-assume and aws-region")
    if "ACTIONS_ID_TOKEN_REQUEST_URL" not in os.environ:
        sys.exit(
            "::error::It looks like you might be trying to authenticate with OIDC. Did you mean to set the"
            " `id-token` permission?"
        )
    session = assumed(role, region, identity())
    account = json.loads(os.environ.get("STAND_IN_ACCOUNTS") or "{}").get(role)
    values = account or {
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        if name in values:
            sys.stdout.write(f"::add-mask::{values[name]}\n")
    with Path(os.environ["GITHUB_ENV"]).open("a", encoding="utf-8") as stream:
        for name, value in {**values, "AWS_REGION": region, "AWS_DEFAULT_REGION": region}.items():
            stream.write(f"{name}={value}\n")


def identity():
    """Return the token of this job."""
    place = urlsplit(os.environ["ACTIONS_ID_TOKEN_REQUEST_URL"])
    connection = http.client.HTTPConnection(place.netloc, timeout=20)
    bearer = {"Authorization": f"Bearer {os.environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"}
    asked = urlencode({"audience": os.environ["AUDIENCE"]})
    connection.request("GET", f"{place.path}?{place.query}&{asked}", headers=bearer)
    answer = connection.getresponse()
    if answer.status != http.client.OK:
        sys.exit(f"::error::Could not get a token: {answer.status}")
    return json.load(answer)["value"]


def assumed(role, region, token):
    """Return the credentials of a session of the role."""
    client = boto3.session.Session().client("sts", region_name=region, config=Config(signature_version=UNSIGNED))
    try:
        return client.assume_role_with_web_identity(
            RoleArn=role, RoleSessionName=os.environ["SESSION"], WebIdentityToken=token
        )["Credentials"]
    except ClientError as refused:
        sys.exit(f"::error::Could not assume role with OIDC: {refused.response['Error']['Message']}")


main()
