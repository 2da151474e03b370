"""``release-tool ml get``: what a cluster knows of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Show what the cluster knows of a model.

\b
Examples:
  release-tool ml get cleMb4kBJ1eYAeTMFFg4 --cluster https://search.example.org
  release-tool --json ml get cleMb4kBJ1eYAeTMFFg4
"""


@click.command(help=HELP, short_help="Show what the cluster knows of a model.")
@click.argument("model")
@cluster_options
@click.pass_obj
def command(context: Context, model: str, *, asked: Asked) -> None:
    """Ask for one model."""
    from release_tool.core.ml.api import get_model
    from release_tool.steps.ml.tables import facts

    with asked.open(context) as cluster:
        found = cluster.send(get_model(model))
    emit(context, facts(found, first=("name", "model_state", "algorithm", "model_version", "model_group_id")), found)
