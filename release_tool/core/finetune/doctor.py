"""What stands in the way of a run, and how it is put right: findings, and the rules that need no network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from release_tool.core.finetune.bedrock_batch import Limits
    from release_tool.core.finetune.sections_aws import AwsSection

OK, MISSING, UNSEEN = "ok", "MISSING", "UNSEEN"
GEOGRAPHIES = {
    "us": ("us-",),
    "eu": ("eu-",),
    "apac": ("ap-",),
    "jp": ("ap-northeast-1", "ap-northeast-3"),
    "au": ("ap-southeast-2", "ap-southeast-4"),
    "us-gov": ("us-gov-",),
}
"""First word of an inference profile → the regions that it may be called from; ``global`` from all of them."""
ENOUGH_ROLES = frozenset({"all_access", "ml_full_access"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: str
    """``ok``, ``MISSING``: the run would fail; ``UNSEEN``: it could not be looked at, and may be right."""
    why: str
    fix: str = ""


def geography(model: str, region: str) -> Finding:
    """Say whether a model of Bedrock can be called from a region: a profile belongs to one part of the world."""
    what = "model's region"
    first = model.partition(".")[0]
    homes = GEOGRAPHIES.get(first)
    if homes is None:
        return Finding(what=what, state=OK, why=f"{model} is bound to no part of the world")
    is_gov = region.startswith("us-gov-")
    if region.startswith(homes) and (is_gov == (first == "us-gov")):
        return Finding(what=what, state=OK, why=f"{model} can be called from {region}")
    rest = model.partition(".")[2]
    right = next((name for name, places in GEOGRAPHIES.items() if region.startswith(places)), "")
    right = "us-gov" if is_gov else right
    fix = f"queries.model = {right + '.' + rest!r}, if Bedrock has it" if right else "take a model of this region"
    return Finding(what=what, state=MISSING, why=f"{model} can't be called from {region}", fix=fix)


def batch_size(documents: int, limits: Limits) -> Finding:
    """Say whether a batch may be as small as a run's."""
    what = "batch size"
    if documents < limits.min_records:
        return Finding(
            what=what,
            state=MISSING,
            why=f"queries.documents is {documents:,}; a batch has {limits.min_records:,} records at least",
            fix=f"queries.documents = {limits.min_records}",
        )
    jobs = -(-documents // limits.max_records)
    return Finding(what=what, state=OK, why=f"{documents:,} documents make {jobs:,} of at most {limits.max_records:,}")


def machines(section: AwsSection, quotas: Mapping[str, float]) -> list[Finding]:
    """Say whether an account may start the machines of a run.

    Args:
        section: of the recipe.
        quotas: name → value of SageMaker's quotas.
    """
    wanted = {
        f"{section.processing_instance} for training job usage": 1,
        f"{section.scoring_instance} for training job usage": 1,
        f"{section.training_instance} for training job usage": 1,
    }
    if section.deploy:
        wanted[f"{section.inference_instance} for endpoint usage"] = section.inference_count
    found = []
    for name, count in wanted.items():
        allowed = quotas.get(name)
        if allowed is None:
            found.append(Finding(what=name, state=UNSEEN, why="the account tells no such quota"))
        elif allowed < count:
            fix = f"Service Quotas > Amazon SageMaker > {name}: ask for {count}"
            found.append(Finding(what=name, state=MISSING, why=f"the quota is {allowed:g} of {count}", fix=fix))
        else:
            found.append(Finding(what=name, state=OK, why=f"the quota is {allowed:g}"))
    return found


def role_mapping(roles: Iterable[str] | None, *, arn: str) -> Finding:
    """Say whether a user may register models; null where the cluster tells no roles.

    Args:
        roles: of OpenSearch that the user has.
        arn: of the role of IAM that the workflow takes, for the way to map it; "" where there is none.
    """
    what = "ml_full_access"
    body = json.dumps({"backend_roles": [arn or "ARN-OF-THE-ROLE"]})
    fix = (
        f"PUT _plugins/_security/api/rolesmapping/ml_full_access {body} (it replaces the mapping: add those that are "
        "there), or Dashboards > Security > Roles > ml_full_access > Mapped users"
    )
    if roles is None:
        return Finding(what=what, state=UNSEEN, why="the cluster tells no roles of this user", fix=fix)
    named = sorted(ENOUGH_ROLES & set(roles))
    if named:
        return Finding(what=what, state=OK, why=f"this user has {named[0]}")
    return Finding(what=what, state=MISSING, why="this user may not register models", fix=fix)
