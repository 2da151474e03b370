"""``release-tool ml undeploy``: take models out of the memory of the nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.services.cluster.sender import Sender
    from release_tool.steps.ml.connection import Asked

NOT_FOUND = 404

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
        _know(cluster, models)
        reply = cluster.send(undeploy(models, nodes, generation=cluster.generation))
    found = read_undeploy(reply)
    lines = [(model, node, what) for node, stats in found.items() for model, what in stats.items()]
    emit(context, rows(("model", "node", "was"), lines, empty="no node had them"), reply)


def _know(cluster: Sender, models: tuple[str, ...]) -> None:
    """Refuse ids that the cluster has no model of: to its undeploy they are models that are on no node.

    Raises:
        Refused: some are unknown; all of them are named.
    """
    from release_tool.core.escape import one_line
    from release_tool.core.ml.api import get_model
    from release_tool.errors import Refused

    unknown = []
    for model in dict.fromkeys(models):
        try:
            cluster.send(get_model(model))
        except Refused as error:
            if error.status != NOT_FOUND:
                raise
            unknown.append(one_line(model))
    if unknown:
        raise Refused(
            f"The cluster has no such model: {', '.join(unknown)}; nothing was undeployed.",
            hint="release-tool ml search lists its models.",
            status=NOT_FOUND,
        )
