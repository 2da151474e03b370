"""The options of every command that lets Jenkins build something; they are declared here and nowhere else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from release_tool.core.notice import DEFAULT_JOB, Way
from release_tool.errors import UsageError
from release_tool.steps.building import DEFAULT_SECONDS, Options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

F = TypeVar("F", bound="Callable[..., Any]")

JOB = re.compile(r"[A-Za-z0-9_][\w .-]{0,99}(?:/[A-Za-z0-9_][\w .-]{0,99}){0,9}")
NAMES = ("server", "job", "way", "secret", "timeout", "no_wait", "again")


def _job(_: click.Context, parameter: click.Parameter, value: str) -> str:
    if not JOB.fullmatch(value):
        raise click.BadParameter("a job's full name, such as ml-models-release or folder/job", param=parameter)
    return value


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--job", default=DEFAULT_JOB, show_default=True, metavar="NAME", callback=_job, help="Full name of the job."
    ),
    click.option(
        "--way",
        type=click.Choice([way.value for way in Way]),
        default=Way.JENKINS.value,
        show_default=True,
        help="Jenkins's own interface, or its Generic Webhook Trigger.",
    ),
    click.option("--secret", metavar="NAME", help="Secret of AWS Secrets Manager that holds the credentials."),
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


def jenkins_options(*, required: bool) -> Callable[[F], F]:
    """Return a decorator that adds the options; the command gets them as keyword arguments (see ``options_of``).

    Args:
        required: whether the command does nothing without a Jenkins.
    """
    words = "Address of Jenkins." if required else "Address of Jenkins, which is then told. [default: nobody is told]"

    def add(function: F) -> F:
        for option in reversed((click.option("--server", required=required, metavar="URL", help=words), *_OPTIONS)):
            function = option(function)
        return function

    return add


def options_of(asked: Mapping[str, Any]) -> Options:
    """Return what a person asks for.

    Args:
        asked: the arguments that ``jenkins_options`` added.

    Raises:
        RequestError: --server is no address of a Jenkins.
    """
    from release_tool.services.addresses import check_server

    return Options(
        server=check_server(asked["server"]),
        job=asked["job"],
        way=Way(asked["way"]),
        secret=asked["secret"],
        timeout=asked["timeout"],
        wait=not asked["no_wait"],
        again=asked["again"],
    )


def optional_options_of(ctx: click.Context, asked: Mapping[str, Any]) -> Options | None:
    """Return the same where a Jenkins is named, else null.

    Variables of the environment may be set for every command and count for nothing then; an option that a person
    typed does not.

    Raises:
        UsageError: an option was typed that means nothing without --server.
        RequestError: --server is no address of a Jenkins.
    """
    if asked["server"]:
        return options_of(asked)
    typed = [name for name in NAMES if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if typed:
        option = "--" + typed[0].replace("_", "-")
        raise UsageError(f"{option} means nothing without a Jenkins.", hint="Name it with --server, or leave it out.")
    return None
