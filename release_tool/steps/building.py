"""What every command that lets Jenkins build something shares: how it is asked, and what a failure is."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from release_tool.core.notice import ALLOWED_SKEW, BASE_PATH, DEFAULT_JOB, FORMAT, SUCCESS, VERSION, Way
from release_tool.errors import RemoteFailed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from release_tool.core.notice import Build, BuildNotice
    from release_tool.global_options import Context
    from release_tool.services.clock import Clock
    from release_tool.services.jenkins import JenkinsServer, Starter
    from release_tool.steps.notifying import Kept

DEFAULT_SECONDS = 5400.0
"""The release job itself may take an hour, and wait in the queue before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person asks of Jenkins."""

    server: str
    """Checked."""
    job: str = DEFAULT_JOB
    way: Way = Way.JENKINS
    secret: str | None = None
    timeout: float = DEFAULT_SECONDS
    wait: bool = True
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What would be sent."""

    way: Way
    url: str
    job: str
    builds: tuple[dict[str, str], ...]
    where_declared: dict[str, str] = field(default_factory=dict)
    """Sent only to a job that declares it."""


def planned_requests(
    options: Options, builds: Iterable[Build], *, where_declared: dict[str, str] | None = None
) -> Planned:
    """Return what would be sent for these builds; nothing is asked of anybody."""
    from release_tool.services.addresses import job_path
    from release_tool.services.webhook import PATH

    path = PATH if options.way is Way.WEBHOOK else f"{job_path(options.job)}/buildWithParameters"
    return Planned(
        way=options.way,
        url=f"{options.server}/{path}",
        job=options.job,
        builds=tuple(sorted((build.parameters for build in builds), key=lambda item: item[BASE_PATH])),
        where_declared=where_declared or {},
    )


def planned_text(planned: Planned) -> str:
    """Return the same for people."""
    lines = []
    for parameters in planned.builds:
        lines.append(f"would send  POST {planned.url}")
        lines += [f"  {name}  {value}" for name, value in parameters.items()]
        lines += [
            f"  {name}  {value}  (only if {planned.job} declares it)" for name, value in planned.where_declared.items()
        ]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Clients with credentials that will do; nothing was asked of Jenkins yet."""

    starter: Starter
    server: JenkinsServer | None
    """Null without a user's token, where nobody waits."""
    clock: Clock


def connect(context: Context, options: Options, clock: Clock | None = None) -> Connection:
    """Read the credentials, and return what asks Jenkins.

    Args:
        context: of the command.
        options: what a person asked for.
        clock: another one than the machine's.

    Raises:
        UsageError: there are no credentials, or one that is needed is missing.
        RemoteFailed: Secrets Manager refused.
        Unreachable: it did not answer.
    """
    from release_tool.services.clock import Clock as MachineClock
    from release_tool.services.jenkins import JenkinsServer
    from release_tool.services.secrets import read_credentials
    from release_tool.services.webhook import Webhook

    credentials = read_credentials(os.environ, options.secret)
    _warn_of_clear_text(context, options.server)
    clock = clock or MachineClock()
    needs_user = options.wait or options.way is Way.JENKINS or credentials.user or credentials.token
    server = JenkinsServer(options.server, credentials, clock) if needs_user else None
    starter = Webhook(options.server, credentials) if options.way is Way.WEBHOOK or server is None else server
    return Connection(starter=starter, server=server, clock=clock)


def ask_jenkins(
    context: Context,
    connection: Connection,
    options: Options,
    kept: Kept,
    *,
    since: str,
    before: timedelta = ALLOWED_SKEW,
    approved: str | None = None,
) -> BuildNotice:
    """Start what has to be started, wait for it, and write the notice at every step.

    Args:
        context: of the command.
        connection: of ``connect``.
        options: what a person asked for.
        kept: the builds, each as far as it has got, and where they are written down.
        since: UTC, as in documents: a build that began before can't be one of these.
        before: how much earlier a build may seem to have begun; nothing where a build too early would be wrong.
        approved: the digest for a job that declares a parameter for it.

    Raises:
        RemoteFailed: Jenkins refused, or a build did not succeed; the document holds how it ended.
        Unreachable: no answer, or no result in time; run again, it goes on.
        UsageError: nobody can tell whether a build was started before.
    """
    from release_tool.steps.notifying import Notifier

    notifier = Notifier(
        starter=connection.starter,
        server=connection.server,
        clock=connection.clock,
        job=options.job,
        approved=approved,
        since=since,
        before=before,
        seconds=options.timeout,
        deadline=connection.clock.elapsed() + options.timeout,
        again=options.again,
        say=context.console.info,
    )
    for index, build in enumerate(kept.notice.builds):
        notifier.request(build, kept.saver(index))
    if options.wait:
        for index, build in enumerate(kept.notice.builds):
            notifier.follow(build, kept.saver(index))
    _raise_failed(kept.notice, kept.name)
    return kept.notice


def _warn_of_clear_text(context: Context, server: str) -> None:
    from release_tool.core.server_address import is_in_clear

    if is_in_clear(server):
        context.console.warning("The token travels unencrypted: --server is no https:// address.")


def _raise_failed(notice: BuildNotice, name: str) -> None:
    failed = [build for build in notice.builds if build.result not in {None, SUCCESS}]
    if failed:
        lines = "\n".join(f"  - {line_of(build)}" for build in failed)
        raise RemoteFailed(
            f"Jenkins did not serve what was published; {notice.job} at {notice.server}:\n{lines}",
            hint=f"Look at the build's log. The outcome is in {name}; the same command with --again asks for another.",
        )


def line_of(build: Build) -> str:
    """Return a build as one line for people."""
    what = " ".join(build.parameters[name] for name in (BASE_PATH, VERSION, FORMAT) if name in build.parameters)
    where = build.url or f"queue item {build.queue_id}"
    return f"{build.result or 'in progress'}  {what}  {where}"
