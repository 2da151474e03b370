"""``release-tool notify``: ask Jenkins to serve what was published, and wait for its answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from release_tool.core.notice import DIGEST, NOTICE_NAME, BuildNotice
from release_tool.core.settings import SETTINGS_FILE
from release_tool.steps import emit
from release_tool.steps.building import Planned, ask_jenkins, connect, line_of, planned_requests, planned_text
from release_tool.steps.jenkins_options import jenkins_options, options_of

if TYPE_CHECKING:
    from release_tool.core.notice import Build
    from release_tool.core.receipt import Receipt
    from release_tool.documents import WorkFolder
    from release_tool.global_options import Context
    from release_tool.services.clock import Clock
    from release_tool.steps.building import Options

HELP = """Ask Jenkins to serve what was published.

Starts the release job once for each folder that was published and waits for its result (exit code 10: it failed). Run
again, it goes on with the build that it started: by the queue item in notice.json, or by its parameters and its time.
Which Jenkins, job and secret stands under [jenkins] in release-tool.toml, unless options say otherwise.

\b
The credentials come from the environment:
  RELEASE_TOOL_JENKINS_USER, RELEASE_TOOL_JENKINS_TOKEN   the user's API token
  RELEASE_TOOL_WEBHOOK_TOKEN                              with --way webhook
or from AWS Secrets Manager: a JSON object with user, token and webhook_token.

\b
Examples:
  release-tool notify
  release-tool notify --server https://ci.example.org --way webhook --secret releases/jenkins
  release-tool notify --server https://ci.example.org --dry-run
"""


@click.command(help=HELP, short_help="Ask Jenkins to serve what was published.")
@jenkins_options(which=f"that of {SETTINGS_FILE}")
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and send nothing.")
@click.pass_obj
def command(context: Context, /, *, dry_run: bool, **asked: Any) -> None:
    """Notify Jenkins of the release of the work folder."""
    from release_tool.lock import hold
    from release_tool.steps.settings import read_settings

    options = options_of(asked, read_settings(context.repo).jenkins)
    if dry_run:
        planned = plan_notice(context, options)
        emit(context, planned_text(planned), planned)
        return
    with hold(context.work, "notify"):
        notice = run_notify(context, options)
    emit(context, "\n".join(line_of(build) for build in notice.builds), notice)


def plan_notice(context: Context, options: Options) -> Planned:
    """Return what would be sent, from the receipt alone; nothing is asked of anybody."""
    from release_tool.documents import WorkFolder

    receipt, builds = _read(WorkFolder(context.work))
    return planned_requests(options, builds, where_declared={DIGEST: receipt.approved})


def run_notify(context: Context, options: Options, clock: Clock | None = None) -> BuildNotice:
    """Start what has to be started, wait for it, and write notice.json at every step.

    With --json it is printed also where Jenkins has failed.

    Raises:
        UsageError: nothing was published yet, or there are no credentials.
        IntegrityError: the receipt is of another release than that of the work folder.
        RemoteFailed: Jenkins refused, or a build did not succeed; notice.json holds how it ended.
        Unreachable: no answer, or no result in time; run again, it goes on.
    """
    from release_tool.documents import WorkFolder
    from release_tool.errors import RemoteFailed, Unreachable
    from release_tool.steps.notifying import Kept

    work = WorkFolder(context.work)
    receipt, builds = _read(work)
    with context.console.step("Notify"):
        notice = _continued(work, options, builds)
        kept = Kept(work, NOTICE_NAME, notice)
        connection = connect(context, options, clock)
        try:
            return ask_jenkins(context, connection, options, kept, since=receipt.released_at, approved=receipt.approved)
        except (RemoteFailed, Unreachable):
            if context.json:
                emit(context, "", kept.notice)
            raise


def _read(work: WorkFolder) -> tuple[Receipt, tuple[Build, ...]]:
    """Return the receipt, its chain checked, and the builds that it asks for."""
    from release_tool.core.notice import Build, parsed, release_parameters
    from release_tool.core.receipt import RECEIPT_NAME, Receipt
    from release_tool.errors import IntegrityError

    receipt = work.read(Receipt, RECEIPT_NAME, made_by="publish")
    work.check_chain(receipt, RECEIPT_NAME)
    builds = tuple(Build(parameters=found) for found in release_parameters(item.key for item in receipt.objects))
    hint = "Run release-tool publish again."
    if not builds:
        raise IntegrityError(f"{RECEIPT_NAME} names no archive.", hint=hint)
    try:
        parsed(receipt.released_at)
    except ValueError:
        raise IntegrityError(f"{RECEIPT_NAME} has no time of the release.", hint=hint) from None
    return receipt, builds


def _continued(work: WorkFolder, options: Options, builds: tuple[Build, ...]) -> BuildNotice:
    """Return the notice of an earlier run where it is about the same receipt, server and job, else an empty one."""
    from release_tool.core.notice import is_same
    from release_tool.core.receipt import RECEIPT_NAME

    fresh = BuildNotice(
        uses=work.uses(RECEIPT_NAME), server=options.server, job=options.job, way=options.way, builds=builds
    )
    if not work.has(NOTICE_NAME):
        return fresh
    earlier = work.read(BuildNotice, NOTICE_NAME, made_by="notify")
    same = (earlier.uses, earlier.server, earlier.job) == (fresh.uses, fresh.server, fresh.job)
    if not same or len(earlier.builds) != len(builds):
        return fresh
    if not all(is_same(new.parameters, old.parameters) for new, old in zip(builds, earlier.builds, strict=True)):
        return fresh
    # How the builds were asked for stays written down; another way may be used to ask for what is missing.
    way = earlier.way if all(build.requested_at for build in earlier.builds) else options.way
    return replace(earlier, way=way)
