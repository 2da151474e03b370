"""``release-tool ml connector delete``: delete connectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Delete connectors. The server refuses while a model uses one; the models are named.

\b
Examples:
  release-tool ml connector delete a1eMb4kBJ1eYAeTMAljY
"""


@click.command(help=HELP, short_help="Delete connectors.")
@click.argument("connectors", nargs=-1, required=True)
@cluster_options
@click.pass_obj
def command(context: Context, connectors: tuple[str, ...], *, asked: Asked) -> None:
    """Delete them, one after the other."""
    from release_tool.services.cluster.connectors import remove

    with asked.open(context) as cluster:
        for one in connectors:
            remove(cluster, one)
    emit(context, "\n".join(f"deleted  {one}" for one in connectors), {"deleted": list(connectors)})
