"""The options of every command that lets Jenkins build something; they are declared here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from release_tool.core.notice import DEFAULT_JOB, JOB_NAME, Way
from release_tool.core.settings import SETTINGS_FILE
from release_tool.errors import UsageError
from release_tool.steps.building import DEFAULT_SECONDS, Options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from release_tool.core.settings import Jenkins

F = TypeVar("F", bound="Callable[..., Any]")

NAMES = ("server", "job", "way", "secret", "timeout", "no_wait", "again")


def _job(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not JOB_NAME.fullmatch(value):
        raise click.BadParameter("a job's full name, such as ml-models-release or folder/job", param=parameter)
    return value


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--job",
        metavar="NAME",
        callback=_job,
        help=f"Full name of the job.  [default: that of {SETTINGS_FILE}, else {DEFAULT_JOB}]",
    ),
    click.option(
        "--way",
        type=click.Choice([way.value for way in Way]),
        default=Way.JENKINS.value,
        show_default=True,
        help="Jenkins's own interface, or its Generic Webhook Trigger.",
    ),
    click.option(
        "--secret",
        metavar="NAME",
        help="Secret of AWS Secrets Manager that holds the credentials; empty: the environment does."
        f"  [default: that of {SETTINGS_FILE}]",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0),
        default=DEFAULT_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for the results.",
    ),
    click.option("--no-wait", is_flag=True, help="End once Jenkins has put into its queue what was asked for."),
    click.option("--again", is_flag=True, help="Ask for another build where the earlier one has failed."),
)


def jenkins_options(*, which: str) -> Callable[[F], F]:
    """Return a decorator that adds the options; the command gets them as keyword arguments (see ``options_of``).

    Args:
        which: whose address stands for ``--server`` where that is left out.
    """
    server = click.option("--server", metavar="URL", help=f"Address of Jenkins.  [default: {which}]")

    def add(function: F) -> F:
        for option in reversed((server, *_OPTIONS)):
            function = option(function)
        return function

    return add


def options_of(asked: Mapping[str, Any], jenkins: Jenkins | None) -> Options:
    """Return what a person asks for, of the Jenkins of the settings where no other one is named.

    Args:
        asked: the arguments that ``jenkins_options`` added.
        jenkins: of the settings. Its job and its secret are for its own server: who names another one gets neither,
            so that no credential goes where it does not belong.

    Raises:
        UsageError: nobody names a Jenkins.
        RequestError: --server is no address of a Jenkins.
    """
    from release_tool.services.addresses import check_server

    if asked["server"]:
        server = check_server(asked["server"])
    elif jenkins is not None:
        server = jenkins.server
    else:
        raise UsageError(
            "No Jenkins is named.",
            hint=f"Name it with --server URL, or as server under [jenkins] in {SETTINGS_FILE} of --repo.",
        )
    own = jenkins if jenkins is not None and jenkins.server == server else None
    secret = asked["secret"] if asked["secret"] is not None else own and own.secret
    return Options(
        server=server,
        job=asked["job"] or (own.job if own else DEFAULT_JOB),
        way=Way(asked["way"]),
        secret=secret or None,
        timeout=asked["timeout"],
        wait=not asked["no_wait"],
        again=asked["again"],
    )


def optional_options_of(
    ctx: click.Context, asked: Mapping[str, Any], jenkins: Jenkins | None, *, unasked: bool
) -> Options | None:
    """Return the same where somebody is to be told, else null.

    Variables of the environment may be set for every command and count for nothing then; an option that a person
    typed does not.

    Args:
        ctx: of the command.
        asked: see ``options_of``.
        jenkins: the same.
        unasked: whether that of the settings is told without ``--server``.

    Raises:
        UsageError: an option was typed that means nothing without a Jenkins.
        RequestError: --server is no address of a Jenkins.
    """
    if asked["server"] or (unasked and jenkins is not None):
        return options_of(asked, jenkins)
    typed = [name for name in NAMES if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if typed:
        option = "--" + typed[0].replace("_", "-")
        raise UsageError(f"{option} means nothing without a Jenkins.", hint="Name it with --server, or leave it out.")
    return None
