"""The roles and the bucket's policy of templates/aws, held against the real commands on services that evaluate them.

ministack evaluates the policies as CloudFormation made them of the templates, TLS included; what it does not know of
conditional writes is in ``aws/gateway.py``, by AWS's documentation. AWS itself is not asked.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import shutil
from contextlib import contextmanager

import pytest
from aws.oidc import AUDIENCE, ISSUER, Issuer
from aws.template import load
from factories import make_plan
from ledger_rows import old_file
from publications import another, reviewed

from release_tool import documents
from release_tool.cli import run
from release_tool.core.listing import LISTINGS
from release_tool.core.naming import ROOT
from release_tool.core.publication import claim_key, marker_key
from release_tool.errors import RemoteFailed
from release_tool.services.secrets import read_credentials

PART_BYTES = 4096
"""Less than S3 takes, so that what proves a release comes in parts, too."""
PLAN = make_plan()
FIRST, LAST = sorted(PLAN.artifacts, key=lambda artifact: artifact.key)
ONE_FORMAT = make_plan(artifacts=(LAST,))
BUCKET, PREFIX, TARGET = "acme-models-staging", "models/", "staging"
ADDRESS = f"s3://{BUCKET}/{PREFIX.rstrip('/')}"
ENVIRONMENTS = {
    "BucketReadRole": f"bucket-read-{TARGET}",
    "PublishRole": f"publish-{TARGET}",
    "OverwriteRole": f"overwrite-{TARGET}",
    "ListingRole": f"listing-{TARGET}",
    "JenkinsRole": "jenkins",
}
PROOF = f"certificate-{LAST.id}.json"
ETAG = '"0123456789abcdef0123456789abcdef"'


def two_parts(artifact):
    """Return the bytes of an archive that is sent in two parts."""
    return (artifact.encode() * PART_BYTES)[:PART_BYTES] + b"the second part"


@pytest.fixture(autouse=True, scope="module")
def small_parts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "PART_BYTES", PART_BYTES)
        yield


@pytest.fixture(scope="module")
def issuer():
    with Issuer() as running:
        yield running


class Account:
    """The stacks of the templates, and who may become which role."""

    def __init__(self, aws, issuer):
        self.aws, self.issuer = aws, issuer
        self.secret = aws.make_secret("releases/jenkins", user="releaser", token="of-jenkins")
        self.other = aws.make_secret("releases/other", user="nobody", token="of-another")
        subject = f"repo:{issuer.repository}"
        shared = {"Subject": subject, "JenkinsSecret": self.secret, "Provider": aws.make_provider(ISSUER)}
        self.roles = aws.deploy("account", "account.yml", **shared)
        self.roles |= aws.deploy(TARGET, "target.yml", Target=TARGET, BucketName=BUCKET, Prefix=PREFIX, **shared)
        self.sessions = {role: self.become(role) for role in ENVIRONMENTS}
        """Of the commands."""
        self.clients = {role: aws.client("s3", self.become(role)) for role in ENVIRONMENTS}
        """Of whoever tries more than the commands do."""
        self.root = aws.client("s3")

    def become(self, role):
        return self.aws.assume(self.roles[role], self.issuer.token(ENVIRONMENTS[role]))

    def s3(self, role=None):
        return self.clients[role] if role else self.root

    def interrupt(self, work, digest):
        """Leave uploads behind as killed runs do: of an archive and of what proves it, with a part and without."""
        client = self.s3("PublishRole")
        for key, path in ((LAST.key, f"archives/{LAST.file_name}"), (f"releases/{digest}/{PROOF}", PROOF)):
            there = {"Bucket": BUCKET, "Key": PREFIX + key}
            data = (work / path).read_bytes()
            assert len(data) > PART_BYTES
            begun, _ = (client.create_multipart_upload(**there, ChecksumAlgorithm="SHA256") for _ in range(2))
            client.upload_part(**there, UploadId=begun["UploadId"], PartNumber=1, Body=data[:PART_BYTES])

    @contextmanager
    def acting(self, role):
        """Let the package's own clients act as a role."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            for name, value in self.aws.environment(self.sessions[role]).items():
                patch.setenv(name, value)
            yield

    def there(self):
        """Return every key of the target."""
        pages = self.s3().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {item["Key"].removeprefix(PREFIX) for page in pages for item in page.get("Contents", ())}


@pytest.fixture(scope="module")
def account(aws, issuer):
    return Account(aws, issuer)


def publish(work, digest):
    return run(["--work", str(work), "-q", "publish", "--approved", digest, "--to", ADDRESS])


