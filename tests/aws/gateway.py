"""Start ministack with what AWS documents and ministack does not know yet: a program, run by ``server.py``.

ministack evaluates the policies of roles and buckets, and Null, Bool and ArnNotEquals in them; what it lacks is some
facts about a request that such conditions ask for. They are added here, by AWS's documentation and by nothing else:

- ``s3:if-match`` and ``s3:if-none-match`` are there where the request has the header (user guide of S3, "Enforce
  conditional writes" and "Enforce conditional deletes").
- ``s3:ObjectCreationOperation`` is false for CreateMultipartUpload, UploadPart and UploadPartCopy, which take no such
  header, and true for every other request that is authorised as PutObject (the same page).
- ``aws:PrincipalArn`` of a role's session is the ARN of the role (user guide of IAM, "Global condition keys").

Every request that was allowed is written down, with the action that it needed: what a role may do beyond that is too
much.
"""

from __future__ import annotations

import os
from pathlib import Path

import ministack.app
from ministack.core import iam_actions, iam_evaluator

CONDITIONAL = ("s3:PutObject", "s3:DeleteObject")
LOG = "GATEWAY_LOG"
"""Variable: the file that gets a line for each request that was allowed."""

enforced_before = iam_evaluator.enforce
told_before = iam_actions.s3_service_context
resolved_before = iam_evaluator._resolve_condition_key


def told(iam_action, query_params, path="", headers=None):
    """Return the condition keys of a request to S3."""
    context = told_before(iam_action, query_params, path, headers)
    if iam_action not in CONDITIONAL:
        return context
    given = {name.lower(): value for name, value in (headers or {}).items()}
    for name in ("if-match", "if-none-match"):
        if name in given:
            context[f"s3:{name}"] = given[name]
    if iam_action == "s3:PutObject":
        query = query_params or {}
        begins, part = "uploads" in query, "partNumber" in query
        context["s3:ObjectCreationOperation"] = "false" if begins or part else "true"
    return context


def resolved(key, ctx):
    """Return the value of a condition key that every service knows."""
    value = resolved_before(key, ctx)
    if key.lower() == "aws:principalarn" and ":assumed-role/" in str(value):
        head, _, rest = value.partition(":assumed-role/")
        return f"{head.replace(':sts:', ':iam:')}:role/{rest.split('/')[0]}"
    return value


def enforced(access_key_id, iam_action, service, region, resource_arn="*", service_context=None):
    """Decide on a request, and write down what was allowed to whom."""
    refusal = enforced_before(access_key_id, iam_action, service, region, resource_arn, service_context)
    if refusal is None:
        with Path(os.environ[LOG]).open("a", encoding="utf-8") as log:
            log.write(f"{access_key_id} {iam_action} {resource_arn}\n")
    return refusal


if __name__ == "__main__":
    iam_evaluator.enforce = enforced
    iam_actions.s3_service_context = told
    iam_evaluator._resolve_condition_key = resolved
    # It would take port 443, too, wherever it may.
    ministack.app._port_is_bindable = lambda *_: False
    ministack.app.main()
