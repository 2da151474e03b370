"""``release-tool ml group``: model groups, which hold the versions of a model and say who sees them."""

from __future__ import annotations

import click

from release_tool.steps.lazy import TableGroup

HELP = """Make, change, delete and list model groups.

A group holds the versions of a model and says who sees them: everybody (public), its owner (private), or who has one of
its backend roles (restricted). Only a cluster with model access control switched on holds people to it.

\b
Examples:
  release-tool ml group create "our models" --description "what the search team serves"
  release-tool ml group search
"""

COMMANDS: dict[str, tuple[str, str]] = {
    "create": ("release_tool.steps.ml.group.create", "Make a model group."),
    "update": ("release_tool.steps.ml.group.update", "Change a model group."),
    "delete": ("release_tool.steps.ml.group.delete", "Delete empty model groups."),
    "search": ("release_tool.steps.ml.group.search", "List the model groups."),
}


@click.group(cls=TableGroup, table=COMMANDS, help=HELP, short_help="Make, change, delete and list model groups.")
def command() -> None:
    """Hold the four."""