def check(work, *more):
    return run(["--work", str(work), "-q", "check", "--to", ADDRESS, *more])


@pytest.fixture(scope="module")
def released(account, tmp_path_factory):
    """Return a release of one archive in two parts, published by its role over an upload that was given up half-way."""
    work = tmp_path_factory.mktemp("released")
    digest = reviewed(work, archive_of=two_parts, plan=ONE_FORMAT)
    with account.acting("BucketReadRole"):
        assert check(work) == 0
    account.interrupt(work, digest)
    with account.acting("PublishRole"):
        assert publish(work, digest) == 0
    assert not account.s3().list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    return work, digest


@pytest.fixture(scope="module")
def lost(account, released, tmp_path_factory):
    """Return a release that took one claim and found the other one taken."""
    work = tmp_path_factory.mktemp("lost")
    digest = another(work, plan=make_plan())
    for role in ("PublishRole", "OverwriteRole"):
        with account.acting(role):
            assert publish(work, digest) == 3
    return work, digest


@pytest.fixture(scope="module")
def listed(account, released, tmp_path_factory):
    """Return a repository whose listings lie in the bucket, written twice."""
    repo = tmp_path_factory.mktemp("repo")
    (repo / "supported_models.json").write_bytes(old_file())
    work = shutil.copytree(released[0], tmp_path_factory.mktemp("recorded") / "work")
    assert run(["--work", str(work), "--repo", str(repo), "-q", "record", "--uploader", "octocat"]) == 0
    with account.acting("ListingRole"):
        for _ in range(2):
            assert run(["--repo", str(repo), "-q", "listing", "publish", "--to", ADDRESS]) == 0
            for name in LISTINGS:
                (repo / name).write_bytes((repo / name).read_bytes() + b"\n")
    return repo


@pytest.fixture(scope="module")
def replaced(account, released, listed, tmp_path_factory):
    """Return what became of a release that replaces the first one: refused to one role, done by the other."""
    work = tmp_path_factory.mktemp("replaced")
    with account.acting("BucketReadRole"):
        found = {key: account_digest(account, key) for key in (LAST.key, LAST.config_key)}
    digest = reviewed(work, archive_of=lambda one: two_parts(one.upper()), plan=replacing(found))
    account.interrupt(work, digest)
    codes = {}
    for role in ("PublishRole", "OverwriteRole"):
        with account.acting(role):
            codes[role] = publish(work, digest)
    return work, digest, codes


@pytest.fixture(scope="module")
def informed(account):
    """Return role → the token for Jenkins that it read, and the exit code when it asked for another secret."""
    found = {}
    for role in ("JenkinsRole", "ListingRole"):
        with account.acting(role):
            token = read_credentials({}, account.secret).token
            with pytest.raises(RemoteFailed, match="AccessDenied") as refusal:
                read_credentials({}, account.other)
            found[role] = (token, refusal.value.exit_code)
    return found


def replacing(found):
    return make_plan(artifacts=(LAST,), replaces=found)


def account_digest(account, key):
    data = account.s3().get_object(Bucket=BUCKET, Key=PREFIX + key)["Body"].read()
    return hashlib.sha256(data).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# What each role can do, by the commands themselves


def test_a_release_is_checked_and_published_by_its_roles(account, released):
    keys = account.there()
    assert {LAST.key, LAST.config_key, claim_key(LAST.key), marker_key(released[1])} <= keys
    assert account.s3().head_object(Bucket=BUCKET, Key=PREFIX + LAST.key)["ETag"].endswith('-2"')
    with account.acting("BucketReadRole"):
        assert check(released[0]) == 3
    with account.acting("PublishRole"):
        assert publish(*released) == 0


def test_a_release_that_loses_a_claim_removes_its_own(account, lost):
    assert claim_key(FIRST.key) not in account.there()
    assert not any(lost[1] in key for key in account.there())


def test_the_listings_are_written_by_their_role(account, listed):
    for name in LISTINGS:
        there = account.s3().get_object(Bucket=BUCKET, Key=f"{PREFIX}{ROOT}/{name}")["Body"].read()
        assert there + b"\n" == (listed / name).read_bytes()


def test_only_the_role_that_overwrites_replaces_a_release(account, replaced):
    work, digest, codes = replaced
    assert codes == {"PublishRole": 8, "OverwriteRole": 0}
    assert account_digest(account, LAST.key) == documents.file_sha256(work / "archives" / LAST.file_name)
    assert marker_key(digest) in account.there()


