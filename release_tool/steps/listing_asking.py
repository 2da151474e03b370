"""Write the listings into a bucket, and let Jenkins serve them: once each time they were written.

Every build of the listings has the same parameters, so which one serves what lies in the bucket follows from the time
alone: one that began after both were written. What bucket and Jenkins tell of their clocks is two seconds off here and
there, so builds of the first seconds count for nothing, and none is asked for before these have passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from release_tool.core.notice import LISTING_NOTICE, LISTING_PARAMETERS, Build, BuildNotice, is_same, parsed, shown
from release_tool.steps.building import ask_jenkins, connect, line_of, planned_requests, planned_text
from release_tool.steps.listing_publishing import publish_listings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from release_tool.documents import WorkFolder
    from release_tool.global_options import Context
    from release_tool.services.bucket import Bucket
    from release_tool.services.clock import Clock
    from release_tool.steps.building import Connection, Options, Planned
    from release_tool.steps.listing_publishing import Sent

UNSURE = timedelta(seconds=4)
"""A build that began less after the listings were written may have read the ones before them."""
PAUSE = timedelta(seconds=8)
"""After that a build that is asked for is beyond doubt."""
NOW = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingPublished:
    """What ``listing publish`` did, or with --dry-run would do."""

    to: str
    listings: tuple[Sent, ...]
    notice: BuildNotice | None = None
    """What Jenkins made of it; null where none was named."""
    planned: Planned | None = None
    """Only of a dry run: what would be sent, unless a build has served these listings already."""


def run_publish(context: Context, bucket: Bucket, options: Options | None, *, dry_run: bool) -> ListingPublished:
    """Write both listings of the repository into a bucket, then let Jenkins serve them.

    Args:
        context: of the command.
        bucket: where to.
        options: how Jenkins is asked; null leaves it and the work folder alone.
        dry_run: only look.

    Raises:
        RecordError: there is no listing; the bucket's has what this one lacks.
        PublishError: the bucket refused, or what lies there is no listing.
        UsageError: there are no credentials for Jenkins.
        RemoteFailed: Jenkins refused, or the build did not succeed; listing-notice.json holds how it ended.
        Unreachable: one of both did not answer; run again, it goes on.
    """
    from release_tool.lock import hold

    if options is None or dry_run:
        planned = None if options is None else planned_requests(options, _builds())
        return ListingPublished(to=bucket.address, listings=_publish(context, bucket, dry_run=dry_run), planned=planned)
    with hold(context.work, "listing publish"):
        connection = connect(context, options)  # first: without credentials nothing is begun
        sent = _publish(context, bucket, dry_run=False)
        with context.console.step("Notify"):
            notice = ask_for_listings(context, connection, options, bucket, sent)
    return ListingPublished(to=bucket.address, listings=sent, notice=notice)


def _publish(context: Context, bucket: Bucket, *, dry_run: bool) -> tuple[Sent, ...]:
    with context.console.step("Publish the listings"):
        return publish_listings(context.repo, bucket, dry_run=dry_run)


def _builds() -> tuple[Build, ...]:
    return (Build(parameters=dict(LISTING_PARAMETERS)),)


def ask_for_listings(
    context: Context, connection: Connection, options: Options, bucket: Bucket, sent: Sequence[Sent]
) -> BuildNotice:
    """Start a build unless one serves these listings, wait for it, and write listing-notice.json at every step.

    Raises:
        RemoteFailed: Jenkins refused, or the build did not succeed.
        Unreachable: no answer, or no result in time.
        UsageError: nobody can tell whether a build was started before.
    """
    from release_tool.documents import WorkFolder
    from release_tool.steps.notifying import Kept

    work, clock = WorkFolder(context.work), connection.clock
    written = _written(bucket, sent, clock)
    kept = Kept(work, LISTING_NOTICE, _continued(work, options, bucket, sent, written))
    clock.sleep(max(NOW, written + PAUSE - clock.now()).total_seconds())
    return ask_jenkins(context, connection, options, kept, since=shown(written + UNSURE), before=NOW)


def _written(bucket: Bucket, sent: Sequence[Sent], clock: Clock) -> datetime:
    """Return when the younger of both was written, by our clock; now, where the store does not know."""
    found = [bucket.head(one.key) for one in sent]
    ages = [0.0 if one is None or one.age is None else one.age for one in found]
    return clock.now() - timedelta(seconds=min(ages))


def _continued(
    work: WorkFolder, options: Options, bucket: Bucket, sent: Sequence[Sent], written: datetime
) -> BuildNotice:
    """Return the notice of an earlier run where it is about the same writing of the same bytes, else an empty one."""
    fresh = BuildNotice(
        uses={f"{bucket.address}/{one.key}": one.sha256 for one in sent},
        server=options.server,
        job=options.job,
        way=options.way,
        builds=_builds(),
    )
    if not work.has(LISTING_NOTICE):
        return fresh
    earlier = work.read(BuildNotice, LISTING_NOTICE, made_by="listing publish")
    if (earlier.uses, earlier.server, earlier.job) != (fresh.uses, fresh.server, fresh.job):
        return fresh
    # The same bytes may have been replaced and written anew in between, here or elsewhere.
    return earlier if len(earlier.builds) == 1 and all(_is_later(one, written) for one in earlier.builds) else fresh


def _is_later(build: Build, written: datetime) -> bool:
    """Tell whether a build was asked for after the listings had been written."""
    asked = build.requested_at
    return is_same(LISTING_PARAMETERS, build.parameters) and asked is not None and parsed(asked) >= written


def text_of(done: ListingPublished, *, dry_run: bool) -> str:
    """Return it for people."""
    lines = [_line(one, dry_run=dry_run) for one in done.listings]
    if done.notice is not None:
        lines += [line_of(build) for build in done.notice.builds]
    if done.planned is not None:
        lines.append(planned_text(done.planned))
    return "\n".join(lines)


def _line(one: Sent, *, dry_run: bool) -> str:
    word = "unchanged" if not one.written else "would write" if dry_run else "written"
    return f"{word:9}  {one.key}  {one.sha256}"
