"""``release-tool ml connector search``: the connectors of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """List the connectors of a cluster: all of them, or those with words of TEXT in name or description.

\b
Examples:
  release-tool ml connector search
  release-tool ml connector search openai
"""


@click.command(help=HELP, short_help="List the connectors of a cluster.")
@click.argument("text", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Show as many at most.")
@cluster_options
@click.pass_obj
def command(context: Context, text: str | None, limit: int, *, asked: Asked) -> None:
    """Search."""
    from release_tool.services.cluster.connectors import search
    from release_tool.steps.ml.tables import rows

    with asked.open(context) as cluster:
        found = search(cluster, text, limit)
    lines = [
        (ident, source.get("name"), source.get("protocol"), ", ".join(one["url"] for one in source.get("actions", ())))
        for ident, source in found
    ]
    data = [{"connector_id": ident, **source} for ident, source in found]
    emit(context, rows(("connector", "name", "protocol", "asks"), lines, empty="no connector"), data)