def test_two_roles_read_the_credentials_for_jenkins_and_no_other_secret(account, informed):
    assert informed == {"JenkinsRole": ("of-jenkins", 10), "ListingRole": ("of-jenkins", 10)}


# ---------------------------------------------------------------------------------------------------------------------
# What nobody can do


def refused(call, *, bucket=BUCKET, **arguments):
    """Tell whether the services refuse a request for want of rights, and not for another reason."""
    from botocore.exceptions import ClientError

    try:
        call(Bucket=bucket, **arguments)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        assert code in {"AccessDenied", "403", "PreconditionFailed", "NoSuchKey"}, code
        return code in {"AccessDenied", "403"}
    return False


NEW = {"IfNoneMatch": "*", "Body": b"new"}
ARCHIVE = f"{PREFIX}ml-models/huggingface/acme/new/1.0.0/onnx/acme_new-1.0.0-onnx.zip"
LISTING = f"{PREFIX}{ROOT}/{LISTINGS[1]}"
CLAIM = PREFIX + claim_key("ml-models/huggingface/acme/new/1.0.0/onnx/acme_new-1.0.0-onnx.zip")
EVIDENCE = f"{PREFIX}releases/{'a' * 64}/plan.json"
STRAY = [
    "stray.txt",
    "ml-models/huggingface/acme/new/1.0.0/onnx/acme_new-1.0.0-onnx.zip",
    "other/releases/claims/x.json",
    f"{PREFIX}other/x.json",
]


@pytest.mark.parametrize(
    ("role", "keys"),
    [
        ("BucketReadRole", [ARCHIVE, LISTING, CLAIM, EVIDENCE, *STRAY]),
        ("PublishRole", [LISTING, *STRAY]),
        ("OverwriteRole", [LISTING, *STRAY]),
        ("ListingRole", [ARCHIVE, CLAIM, EVIDENCE, f"{PREFIX}{ROOT}/model_listing/other.json", *STRAY]),
        ("JenkinsRole", [ARCHIVE, LISTING, CLAIM, EVIDENCE, *STRAY]),
    ],
)
def test_a_role_writes_nowhere_else(account, role, keys):
    client = account.s3(role)
    assert [key for key in keys if not refused(client.put_object, Key=key, **NEW)] == []
    assert [key for key in keys if not refused(client.create_multipart_upload, Key=key)] == []


@pytest.mark.parametrize("role", ["JenkinsRole", "ListingRole"])
def test_a_role_that_has_no_business_with_archives_reads_none(account, released, role):
    client = account.s3(role)
    for key in (LAST.key, claim_key(LAST.key), marker_key(released[1])):
        assert refused(client.get_object, Key=PREFIX + key)
    assert refused(client.list_objects_v2) is (role == "JenkinsRole")


@pytest.mark.parametrize("role", ["PublishRole", "OverwriteRole"])
def test_nothing_is_written_without_a_condition(account, role):
    client = account.s3(role)
    for key in (ARCHIVE, CLAIM, EVIDENCE):
        assert refused(client.put_object, Key=key, Body=b"blind")
        begun = client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        part = client.upload_part(Bucket=BUCKET, Key=key, UploadId=begun, PartNumber=1, Body=b"blind")
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        assert refused(client.complete_multipart_upload, Key=key, UploadId=begun, MultipartUpload=parts)
        client.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=begun)
    listing = account.s3("ListingRole")
    assert refused(listing.put_object, Key=LISTING, Body=b"blind")


def test_if_match_is_for_claims_and_for_the_role_that_overwrites(account):
    """A condition that can't hold is answered by 412: the policy has let the request pass."""
    for role in ("PublishRole", "OverwriteRole"):
        put = account.s3(role).put_object
        assert not refused(put, Key=CLAIM, IfMatch=ETAG, Body=b"")
        assert refused(put, Key=EVIDENCE, IfMatch=ETAG, Body=b"")
        assert refused(put, Key=ARCHIVE, IfMatch=ETAG, Body=b"") is (role == "PublishRole")


def test_a_copy_can_not_stand_for_an_upload(account, released):
    source = {"Bucket": BUCKET, "Key": PREFIX + LAST.key}
    for role in ("PublishRole", "OverwriteRole"):
        assert refused(account.s3(role).copy_object, Key=ARCHIVE, CopySource=source)


