"""The command line: a lazy group, the global options, and the one place that prints errors.

The table holds each command's module and its line of help, so that ``--help`` imports no step; a test compares the
lines with the commands' own.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from release_tool import __version__, streams
from release_tool.console import Console
from release_tool.core.escape import log_text
from release_tool.errors import ReleaseError, Unreachable
from release_tool.global_options import Context, global_options, make_context, take_anywhere

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["COMMANDS", "cli", "main", "run"]

COMMANDS: dict[str, tuple[str, str]] = {
    "plan": ("release_tool.steps.plan", "Decide and name everything about a release."),
    "check": ("release_tool.steps.check", "Look in the bucket whether the version is taken."),
    "verify": ("release_tool.steps.verify", "Hold what other jobs handed on against what they said."),
    "fetch": ("release_tool.steps.fetch", "Download the planned revision and check every byte."),
    "trace": ("release_tool.steps.trace", "Write one archive an artifact of the plan."),
    "answer": ("release_tool.steps.answer", "Let the source itself answer the probes."),
    "validate": ("release_tool.steps.validate", "Compare the archives with the source, number by number."),
    "quality": ("release_tool.steps.quality", "Measure how well the archives search, beside their source."),
    "bench": ("release_tool.steps.bench", "Measure size, speed and memory of archives, side by side."),
    "review": ("release_tool.steps.review", "Write the page that approvers read, and its digest."),
    "publish": ("release_tool.steps.publish", "Publish what was approved, exactly once."),
    "notify": ("release_tool.steps.notify", "Ask Jenkins to serve what was published."),
    "record": ("release_tool.steps.record", "Write a release into the ledger and the files that follow from it."),
    "propose": ("release_tool.steps.propose", "Propose the record of a release as a pull request."),
    "listing": ("release_tool.steps.listing", "Show, make anew and publish the listings of what can be had."),
    "models": ("release_tool.steps.models", "List, show, compare and yank what was released."),
    "run": ("release_tool.steps.run", "Plan, fetch, trace, validate and review in one go."),
    "finetune": ("release_tool.steps.finetune", "Make a better model of one's own documents, with proof."),
    "ml": ("release_tool.steps.ml", "Register, deploy and ask models on any OpenSearch."),
    "compat": ("release_tool.steps.compat", "Say on which OpenSearch versions an archive deploys."),
    "rebuild": ("release_tool.steps.rebuild", "Make the archive of a certificate again, byte for byte."),
    "doctor": ("release_tool.steps.doctor", "Look what this machine can do and what is missing."),
    "node": ("release_tool.steps.node", "Start and stop a real OpenSearch with ML Commons."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported only to run them or to show their own help."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a pipe that broke elsewhere must not end it in silence, as a broken stdout does."""
        done = False
        try:
            result = super().invoke(ctx)
            done = True
        except BrokenPipeError as error:
            if streams.is_cut_off():
                raise
            raise Unreachable("A connection or a process broke off in the middle of a message.") from error
        finally:
            if os.environ.get("GITHUB_OUTPUT") and ctx.invoked_subcommand and isinstance(ctx.obj, Context):
                from release_tool.steps.handing import hand_over

                hand_over(ctx.obj, ctx.invoked_subcommand, done=done)
        return result

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the flow."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(entry[0])
        return take_anywhere(module.command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the closest command when there is none of that name."""
        name = args[0] if args else ""
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(name, COMMANDS, n=1)
            also = f" Did you mean {close[0]}?" if close else ""
            raise click.UsageError(f"No such command {name!r}.{also}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Print the table without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110, "auto_envvar_prefix": "RELEASE_TOOL"}
"""Every option can be given as RELEASE_TOOL_<COMMAND>_<OPTION>; an empty variable counts as not set."""


HELP = """Release machine-learning models for OpenSearch, with proof.

\b
A release is a folder that grows: plan -> fetch -> trace -> validate -> review.
  release-tool run sentence-transformers/all-MiniLM-L6-v2 --version 1.0.0
  release-tool trace ./my-model --kind sparse --version 1.0.0
  release-tool validate --on node
"""


@click.group(help=HELP, cls=LazyGroup, context_settings=SETTINGS)
@global_options
@click.version_option(__version__, prog_name="release-tool")
@click.pass_context
def cli(ctx: click.Context, work: Path, repo: Path, *, as_json: bool, verbose: int, quiet: bool, debug: bool) -> None:
    """Set up what every command gets; the text of --help is HELP."""
    streams.check_names()
    ctx.obj = make_context(work, repo, as_json=as_json, verbose=verbose, quiet=quiet, debug=debug)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the error's own code; being asked to end is being interrupted."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    # A command lives for seconds and makes few cycles: to look for them every 700 objects costs it more than it frees.
    gc.set_threshold(100_000, 50, 50)
    streams.prepare()
    try:
        code = run(argv)
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = streams.CUT_OFF
    if code == streams.CUT_OFF:
        streams.let_go()
    sys.exit(code)


def _trace() -> str:
    import traceback

    return traceback.format_exc()


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; the one place that prints errors."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    console = Console()
    try:
        result: Any = cli.main(args=arguments, prog_name="release-tool", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except SystemExit as end:  # how click ends when nobody reads its output, and after it has completed a line
        return streams.CUT_OFF if end.code and streams.is_cut_off() else int(end.code or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the boundary
        return _report(error, console, debug="--debug" in arguments or _is_set("RELEASE_TOOL_DEBUG"))
    return result if isinstance(result, int) else 0


def _is_set(name: str) -> bool:
    """Tell whether a variable switches a flag on, by the words that click takes for it."""
    return os.environ.get(name, "").strip().lower() in {"1", "true", "t", "yes", "y", "on"}


def _report(error: BaseException, console: Console, *, debug: bool) -> int:
    """Print an error with what to do about it, and return its exit code."""
    if debug and isinstance(error, (ReleaseError, OSError)):
        console.line(log_text(_trace()))
    match error:
        case ReleaseError():
            console.error(str(error), error.hint, title=type(error).__name__)
            return error.exit_code
        case KeyboardInterrupt() | click.Abort():
            console.error("Interrupted.", "Run the same command again: complete steps are kept.", title="Interrupted")
            return 130
        case click.ClickException():
            console.error(_usage(error), _where_help_is(error), title="UsageError")
            return 2
        case OSError(errno=errno.ENAMETOOLONG):
            console.error(f"A name is too long for this system: {error}", "Name another file or folder.")
            return 2
        case OSError():
            full = error.errno == errno.ENOSPC
            what = "No space left on the disk." if full else f"The system refused: {error}"
            console.error(what, "Free space and run again." if full else "Check the path and its permissions.")
            return 12
        case _:
            console.line(log_text(_trace()))
            console.error("This is a defect of release-tool.", "Please report the trace above.", title="Defect")
            return 1


def _usage(error: click.ClickException) -> str:
    """Return click's words, with an argument's plain name where click writes its place in the usage line."""
    if isinstance(error, click.BadParameter) and isinstance(error.param, click.Argument):
        error.param_hint = error.param.human_readable_name
    return error.format_message()


def _where_help_is(error: click.ClickException) -> str:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"See {error.ctx.command_path} --help."
    return "See --help."
