"""``release-tool ml search``: which models a cluster has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options, size_option

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """List the models of a cluster: all, or those with these words in the name.

The chunks of archives lie beside the models and are not listed.

\b
Examples:
  release-tool ml search
  release-tool ml search MiniLM --state DEPLOYED
"""


@click.command(help=HELP, short_help="List the models of a cluster.")
@click.argument("words", required=False)
@click.option("--state", metavar="STATE", help="Only models in this state, such as DEPLOYED.")
@click.option("--function", metavar="NAME", help="Only models of this function, such as SPARSE_ENCODING.")
@size_option
@cluster_options
@click.pass_obj
def command(
    context: Context, words: str | None, *, state: str | None, function: str | None, size: int, asked: Asked
) -> None:
    """Search for models."""
    from release_tool.core.ml.searches import hits, models
    from release_tool.core.ml.tasks import model_state
    from release_tool.steps.ml.tables import found_or_none, rows

    wanted = models(words, state and state.upper(), function and function.upper(), size)
    with asked.open(context) as cluster:
        found = hits(found_or_none(cluster, wanted))
    lines = [
        (model, source.get("name"), source.get("model_version"), source.get("algorithm"), model_state(source))
        for model, source in found
    ]
    text = rows(("id", "name", "version", "function", "state"), lines, empty="no model")
    emit(context, text, [{"model_id": model, **source} for model, source in found])
