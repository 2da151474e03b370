"""``release-tool ml pretrained``: the project's own models, which a cluster registers by their names."""

from __future__ import annotations

import click

from release_tool.steps.lazy import TableGroup

HELP = """Say which models a cluster can register by name.

The table is shipped with this tool; what model_listing/ of --repo, or --listing, has beyond it is added.

\b
Examples:
  release-tool ml pretrained list
  release-tool ml pretrained show all-MiniLM-L6-v2
"""

COMMANDS: dict[str, tuple[str, str]] = {
    "list": ("release_tool.steps.ml.pretrained.list", "List the pretrained models."),
    "show": ("release_tool.steps.ml.pretrained.show", "Show a pretrained model, and how to register it."),
}


@click.group(cls=TableGroup, table=COMMANDS, help=HELP, short_help="Say which models a cluster can register by name.")
def command() -> None:
    """Hold the two."""
