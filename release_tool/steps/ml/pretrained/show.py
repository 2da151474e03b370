"""``release-tool ml pretrained show``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.global_options import Context

HELP = """Show a pretrained model, by its whole name or the last part of it.

\b
Examples:
  release-tool ml pretrained show all-MiniLM-L6-v2
"""


@click.command(help=HELP, short_help="Show a pretrained model, and how to register it.")
@click.argument("name")
@click.pass_obj
def command(context: Context, name: str) -> None:
    """Print it."""
    from release_tool.core.codec import encode
    from release_tool.steps.ml.tables import facts
    from release_tool.steps.ml.targets import listed

    model, version, fmt = listed(context, name, None, None)
    how = f"release-tool ml register {model.name} --version {version} --format {fmt}"
    shown = {**encode(model), "versions": ", ".join(model.versions), "formats": ", ".join(model.formats)}
    emit(context, facts({**shown, "register": how}), model)
