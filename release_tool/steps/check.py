"""``release-tool check``: before anything is traced, look whether the version is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.cli import Context
    from release_tool.core.plan import ReleasePlan
    from release_tool.services.bucket import Bucket

HELP = """Look in the bucket whether the planned version is taken.

Exit code 3 when one of the plan's keys exists, with its digest and the release that it belongs to. A bucket that
can't say is an error and never means that a key is free. Publishing looks again, under the bucket's own conditions.

\b
Examples:
  release-tool check --to s3://models/production
  release-tool check --overwrite          # plan to replace exactly what lies there now
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The release that claims a key."""

    approved: str
    released_at: str
    """UTC: when it took the claim."""
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """One key of the plan that exists."""

    key: str
    sha256: str
    """Of the bytes that lie there now."""
    owner: Owner | None
    """Null where nobody claims it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What ``check`` found."""

    to: str
    keys: tuple[str, ...]
    """The plan's keys, all of them free unless ``replaces`` names them."""
    existing: tuple[Existing, ...]
    claimed: dict[str, Owner]
    """Key of an archive → the release that claims it and has not ended."""
    replaces: dict[str, str] | None
    """As the plan has it now."""


@click.command(help=HELP, short_help="Look in the bucket whether the version is taken.")
@click.option(
    "--to",
    metavar="ADDRESS",
    help="s3://bucket/prefix, file:///folder or a target.  [default: the plan's target, else a folder in --work]",
)
@click.option("--overwrite", is_flag=True, help="Write the digests that lie there now into the plan, to be replaced.")
@click.option("--dry-run", is_flag=True, help="With --overwrite: show what would be replaced, and leave the plan.")
@click.pass_obj
def command(context: Context, to: str | None, *, overwrite: bool, dry_run: bool) -> None:
    """Look for the plan's keys."""
    from release_tool.lock import hold

    if dry_run:
        found = run_check(context, to, overwrite=overwrite, dry_run=True)
    else:
        with hold(context.work, "check"):
            found = run_check(context, to, overwrite=overwrite)
    rows = [f"replaces  {key}  {sha256}" for key, sha256 in (found.replaces or {}).items()]
    free = [f"free      {key}" for key in found.keys if key not in (found.replaces or {})]
    emit(context, "\n".join(rows + free), found)


def run_check(context: Context, to: str | None, *, overwrite: bool = False, dry_run: bool = False) -> Checked:
    """Look for the plan's keys, and write what is to be replaced into the plan where that was asked for.

    Raises:
        AlreadyReleased: a key exists and the plan does not replace it.
        PublishError: the bucket refused to say.
        Unreachable: it did not answer.
    """
    from dataclasses import replace

    from release_tool.core.plan import ReleasePlan
    from release_tool.documents import WorkFolder
    from release_tool.services.buckets import open_bucket
    from release_tool.steps.publish import default_address
    from release_tool.steps.settings import planned_address

    work = WorkFolder(context.work)
    plan = work.read(ReleasePlan, "plan.json", made_by="plan")
    overwrite = overwrite or plan.request.overwrite
    bucket = open_bucket(planned_address(context.repo, plan, to) or default_address(work.folder))
    with context.console.step("Check"):
        existing, claimed = look(bucket, plan)
    replaces = {item.key: item.sha256 for item in existing} or None if overwrite else plan.replaces
    unplanned = [item for item in existing if (replaces or {}).get(item.key) != item.sha256]
    if unplanned:
        _refuse(bucket, plan, unplanned)
    for key, owner in claimed.items():
        context.console.warning(
            f"{key} is claimed by the release {owner.approved} since {owner.released_at}, which is not complete: let it"
            f" end, or publish with --take-over {owner.approved} if it is dead for good."
        )
    if overwrite and replaces != plan.replaces and not dry_run:
        work.write("plan.json", replace(plan, replaces=replaces))
    keys = tuple(key for artifact in plan.artifacts for key in (artifact.key, artifact.config_key))
    return Checked(to=bucket.address, keys=keys, existing=existing, claimed=claimed, replaces=replaces)


def look(bucket: Bucket, plan: ReleasePlan) -> tuple[tuple[Existing, ...], dict[str, Owner]]:
    """Return every key of the plan that exists, with the digest of its bytes, and the claims that are still open."""
    from release_tool.core.publication import Released
    from release_tool.steps.claiming import read_claim, read_marker

    found: list[Existing] = []
    claimed: dict[str, Owner] = {}
    for artifact in plan.artifacts:
        claim = read_claim(bucket, artifact.key)
        owner = None
        if claim is not None:
            slot = read_marker(bucket, claim[0].approved)
            owner = Owner(
                approved=claim[0].approved,
                released_at=claim[0].released_at,
                complete=isinstance(slot, Released),
            )
            if slot is None:
                claimed[artifact.key] = owner
        for key in (artifact.key, artifact.config_key):
            sha256 = bucket.digest(key)
            if sha256 is not None:
                found.append(Existing(key=key, sha256=sha256, owner=owner))
    return tuple(found), claimed


def _refuse(bucket: Bucket, plan: ReleasePlan, existing: list[Existing]) -> None:
    from release_tool.errors import AlreadyReleased

    lines = [f"  - {item.key}\n    sha256 {item.sha256}, {_whose(item.owner)}" for item in existing]
    name = f"{plan.source.model_id} {plan.request.version}"
    raise AlreadyReleased(
        f"{name} is taken in {bucket.address}:\n" + "\n".join(lines),
        hint="Release a new version; check --overwrite plans to replace exactly these bytes.",
    )


def _whose(owner: Owner | None) -> str:
    if owner is None:
        return "by a release without a claim"
    if owner.complete:
        return f"released {owner.released_at} as {owner.approved}"
    return f"claimed {owner.released_at} by {owner.approved}, which is not complete"
