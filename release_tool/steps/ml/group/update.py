"""``release-tool ml group update``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options
from release_tool.steps.ml.wishing import add_options, group_options

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Change a model group: its name, its description, who sees it.

\b
Examples:
  release-tool ml group update wlcnb4kBJ1eYAeTMHlV6 --description "models of the search team"
  release-tool ml group update wlcnb4kBJ1eYAeTMHlV6 --access-mode public
"""


@click.command(help=HELP, short_help="Change a model group.")
@click.argument("group", metavar="ID|NAME")
@click.option("--name", metavar="TEXT", help="Another name.")
@click.option("--description", metavar="TEXT", help="Another description.")
@add_options(group_options)
@cluster_options
@click.pass_context
def command(ctx: click.Context, /, group: str, *, asked: Asked, **given: Any) -> None:
    """Send what is given."""
    from release_tool.core.ml.api import update_group
    from release_tool.errors import UsageError
    from release_tool.services.cluster.grouping import id_of
    from release_tool.steps.ml.group.access import body_of

    context: Context = ctx.obj
    body = body_of(given)
    if not body:
        raise UsageError("Nothing is to be changed.", hint="Name what, such as --description.")
    with asked.open(context) as cluster:
        reply = cluster.send(update_group(id_of(cluster, group), body))
    emit(context, f"changed  {group}: {', '.join(body)}", reply)
