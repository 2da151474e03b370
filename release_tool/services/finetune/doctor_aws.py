"""Look at an account of AWS with the eyes of a run: who asks, from where, and what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.core.finetune import doctor
from release_tool.core.finetune.doctor import MISSING, OK, UNSEEN, Finding
from release_tool.core.quantity import clip
from release_tool.errors import Refused, ReleaseError
from release_tool.services.finetune import aws
from release_tool.services.finetune.bedrock import read_limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from release_tool.core.finetune.recipe import Recipe

FORBIDDEN = 403


def identity(region: str) -> tuple[list[Finding], str, str]:
    """Return findings, the account and the region of whoever asks; both are "" where nobody does."""
    try:
        service = aws.client("sts", region)
        where = str(service.meta.region_name)
        with aws.asked("Who asks", "sts:GetCallerIdentity"):
            found = service.get_caller_identity()
    except ReleaseError as error:
        return [_missing("identity", error)], "", ""
    who = clip(one_line(str(found["Arn"])), 200)
    return [Finding(what="identity", state=OK, why=f"{who} in {where}")], str(found["Account"]), where


def bedrock(recipe: Recipe, region: str) -> list[Finding]:
    """Look at what queries by Bedrock need of the service: the model, and how many records a batch has."""
    queries = recipe.queries
    return [
        doctor.geography(queries.model, region),
        _seen("model", lambda: _model(queries.model, queries.region), f"ask Bedrock for access to {queries.model}"),
        _seen("batch size", lambda: doctor.batch_size(queries.documents, read_limits(queries)), ""),
    ]


def batches(recipe: Recipe) -> list[Finding]:
    """Look at what queries by Bedrock need in the account: bucket and role. The AWS template makes its own."""
    queries = recipe.queries
    return [
        _seen("batch bucket", lambda: _bucket(queries.batch_s3), "make it, or name another at queries.batch_s3"),
        _seen("batch role", lambda: _role(queries.batch_role), "make it: it trusts bedrock.amazonaws.com"),
    ]


def object_there(what: str, address: str) -> Finding:
    """Look whether an object, or any below a prefix, is in S3."""

    def look() -> Finding:
        bucket, key = aws.split_s3(address)
        with aws.asked(f"The list of {address}", "s3:ListBucket"):
            found = aws.client("s3").list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("KeyCount", 0)
        if not found:
            return Finding(what=what, state=MISSING, why=f"{address} is not there", fix="write it, or name another")
        return Finding(what=what, state=OK, why=f"{address} is there")

    return _seen(what, look, "name another one, or allow s3:ListBucket and s3:GetObject")


def machines(recipe: Recipe, region: str) -> list[Finding]:
    """Look whether the account may start the machines of the template."""
    try:
        service, quotas = aws.client("service-quotas", region), {}
        with aws.asked("SageMaker's quotas", "servicequotas:ListServiceQuotas"):
            for page in service.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker"):
                quotas.update({one["QuotaName"]: float(one["Value"]) for one in page.get("Quotas", ())})
    except ReleaseError as error:
        return [Finding(what="quotas", state=UNSEEN, why=str(error), fix=error.hint)]
    return doctor.machines(recipe.aws, quotas)


def free_role(name: str, other: str) -> Finding:
    """Look whether the role that the template makes does not exist yet.

    Args:
        name: of the role.
        other: a name to take where it does.
    """
    what = "search role"
    try:
        service: Any = aws.client("iam")
        with aws.asked(f"The role {name}", "iam:GetRole"):
            service.get_role(RoleName=name)
    except Refused as error:
        if "NoSuchEntity" in str(error):
            return Finding(what=what, state=OK, why=f"{name} is free")
        return Finding(what=what, state=UNSEEN, why=str(error), fix=error.hint)
    except ReleaseError as error:
        return Finding(what=what, state=UNSEEN, why=str(error), fix=error.hint)
    return Finding(
        what=what,
        state=MISSING,
        why=f"{name} is there already: a new stack can't make it (one that has it may be updated)",
        fix=f'aws.search_role = "{other}"',
    )


def _model(model: str, region: str) -> Finding:
    service: Any = aws.client("bedrock", region)
    with aws.asked(f"Bedrock's model {model}", "bedrock:GetInferenceProfile and bedrock:GetFoundationModel"):
        if model.partition(".")[0] in {*doctor.GEOGRAPHIES, "global"}:
            service.get_inference_profile(inferenceProfileIdentifier=model)
        else:
            service.get_foundation_model(modelIdentifier=model)
    return Finding(what="model", state=OK, why=f"Bedrock has {model}")


def _bucket(address: str) -> Finding:
    bucket, _ = aws.split_s3(address)
    with aws.asked(f"The bucket {bucket}", "s3:ListBucket"):
        aws.client("s3").head_bucket(Bucket=bucket)
    return Finding(what="batch bucket", state=OK, why=f"{bucket} is there")


def _role(arn: str) -> Finding:
    with aws.asked(f"The role {arn}", "iam:GetRole"):
        aws.client("iam").get_role(RoleName=arn.rpartition("/")[2])
    return Finding(what="batch role", state=OK, why=f"{arn} is there")


def _seen(what: str, look: Callable[[], Finding], fix: str) -> Finding:
    """Return what a look finds; forbidden to look is no proof that nothing is there."""
    try:
        return look()
    except Refused as error:
        state = UNSEEN if error.status == FORBIDDEN or "AccessDenied" in str(error) else MISSING
        return Finding(what=what, state=state, why=str(error), fix=error.hint if state == UNSEEN else fix)
    except ReleaseError as error:
        return _missing(what, error)


def _missing(what: str, error: ReleaseError) -> Finding:
    return Finding(what=what, state=MISSING, why=str(error), fix=error.hint)
