"""``release-tool ml profile``: what the nodes' memory holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Show which node runs which model, how much memory it takes and how fast it answers.

\b
Examples:
  release-tool ml profile
  release-tool --json ml profile cleMb4kBJ1eYAeTMFFg4
"""


@click.command(help=HELP, short_help="Show which node runs which model, and how fast.")
@click.argument("model", required=False)
@cluster_options
@click.pass_obj
def command(context: Context, model: str | None, *, asked: Asked) -> None:
    """Ask for the profile of the models."""
    from release_tool.core.ml.api import profile
    from release_tool.steps.ml.tables import profiled, rows

    with asked.open(context) as cluster:
        reply = cluster.send(profile("models", model or ""))
    header = ("node", "model", "state", "memory", "asked", "p50 ms", "p90 ms", "p99 ms")
    emit(context, rows(header, profiled(reply), empty="no node runs a model"), reply)
