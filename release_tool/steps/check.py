"""``release-tool check``: before anything is traced, look whether the version is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.core.plan import ReleasePlan
    from release_tool.documents import WorkFolder
    from release_tool.errors import ReleaseError
    from release_tool.global_options import Context
    from release_tool.services.bucket import Bucket

HELP = """Look in the bucket whether the planned version is taken.

Exit code 3 when one of the plan's keys exists, with its digest and the release that it belongs to. A bucket that
can't say is an error and never means that a key is free. Publishing looks again, under the bucket's own conditions.
The plan is written to where something is to be replaced, else nothing is.
A fine-tuning run whose weights are planned must be one of GITHUB_REPOSITORY itself, on main, and have ended well.

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
    given_up: bool = False
    """Whether another one took over: what it left behind may be overwritten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """One key of the plan that exists."""

    key: str
    sha256: str
    """Of the bytes that lie there now."""
    owner: Owner | None
    """Null where nobody claims it."""
    left_behind: bool = False
    """Whether a release that was given up has left it there: publishing overwrites it."""


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

    def text(self) -> str:
        """Return it for people: a line a key."""
        replaced = self.replaces or {}
        left = {item.key: item.sha256 for item in self.existing if item.left_behind and item.key not in replaced}
        lines = [f"replaces  {key}  {sha256}" for key, sha256 in replaced.items()]
        lines += [f"left      {key}  {sha256} of a release that was given up" for key, sha256 in left.items()]
        lines += [f"free      {key}" for key in self.keys if key not in replaced and key not in left]
        return "\n".join(lines)


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
    found = run_check(context, to, overwrite=overwrite, dry_run=dry_run)
    emit(context, found.text(), found)


def run_check(context: Context, to: str | None, *, overwrite: bool = False, dry_run: bool = False) -> Checked:
    """Look for the plan's keys, and write what is to be replaced into the plan where that was asked for.

    With --json, what was found is printed also where it is refused.

    Raises:
        RequestError: the weights come from a run that is not this repository's own fine-tuning.
        AlreadyReleased: a key exists and the plan does not replace it.
        PublishError: the bucket refused to say, or holds nothing where the plan replaces something.
        Unreachable: it did not answer.
    """
    from release_tool.core.plan import ReleasePlan
    from release_tool.documents import WorkFolder
    from release_tool.lock import hold

    work = WorkFolder(context.work)
    overwrite = overwrite or work.read(ReleasePlan, "plan.json", made_by="plan").request.overwrite
    if dry_run or not overwrite:
        return _checked(context, work, to, overwrite=overwrite, write=False)
    with hold(context.work, "check"):
        return _checked(context, work, to, overwrite=overwrite, write=True)


def _checked(context: Context, work: WorkFolder, to: str | None, *, overwrite: bool, write: bool) -> Checked:
    from dataclasses import replace

    from release_tool.core.plan import ReleasePlan
    from release_tool.services.buckets import open_bucket
    from release_tool.steps.publish import default_address
    from release_tool.steps.settings import planned_address
    from release_tool.steps.tuning import check_tuning_run

    plan = work.read(ReleasePlan, "plan.json", made_by="plan")
    check_tuning_run(context, plan)
    bucket = open_bucket(planned_address(context.repo, plan, to) or default_address(work.folder))
    with context.console.step("Check"):
        existing, claimed = look(bucket, plan)
    replaces = {item.key: item.sha256 for item in existing} or None if overwrite else plan.replaces
    keys = tuple(key for artifact in plan.artifacts for key in (artifact.key, artifact.config_key))
    found = Checked(to=bucket.address, keys=keys, existing=existing, claimed=claimed, replaces=replaces)
    refusal = _refusal(bucket, plan, found)
    if refusal is not None:
        if context.json:
            emit(context, "", found)
        raise refusal
    for key, owner in claimed.items():
        context.console.warning(
            f"{key} is claimed by the release {owner.approved} since {owner.released_at}, which is not complete: let it"
            f" end, or publish with --take-over {owner.approved} if it is dead for good."
        )
    if write and replaces != plan.replaces:
        work.write("plan.json", replace(plan, replaces=replaces))
    return found


def look(bucket: Bucket, plan: ReleasePlan) -> tuple[tuple[Existing, ...], dict[str, Owner]]:
    """Return every key of the plan that exists, with the digest of its bytes, and the claims that are still open."""
    from release_tool.core.publication import GivenUp, Released
    from release_tool.steps.claiming import read_claim, read_marker

    found: list[Existing] = []
    claimed: dict[str, Owner] = {}
    for artifact in plan.artifacts:
        claim = read_claim(bucket, artifact.key)
        owner, left = None, set[str]()
        if claim is not None:
            slot = read_marker(bucket, claim[0].approved)
            owner = Owner(
                approved=claim[0].approved,
                released_at=claim[0].released_at,
                complete=isinstance(slot, Released),
                given_up=isinstance(slot, GivenUp),
            )
            left = set(claim[0].left_behind()) if owner.given_up else left
            if slot is None:
                claimed[artifact.key] = owner
        for key in (artifact.key, artifact.config_key):
            sha256 = bucket.digest(key)
            if sha256 is not None:
                found.append(Existing(key=key, sha256=sha256, owner=owner, left_behind=sha256 in left))
    return tuple(found), claimed


def _refusal(bucket: Bucket, plan: ReleasePlan, found: Checked) -> ReleaseError | None:
    """Return why the plan can't be published as it is."""
    from release_tool.errors import AlreadyReleased
    from release_tool.steps.claiming import hint_for_incomplete
    from release_tool.steps.publishing import nothing_to_replace

    replaces, there = found.replaces or {}, {item.key for item in found.existing}
    taken = [item for item in found.existing if replaces.get(item.key) != item.sha256 and not item.left_behind]
    if taken:
        lines = [f"  - {item.key}\n    sha256 {item.sha256}, {_whose(item.owner)}" for item in taken]
        name = f"{plan.source.model_id} {plan.request.version}"
        hint = "Release a new version; check --overwrite plans to replace exactly these bytes."
        if found.claimed:  # no plan replaces what another one may still be writing
            hint = hint_for_incomplete(next(iter(found.claimed.values())).approved, "to publish")
        return AlreadyReleased(f"{name} is taken in {bucket.address}:\n" + "\n".join(lines), hint=hint)
    missing = [(key, sha256) for key, sha256 in replaces.items() if key not in there]
    return nothing_to_replace(*missing[0], bucket) if missing else None


def _whose(owner: Owner | None) -> str:
    if owner is None:
        return "by a release without a claim"
    if owner.given_up:
        return f"by others than {owner.approved}, which was given up"
    if owner.complete:
        return f"released {owner.released_at} as {owner.approved}"
    return f"claimed {owner.released_at} by {owner.approved}, which is not complete"
