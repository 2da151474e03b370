"""``release-tool ml connector``: how a cluster asks models that somebody else serves."""

from __future__ import annotations

import click

from release_tool.steps.lazy import TableGroup

HELP = """Make and change connectors: how a cluster asks models that somebody else serves.

A connector is JSON: protocol, parameters, credential and actions. Its credential names environment variables,
${env.OPENAI_KEY}, or ARNs; a secret itself is refused. A blueprint has the JSON of a service that many people use.

\b
Examples:
  release-tool ml connector blueprints
  release-tool ml connector create --blueprint openai-chat --set model=gpt-4o-mini
  release-tool ml connector create my-connector.json --trust
"""

COMMANDS: dict[str, tuple[str, str]] = {
    "create": ("release_tool.steps.ml.connector_create", "Make a connector from a file or a blueprint."),
    "get": ("release_tool.steps.ml.connector_get", "Show a connector."),
    "update": ("release_tool.steps.ml.connector_update", "Change a connector."),
    "delete": ("release_tool.steps.ml.connector_delete", "Delete connectors."),
    "search": ("release_tool.steps.ml.connector_search", "List the connectors of a cluster."),
    "blueprints": ("release_tool.steps.ml.connector_blueprints", "List the blueprints, or show one."),
}


@click.group(
    cls=TableGroup, table=COMMANDS, help=HELP, short_help="Make and change connectors to models served elsewhere."
)
def command() -> None:
    """Hold them."""
