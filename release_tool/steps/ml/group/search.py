"""``release-tool ml group search``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options, size_option

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """List the model groups of a cluster: all, or those with these words in the name.

\b
Examples:
  release-tool ml group search
  release-tool ml group search "our models"
"""


@click.command(help=HELP, short_help="List the model groups.")
@click.argument("words", required=False)
@size_option
@cluster_options
@click.pass_obj
def command(context: Context, words: str | None, *, size: int, asked: Asked) -> None:
    """Search for groups."""
    from release_tool.core.ml.searches import all_groups, hits
    from release_tool.steps.ml.tables import found_or_none, rows

    with asked.open(context) as cluster:
        found = hits(found_or_none(cluster, all_groups(words, size)))
    lines = [
        (group, source.get("name"), source.get("access"), source.get("latest_version"), source.get("description"))
        for group, source in found
    ]
    text = rows(("id", "name", "access", "versions", "description"), lines, empty="no model group")
    emit(context, text, [{"model_group_id": group, **source} for group, source in found])
