"""What is named after a model in AWS: always within the limits of the service, and never another model's.

A model's name may be 40 letters, digits and hyphens, upper and lower case. A bucket may have 63 signs in lower case
only, a role 64; both hold the account or a fixed word, too. What does not fit whole ends in a digest of the name, so
that two models that begin alike, or differ in case only, don't share anything.
"""

from __future__ import annotations

import hashlib
import re

MAX_BUCKET, MAX_ROLE, MAX_SAGEMAKER, MAX_STACK = 63, 64, 63, 128
DIGEST = 8
STAGE = 9
"""Signs of the longest stage that is a job, ``hand-over``."""
TAIL = 9
"""Signs of what tells two attempts of a job apart: a hyphen and eight more."""
PREFIX = "opensearch-finetune"


def shortened(name: str, limit: int) -> str:
    """Return a name in lower case of at most ``limit`` letters, digits and hyphens; itself where it is that already."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if plain == name and len(plain) <= limit:
        return plain
    digest = hashlib.sha256(name.encode()).hexdigest()[:DIGEST]
    kept = plain[: limit - DIGEST - 1].strip("-")
    return f"{kept}-{digest}" if kept else digest


def bucket_name(model: str, account: str) -> str:
    """Return the bucket of a model in an account of AWS."""
    return f"{PREFIX}-{shortened(model, MAX_BUCKET - len(PREFIX) - len(account) - 2)}-{account}"


def role_name(model: str, purpose: str) -> str:
    """Return the role of a model for a purpose, one short word."""
    return f"{PREFIX}-{shortened(model, MAX_ROLE - len(PREFIX) - len(purpose) - 2)}-{purpose}"


def stack_name(model: str) -> str:
    """Return the stack of CloudFormation for a model."""
    return f"{PREFIX}-{shortened(model, MAX_STACK - len(PREFIX) - 1)}"


def run_name(model: str, execution: str) -> str:
    """Return what the jobs, the model and the endpoint of one execution have in their names.

    Args:
        model: name of the model.
        execution: ARN of the execution: another one, another name.
    """
    digest = hashlib.sha256(execution.encode()).hexdigest()[:DIGEST]
    room = MAX_SAGEMAKER - STAGE - TAIL - 1 - DIGEST - 1
    return f"{shortened(model, room)}-{digest}"
