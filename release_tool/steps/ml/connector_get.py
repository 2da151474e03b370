"""``release-tool ml connector get``: one connector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Show a connector; the server keeps its credential to itself.

\b
Examples:
  release-tool ml connector get a1eMb4kBJ1eYAeTMAljY
  release-tool --json ml connector get a1eMb4kBJ1eYAeTMAljY
"""


@click.command(help=HELP, short_help="Show a connector.")
@click.argument("connector")
@cluster_options
@click.pass_obj
def command(context: Context, connector: str, *, asked: Asked) -> None:
    """Ask for one."""
    from release_tool.core.ml.connector import get
    from release_tool.steps.ml.tables import facts

    with asked.open(context) as cluster:
        found = cluster.send(get(connector))
    emit(context, facts(found, first=("name", "description", "version", "protocol", "parameters")), found)
