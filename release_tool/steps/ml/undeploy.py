"""``release-tool ml undeploy``: take models out of the memory of the nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Undeploy models: they stay registered, and answer no more.

\b
Examples:
  release-tool ml undeploy cleMb4kBJ1eYAeTMFFg4
  release-tool ml undeploy MODEL OTHER --node 4PLK7KJWReyX0oWKnBA8nA
"""


@click.command(help=HELP, short_help="Undeploy models; they stay registered.")
@click.argument("models", nargs=-1, required=True)
@click.option("--node", "nodes", multiple=True, metavar="ID", help="Only from this node; may be given more than once.")
@cluster_options
@click.pass_obj
def command(context: Context, models: tuple[str, ...], *, nodes: tuple[str, ...], asked: Asked) -> None:
    """Undeploy all in one request."""
    from release_tool.core.ml.api import undeploy
    from release_tool.core.ml.tasks import read_undeploy
    from release_tool.steps.ml.tables import rows

    with asked.open(context) as cluster:
        reply = cluster.send(undeploy(models, nodes, generation=cluster.generation))
    found = read_undeploy(reply)
    lines = [(model, node, what) for node, stats in found.items() for model, what in stats.items()]
    emit(context, rows(("model", "node", "was"), lines, empty="no node had them"), reply)
