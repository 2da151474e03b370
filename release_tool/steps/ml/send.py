"""``release-tool ml send``: send a request as a page of instructions writes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

MAX_CHARACTERS = 4 << 20
HELP = """Send a request as a page of instructions writes it: method and path in the first line, JSON below.

What such pages get wrong for the version of the cluster is corrected, and each correction is named. --dry-run shows the
request and sends nothing.

\b
Examples:
  release-tool ml send register.txt
  release-tool ml send register.txt --dry-run
"""


@click.command(help=HELP, short_help="Send a request as a page of instructions writes it.")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Show what would be sent, as the Dev Tools take it.")
@cluster_options
@click.pass_obj
def command(context: Context, file: Path, *, dry_run: bool, asked: Asked) -> None:
    """Read, correct, tell, send."""
    import json

    from release_tool.core.ml.corrections import NotARequest, correct, read_request
    from release_tool.core.ml.export import dev_tools
    from release_tool.errors import UsageError

    text = _read_stdin() if str(file) == "-" else _read(file)
    try:
        request, first = read_request(text)
    except NotARequest as error:
        raise UsageError(f"{file.name} is no request: {error}.") from error
    with asked.open(context) as cluster:
        request, then = correct(request, cluster.version)
        for one in (*first, *then):
            context.console.warning(f"corrected {one.name}: {one.sentence}")
        if dry_run:
            emit(context, dev_tools(request), {"request": dev_tools(request), "corrections": [*first, *then]})
            return
        reply = cluster.once(request)
    emit(context, json.dumps(reply, indent=2, ensure_ascii=False), reply)


def _read_stdin() -> str:
    from release_tool.errors import UsageError

    if sys.stdin is None:
        raise UsageError("There is no stdin: it is closed.", hint="Name a file.")
    try:
        return sys.stdin.buffer.read(MAX_CHARACTERS).decode()
    except UnicodeDecodeError as error:
        raise UsageError("What came by stdin is no UTF-8.", hint="Give text.") from error


def _read(file: Path) -> str:
    from release_tool.bounded import NotReadable, read_bounded
    from release_tool.errors import UsageError

    try:
        return read_bounded(file, MAX_CHARACTERS).decode()
    except (OSError, NotReadable, UnicodeDecodeError) as error:
        raise UsageError(f"{file} can't be read: {error}.", hint="Name a text file, or - for stdin.") from error