@pytest.mark.parametrize("role", [*ENVIRONMENTS])
def test_nobody_deletes_anything_but_a_claim_by_its_etag(account, released, listed, role):
    client = account.s3(role)
    for key in (LAST.key, LAST.config_key, marker_key(released[1]), f"{ROOT}/{LISTINGS[0]}"):
        assert refused(client.delete_object, Key=PREFIX + key)
        assert refused(client.delete_object, Key=PREFIX + key, IfMatch=ETAG)
        version = account.s3().head_object(Bucket=BUCKET, Key=PREFIX + key)["VersionId"]
        assert refused(client.delete_object, Key=PREFIX + key, VersionId=version)
    assert refused(client.delete_object, Key=PREFIX + claim_key(LAST.key))
    publishes = role in {"PublishRole", "OverwriteRole"}
    assert refused(client.delete_object, Key=PREFIX + claim_key(LAST.key), IfMatch=ETAG) is not publishes
    assert claim_key(LAST.key) in account.there()


def test_an_administrator_of_the_account_is_held_to_the_same(account, released):
    """Rights to everything do not help against the bucket's own policy; whoever may change that policy can."""
    iam = account.aws.client("iam")
    trust = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {"Federated": account.roles["Provider"]},
                "Action": "sts:AssumeRoleWithWebIdentity",
            },
        }
    )
    role = iam.create_role(RoleName="administrator", AssumeRolePolicyDocument=trust)["Role"]
    everything = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    iam.put_role_policy(RoleName="administrator", PolicyName="all", PolicyDocument=json.dumps(everything))
    client = account.aws.client("s3", account.aws.assume(role["Arn"], account.issuer.token()))
    assert not refused(client.list_objects_v2)
    version = client.head_object(Bucket=BUCKET, Key=PREFIX + LAST.key)["VersionId"]
    for more in ({}, {"IfMatch": ETAG}, {"VersionId": version}):
        assert refused(client.delete_object, Key=PREFIX + LAST.key, **more)
    claim = PREFIX + claim_key(LAST.key)
    version = client.head_object(Bucket=BUCKET, Key=claim)["VersionId"]
    assert refused(client.delete_object, Key=claim, VersionId=version, IfMatch=ETAG)
    assert refused(client.put_object, Key=PREFIX + LAST.key, Body=b"other")
    assert refused(client.put_object, Key=PREFIX + LAST.key, IfMatch=ETAG, Body=b"other")


def test_nothing_goes_over_plain_http(account, released):
    """The very same request, told by the gateway to have come without TLS."""
    client = account.aws.client("s3", account.become("BucketReadRole"))
    there = {"Bucket": BUCKET, "Key": PREFIX + LAST.key}
    assert client.head_object(**there)["ContentLength"]
    client.meta.events.register("before-send.s3", lambda request, **_: plain(request))
    assert refused(client.get_object, Key=PREFIX + LAST.key)


def plain(request):
    request.headers["X-Forwarded-Proto"] = "http"


