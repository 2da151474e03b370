"""``release-tool publish``: what was approved goes into the bucket, exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from release_tool.core.digest import SHA256_HEX
from release_tool.steps import emit

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.receipt import Receipt
    from release_tool.global_options import Context
    from release_tool.steps.publishing import Publisher

DEFAULT_FOLDER = "published"
"""In the work folder: a bucket of one's own, where no other is named."""

HELP = """Publish what was approved, exactly once.

Refuses any digest but that of review.json, and any file that is not what was approved (exit code 7, nothing written).
Takes a claim for each archive's key, sends archives and config.json, then what proves them, reads the checksums back,
and marks the release as complete. Exit code 3: another release has the version. Run it again after any interruption.

\b
Examples:
  release-tool publish --approved 6f1c…
  release-tool publish --approved 6f1c… --to s3://models/production --dry-run
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a publication would write."""

    approved: str
    to: str
    keys: tuple[str, ...]
    bytes: int


def _digest(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not SHA256_HEX.fullmatch(value):
        raise click.BadParameter("a digest is 64 lower-case hexadecimal digits", param=parameter)
    return value


@click.command(help=HELP, short_help="Publish what was approved, exactly once.")
@click.option("--approved", required=True, metavar="SHA256", callback=_digest, help="The digest that was approved.")
@click.option(
    "--to",
    metavar="ADDRESS",
    help="s3://bucket/prefix, file:///folder or a target.  [default: the plan's target, else a folder in --work]",
)
@click.option(
    "--take-over",
    metavar="SHA256",
    callback=_digest,
    help="Replace the claims of this release, which will never be completed.",
)
@click.option("--dry-run", is_flag=True, help="Check everything here, and list what would be written.")
@click.pass_obj
def command(context: Context, approved: str, to: str | None, take_over: str | None, *, dry_run: bool) -> None:
    """Publish the release of the work folder."""
    from release_tool.lock import hold

    if dry_run:
        publisher = prepare(context, approved, to, take_over)
        planned = Planned(
            approved=approved,
            to=publisher.bucket.address,
            keys=publisher.planned(),
            bytes=sum(upload.file.size for upload in (*publisher.served, *publisher.evidence)),
        )
        emit(context, "\n".join(f"would write  {key}" for key in planned.keys), planned)
        return
    with hold(context.work, "publish"):
        receipt = run_publish(context, approved, to, take_over)
    served = [item for item in receipt.objects if item.key.startswith("ml-models/")]
    lines = [f"released  {receipt.released_at}", f"to        {receipt.to}"]
    emit(context, "\n".join([*lines, *(f"object    {item.key}  {item.sha256}" for item in served)]), receipt)


def run_publish(context: Context, approved: str, to: str | None, take_over: str | None) -> Receipt:
    """Publish and write receipt.json.

    Raises:
        UsageError: a step before has not run, or the address is none.
        IntegrityError: the digest or the bytes are not the approved ones.
        ValidationFailed: the release may not be approved.
        AlreadyReleased: another release has one of the keys.
        PublishError: the store refused.
        Unreachable: the store did not answer.
    """
    from dataclasses import replace

    from release_tool.core.receipt import RECEIPT_NAME, Receipt
    from release_tool.core.review import REVIEW_NAME
    from release_tool.documents import WorkFolder

    work = WorkFolder(context.work)
    with context.console.step("Publish"):
        publisher = prepare(context, approved, to, take_over)
        total = sum(upload.file.size for upload in (*publisher.served, *publisher.evidence))
        with context.console.progress("sending", total, "B") as bar:
            released_at, objects = replace(publisher, advance=bar.advance).publish()
        receipt = Receipt(
            uses=work.uses(REVIEW_NAME),
            approved=approved,
            to=publisher.bucket.address,
            released_at=released_at,
            objects=objects,
        )
        work.write(RECEIPT_NAME, receipt)
    return receipt


def prepare(context: Context, approved: str, to: str | None, take_over: str | None) -> Publisher:
    """Read and verify everything that was approved, each file once; nothing is asked of the bucket yet.

    Raises:
        as ``run_publish``
    """
    from release_tool.core.bundle import FileDigest
    from release_tool.core.publication import evidence_uploads, model_uploads
    from release_tool.core.review import REVIEW_NAME
    from release_tool.documents import WorkFolder
    from release_tool.services.buckets import open_bucket
    from release_tool.steps.approved import read_approved
    from release_tool.steps.claiming import Claims
    from release_tool.steps.publishing import Publisher
    from release_tool.steps.settings import planned_address

    work = WorkFolder(context.work)
    release = read_approved(work, approved)
    bucket = open_bucket(planned_address(context.repo, release.plan, to) or default_address(work.folder))
    own = release.parts[REVIEW_NAME]
    served = model_uploads(release.plan, release.bundles)
    return Publisher(
        bucket=bucket,
        plan=release.plan,
        approved=approved,
        claims=Claims(
            bucket=bucket, plan=release.plan, approved=approved, served=served, take_over=take_over, now=_now
        ),
        served=served,
        evidence=evidence_uploads(
            release.plan,
            release.bundles,
            release.review,
            FileDigest(path=REVIEW_NAME, size=own.size, sha256=own.sha256),
        ),
        parts=release.parts,
        path=work.path,
    )


def default_address(work: Path) -> str:
    """Return the address of the bucket that every work folder has of its own."""
    return (work / DEFAULT_FOLDER).absolute().as_uri()


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
