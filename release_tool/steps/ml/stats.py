"""``release-tool ml stats``: the counters of ML Commons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Show the counters of ML Commons: requests, failures, models, breakers.

\b
Examples:
  release-tool ml stats
  release-tool ml stats --stat ml_executing_task_count
"""


@click.command(help=HELP, short_help="Show the counters of ML Commons.")
@click.option("--node", metavar="ID", default="", help="Of this node only.")
@click.option("--stat", metavar="NAME", default="", help="This counter only.")
@cluster_options
@click.pass_obj
def command(context: Context, *, node: str, stat: str, asked: Asked) -> None:
    """Ask for them."""
    from release_tool.core.ml.api import stats
    from release_tool.steps.ml.tables import flat, rows

    with asked.open(context) as cluster:
        reply = cluster.send(stats(node, stat))
    emit(context, rows(("counter", "value"), flat(reply), empty="no counter"), reply)
