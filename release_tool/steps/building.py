"""What every command that lets Jenkins build something shares: how it is asked, and what a failure is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.core.notice import BASE_PATH, DEFAULT_JOB, FORMAT, SUCCESS, VERSION, Way
from release_tool.errors import RemoteFailed

if TYPE_CHECKING:
    from release_tool.cli import Context
    from release_tool.core.notice import Build, BuildNotice
    from release_tool.services.clock import Clock
    from release_tool.services.secrets import Credentials
    from release_tool.steps.notifying import Notifier

DEFAULT_SECONDS = 5400.0
"""The release job itself may take an hour, and wait in the queue before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person asks ``notify`` for."""

    server: str
    """Checked."""
    job: str = DEFAULT_JOB
    way: Way = Way.JENKINS
    secret: str | None = None
    timeout: float = DEFAULT_SECONDS
    wait: bool = True
    again: bool = False


def ask_jenkins(
    context: Context,
    options: Options,
    notice: BuildNotice,
    name: str,
    *,
    since: str,
    approved: str | None = None,
    clock: Clock | None = None,
) -> BuildNotice:
    """Start what has to be started, wait for it, and write the notice at every step.

    Args:
        context: of the command.
        options: what a person asked for.
        notice: the builds, each as far as it has got.
        name: of the document in the work folder.
        since: UTC, as in documents: a build that began before can't be one of these.
        approved: the digest for a job that declares a parameter for it.
        clock: another one than the machine's.

    Raises:
        UsageError: there are no credentials.
        RemoteFailed: Jenkins refused, or a build did not succeed; the document holds how it ended.
        Unreachable: no answer, or no result in time; run again, it goes on.
    """
    from release_tool.documents import WorkFolder
    from release_tool.services.secrets import read_credentials
    from release_tool.steps.notifying import Kept

    credentials = read_credentials(os.environ, options.secret)
    _warn_of_clear_text(context, options.server)
    notifier = _notifier(context, options, credentials, clock, since=since, approved=approved)
    kept = Kept(WorkFolder(context.work), name, notice)
    for index, build in enumerate(kept.notice.builds):
        notifier.request(build, kept.saver(index))
    if options.wait:
        for index, build in enumerate(kept.notice.builds):
            notifier.follow(build, kept.saver(index))
    _raise_failed(kept.notice, name)
    return kept.notice


def _notifier(
    context: Context,
    options: Options,
    credentials: Credentials,
    clock: Clock | None,
    *,
    since: str,
    approved: str | None,
) -> Notifier:
    from release_tool.services.clock import Clock as MachineClock
    from release_tool.services.jenkins import JenkinsServer
    from release_tool.services.webhook import Webhook
    from release_tool.steps.notifying import Notifier

    clock = clock or MachineClock()
    needs_user = options.wait or options.way is Way.JENKINS or credentials.user or credentials.token
    server = JenkinsServer(options.server, credentials, clock) if needs_user else None
    starter = Webhook(options.server, credentials) if options.way is Way.WEBHOOK or server is None else server
    return Notifier(
        starter=starter,
        server=server,
        job=options.job,
        approved=approved,
        since=since,
        clock=clock,
        seconds=options.timeout,
        deadline=clock.elapsed() + options.timeout,
        again=options.again,
        say=context.console.info,
    )


def _warn_of_clear_text(context: Context, server: str) -> None:
    from urllib.parse import urlsplit

    parts = urlsplit(server)
    if parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        context.console.warning("The token travels unencrypted: --server is no https:// address.")


def _raise_failed(notice: BuildNotice, name: str) -> None:
    failed = [build for build in notice.builds if build.result not in {None, SUCCESS}]
    if failed:
        lines = "\n".join(f"  - {line_of(build)}" for build in failed)
        raise RemoteFailed(
            f"Jenkins did not serve the release; {notice.job} at {notice.server}:\n{lines}",
            hint=f"Look at the build's log. The outcome is in {name}; notify --again asks for another build.",
        )


def line_of(build: Build) -> str:
    """Return a build as one line for people."""
    what = " ".join(build.parameters.get(name, "") for name in (BASE_PATH, VERSION, FORMAT))
    where = build.url or f"queue item {build.queue_id}"
    return f"{build.result or 'in progress'}  {what}  {where}"
