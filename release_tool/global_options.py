"""The options of every command: they may stand before the command or after it, and mean the same in both places.

They are declared once. ``release-tool --help`` lists them; a command takes copies of them, whose callbacks
change the context that the group made, and its own help only says that they are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from release_tool.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

EPILOG = "Global options fit here too: --work, --repo, --json, -v, -q, --debug."


@dataclass
class Context:
    """What every command gets: the work folder, the repository, how to talk."""

    work: Path
    repo: Path
    json: bool
    debug: bool
    console: Console


class Named(click.Path):
    """A path that is not empty: an unset variable of a script must not mean the current folder, or nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse the empty text."""
        if value == "":
            what = "a folder, or '.' for this one" if self.dir_okay else "a file, or leave the option out"
            self.fail(f"it is empty; name {what}.", param, ctx)
        return super().convert(value, param, ctx)


class AfterCommand(click.Option):
    """The copy of a global option that a command takes: completed by the shell, not listed by the command's help."""

    def get_help_record(self, ctx: click.Context) -> None:
        """Say nothing; the epilog does."""


FOLDER = Named(file_okay=False, path_type=Path)
DECLARED: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--work",), {"type": FOLDER, "help": "Folder of this release's documents and archives."}),
    (("--repo",), {"type": FOLDER, "help": "Repository whose settings and templates are used. [default: here]"}),
    (("--json", "as_json"), {"is_flag": True, "help": "Print the result as JSON on stdout."}),
    (("-v", "--verbose"), {"count": True, "help": "Say more; twice: libraries too."}),
    (("-q", "--quiet"), {"is_flag": True, "help": "Say only warnings and errors."}),
    (("--debug",), {"is_flag": True, "help": "Show the trace of an error."}),
)
BEFORE: dict[str, dict[str, Any]] = {
    "--work": {"default": Path("work"), "show_default": True, "envvar": "RELEASE_TOOL_WORK"},
    "--repo": {"default": Path(), "envvar": "RELEASE_TOOL_REPO"},
}
"""What holds before the command only: a default after it would undo what stands before it."""


def global_options(function: F) -> F:
    """Add the options to the group; it gets them as keyword arguments (see ``make_context``)."""
    for names, settings in reversed(DECLARED):
        function = click.option(*names, **settings, **BEFORE.get(names[0], {}))(function)
    return function


def make_context(work: Path, repo: Path, *, as_json: bool, verbose: int, quiet: bool, debug: bool) -> Context:
    """Return the context of what stands before the command."""
    return Context(work=work, repo=repo, json=as_json, debug=debug, console=Console(verbosity=-1 if quiet else verbose))


def take_anywhere(command: click.Command) -> click.Command:
    """Let a command, and those below it, take the options too; harmless when it does already."""
    if not any(isinstance(parameter, AfterCommand) for parameter in command.params):
        command.params += [
            AfterCommand(names, **settings, expose_value=False, callback=_take, allow_from_autoenv=False)
            for names, settings in DECLARED
        ]
        command.epilog = command.epilog or EPILOG
    if isinstance(command, click.Group) and not getattr(command, "lazy", False):
        for below in command.commands.values():
            take_anywhere(below)
    return command


def _take(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Change the context by one option that was given after the command; completion has no context."""
    context = ctx.find_object(Context)
    if context is None or not value:
        return
    match parameter.name:
        case "work":
            context.work = value
        case "repo":
            context.repo = value
        case "as_json":
            context.json = True
        case "debug":
            context.debug = True
        case "quiet":
            context.console.verbosity = -1
        case "verbose" if context.console.verbosity >= 0:  # silence wins, wherever it was asked for
            context.console.verbosity += value