def test_the_bucket_is_made_as_it_must_be(account):
    client, there = account.s3(), {"Bucket": BUCKET}
    assert client.get_bucket_versioning(**there)["Status"] == "Enabled"
    assert set(client.get_public_access_block(**there)["PublicAccessBlockConfiguration"].values()) == {True}
    (owned,) = client.get_bucket_ownership_controls(**there)["OwnershipControls"]["Rules"]
    assert owned == {"ObjectOwnership": "BucketOwnerEnforced"}
    (rule,) = client.get_bucket_encryption(**there)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    # ministack makes no lifecycle of a template: its text.
    (rule,) = load("target.yml")["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert set(rule) == {"Id", "Status", "AbortIncompleteMultipartUpload"}
    assert rule["Status"] == "Enabled"


def test_a_stack_that_goes_leaves_the_bucket_and_what_protects_it(account):
    for name, kept in (("target.yml", {"Bucket", "BucketPolicy"}), ("account.yml", {"GitHub"})):
        resources = load(name)["Resources"]
        for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
            assert {key for key, one in resources.items() if one.get(policy) == "Retain"} == kept


def test_the_provider_is_github_s_and_only_where_none_is_named():
    """The one resource that ministack can't make: its text."""
    resource = load("account.yml")["Resources"]["GitHub"]
    assert resource["Properties"] == {"Url": ISSUER, "ClientIdList": [AUDIENCE]}
    assert resource["Condition"] == "MakeProvider"
    assert load("account.yml")["Conditions"]["MakeProvider"] == {"Fn::Equals": [{"Ref": "Provider"}, ""]}


def test_a_reader_mirrors_the_models_and_sees_nothing_else(aws, account):
    """The role of the Jenkins job, in a bucket of its own."""
    everywhere = {"Effect": "Allow", "Principal": {"Federated": account.roles["Provider"]}, "Action": "sts:*"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": everywhere})
    reader = aws.client("iam").create_role(RoleName="mirror", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    shared = {"Subject": "repo:acme/releases", "Provider": account.roles["Provider"]}
    aws.deploy("mirrored", "target.yml", Target="mirrored", BucketName="acme-mirrored", Reader=reader, **shared)
    root, client = aws.client("s3"), aws.client("s3", aws.assume(reader, account.issuer.token()))
    for key in ("ml-models/a/config.json", "releases/claims/a.json"):
        root.put_object(Bucket="acme-mirrored", Key=key, Body=b"{}", IfNoneMatch="*")
    there = {"Bucket": "acme-mirrored"}
    assert client.get_object(**there, Key="ml-models/a/config.json")["Body"].read() == b"{}"
    assert client.list_objects_v2(**there, Prefix="ml-models/")["KeyCount"] == 1
    for call, more in (
        (client.get_object, {"Key": "releases/claims/a.json"}),
        (client.list_objects_v2, {}),
        (client.list_objects_v2, {"Prefix": "releases/"}),
        (client.put_object, {"Key": "ml-models/b", "Body": b"", "IfNoneMatch": "*"}),
    ):
        assert refused(call, **more, bucket="acme-mirrored")


# ---------------------------------------------------------------------------------------------------------------------
# Who becomes a role


@pytest.mark.parametrize("role", [*ENVIRONMENTS])
def test_a_role_trusts_one_environment_of_one_repository(account, role):
    from botocore.exceptions import ClientError

    own, issuer = ENVIRONMENTS[role], account.issuer
    subjects = [
        *(issuer.subject(environment) for environment in ENVIRONMENTS.values() if environment != own),
        issuer.subject(),
        f"repo:{issuer.repository}:pull_request",
        issuer.subject(own) + "2",
        issuer.subject(own).upper(),
        f"repo:acme/releases-fork:environment:{own}",
        f"repo:evil/acme/releases:environment:{own}",
        "*",
    ]
    wrong = [issuer.token(own, sub=subject) for subject in subjects]
    wrong += [issuer.token(own, audience=audience) for audience in ("https://github.com/acme", "")]
    for token in wrong:
        with pytest.raises(ClientError, match="AccessDenied"):
            account.aws.assume(account.roles[role], token)
    assert account.aws.assume(account.roles[role], issuer.token(own))["SessionToken"]


@pytest.mark.parametrize("role", [*ENVIRONMENTS])
def test_only_a_role_that_publishes_may_last_longer_than_an_hour(account, role):
    """publish.yml asks for two hours; AWS refuses more than the role allows, and by default an hour is."""
    found = account.aws.client("iam").get_role(RoleName=account.roles[role].rpartition("/")[2])["Role"]
    assert found.get("MaxSessionDuration", 3600) == (7200 if role in {"PublishRole", "OverwriteRole"} else 3600)


def test_no_workflow_asks_for_a_longer_session_than_its_role_allows(repository):
    flows = {path.name: path.read_text() for path in repository.glob(".github/workflows/*.yml")}
    asked = {name: re.findall(r"role-duration-seconds: (\d+)", text) for name, text in flows.items()}
    assert {name: found for name, found in asked.items() if found} == {"publish.yml": ["7200"]}


# ---------------------------------------------------------------------------------------------------------------------
# Nothing beyond


def granted(account, role):
    """Return (action, pattern of the resource) of everything that a role's policies allow."""
    iam, name = account.aws.client("iam"), account.roles[role].rpartition("/")[2]
    documents_of = [
        iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    ]
    for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)
        documents_of.append(found["PolicyVersion"]["Document"])
    for document in documents_of:
        for statement in document["Statement"]:
            if statement["Effect"] == "Allow":
                for action in aslist(statement["Action"]):
                    for resource in aslist(statement["Resource"]):
                        yield action, resource


def aslist(value):
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("role", [*ENVIRONMENTS])
def test_a_role_has_no_right_that_its_commands_did_not_use(account, replaced, lost, informed, role):
    """What is granted is what the commands above asked for: every action, on every pattern of keys."""
    used = account.aws.used(account.sessions[role])
    rights = list(granted(account, role))
    assert rights
    idle = [
        (action, pattern)
        for action, pattern in rights
        if not any(action == one and fnmatch.fnmatchcase(resource, pattern) for one, resource in used)
    ]
    assert not idle
