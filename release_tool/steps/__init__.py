"""One click command a file: read documents, call the rings, write documents, tell. Heavy imports are inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from release_tool.cli import Context


def emit(context: Context, text: str, data: Any) -> None:
    """Print a step's result on stdout: ``data`` as JSON with --json, else ``text``."""
    if context.json:
        from release_tool.core.codec import encode_text

        click.echo(encode_text(data), nl=False)
    else:
        from release_tool.core.escape import log_text

        click.echo(log_text(text))
