"""``release-tool ml group delete``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Delete model groups; one that holds a model is refused by the cluster.

\b
Examples:
  release-tool ml group delete wlcnb4kBJ1eYAeTMHlV6
  release-tool ml group delete "our models"
"""


@click.command(help=HELP, short_help="Delete empty model groups.")
@click.argument("groups", nargs=-1, required=True, metavar="ID|NAME...")
@cluster_options
@click.pass_obj
def command(context: Context, groups: tuple[str, ...], *, asked: Asked) -> None:
    """Delete one after the other."""
    from release_tool.services.cluster.grouping import delete

    with asked.open(context) as cluster:
        replies = [delete(cluster, group) for group in groups]
    emit(context, "\n".join(f"deleted  {group}" for group in groups), replies)
