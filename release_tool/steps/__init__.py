"""One click command a file: read documents, call the rings, write documents, tell. Heavy imports are inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from release_tool.global_options import Context

draft_option = click.option(
    "--draft", "--dry-run", "draft", is_flag=True, help="Print what would change as a diff, and change nothing."
)
"""Of the commands that change files of the repository; under either name."""


def emit(context: Context, text: str, data: Any) -> None:
    """Print a step's result on stdout: ``data`` as JSON with --json, else ``text``."""
    if context.json:
        from release_tool.core.codec import encode_text

        emit_text(encode_text(data))
    else:
        from release_tool.core.escape import log_text

        click.echo(log_text(text))


def emit_text(text: str) -> None:
    """Print JSON on stdout."""
    import json

    from release_tool.streams import carries

    # Escapes of JSON's own: those of the stream would make another text of it, or none.
    click.echo(text if carries(text) else json.dumps(json.loads(text), indent=2) + "\n", nl=False)
