"""``release-tool ml group create``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options
from release_tool.steps.ml.wishing import add_options, group_options

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Make a model group; its name must be free.

\b
Examples:
  release-tool ml group create "our models"
  release-tool ml group create secret --access-mode restricted --backend-role search-team
"""


@click.command(help=HELP, short_help="Make a model group.")
@click.argument("name")
@click.option("--description", metavar="TEXT", help="What it is for.")
@add_options(group_options)
@cluster_options
@click.pass_context
def command(ctx: click.Context, /, *, asked: Asked, **given: Any) -> None:
    """Make it."""
    from release_tool.services.cluster.grouping import make_group
    from release_tool.steps.ml.group.access import body_of

    context: Context = ctx.obj
    with asked.open(context) as cluster:
        made = make_group(cluster, body_of(given))
    emit(context, f"made  {made}", {"model_group_id": made})
