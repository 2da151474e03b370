"""``release-tool doctor``: what this machine can do, and what is missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.core.github_findings import Finding
    from release_tool.global_options import Context
    from release_tool.services.machine import Check

MARKS = {"ok": "ok      ", "note": "note    ", "missing": "MISSING ", "unseen": "UNSEEN  "}
HELP = """Look what this machine can do and what is missing.

Looks at Python, the packages of the extra, the servers' own libraries, memory, disk, the model hub, and what the
real node needs. Starts nothing, downloads nothing. Exit 12 when trace and validate can't work here; a missing JDK
or an unreachable hub is only a note.

With --github it looks at a repository's settings on GitHub instead: environments, reviewers, branches, secrets. Exit 12
when something is missing, exit 10 when the token in GITHUB_TOKEN or GH_TOKEN may not see it. Changes nothing.

\b
Examples:
  release-tool doctor
  release-tool --json doctor | jq '.checks[] | select(.level != "ok")'
  release-tool doctor --github --repository octo-org/models
"""


@click.command(help=HELP, short_help="Look what this machine can do and what is missing.")
@click.option("--github", is_flag=True, help="Look at the settings of a repository on GitHub instead.")
@click.option(
    "--repository",
    metavar="OWNER/NAME",
    envvar=["RELEASE_TOOL_DOCTOR_REPOSITORY", "GITHUB_REPOSITORY"],
    help="Repository for --github.  [default: GITHUB_REPOSITORY]",
)
@click.pass_context
def command(ctx: click.Context, /, repository: str | None, *, github: bool) -> None:
    """Look, and fail where something is missing."""
    if github:
        run_github(ctx.obj, repository)
        return
    # GITHUB_REPOSITORY is set in every job, and asks for nothing.
    if ctx.get_parameter_source("repository") is ParameterSource.COMMANDLINE:
        from release_tool.errors import UsageError

        raise UsageError("--repository means nothing without --github.", hint="Add --github, or leave it out.")
    run_machine(ctx.obj)


def run_machine(context: Context) -> None:
    """Look at this machine.

    Raises:
        MachineError: something that trace and validate need is missing.
    """
    from release_tool.errors import MachineError
    from release_tool.services.machine import Level, look

    checks = look(context.work, os.environ)
    missing = [check for check in checks if check.level is Level.MISSING]
    emit(context, table(checks), {"ready": not missing, "checks": checks})
    if missing:
        hints = dict.fromkeys(check.hint for check in missing if check.hint)
        raise MachineError(
            f"trace and validate need what is missing here: {', '.join(check.name for check in missing)}.",
            hint=" ".join(hints),
        )


def run_github(context: Context, repository: str | None) -> None:
    """Look at a repository's settings on GitHub.

    Raises:
        UsageError: no repository is named, or there is no token.
        MachineError: a setting is not as it must be.
        RemoteFailed: a setting can't be seen with this token, and nothing that can be seen is missing.
        Unreachable: GitHub did not answer.
    """
    from release_tool.core.github_findings import Seen
    from release_tool.core.github_settings import findings
    from release_tool.errors import MachineError, RemoteFailed
    from release_tool.services.github import GitHub, check_repository, read_access
    from release_tool.services.github_settings import look
    from release_tool.steps.settings import read_settings

    name = check_repository(repository)
    settings = read_settings(context.repo)
    with context.console.step(f"Look at {name}"):
        found = findings(look(GitHub(read_access(os.environ)), name, settings.names), settings)
    missing = [one.name for one in found if one.level is Seen.MISSING]
    hidden = [one.name for one in found if one.level is Seen.UNSEEN]
    emit(context, table(found), {"ready": not missing and not hidden, "repository": name, "checks": found})
    if missing:
        raise MachineError(
            f"Settings of {name} are not as a release needs them: {', '.join(missing)}.",
            hint="The table says what to do for each; docs/set-up.md has the commands.",
        )
    if hidden:
        raise RemoteFailed(
            f"With this token nobody knows of {name}: {', '.join(hidden)}.",
            hint="Ask with a token of an administrator of the repository.",
        )


def table(checks: tuple[Check, ...] | tuple[Finding, ...]) -> str:
    """Return one line a check, and its hint below it."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{MARKS[check.level.value]}{check.name:<{width}}  {check.found}")
        if check.hint:
            lines.append(f"        {'':<{width}}  -> {check.hint}")
    return "\n".join(lines)
