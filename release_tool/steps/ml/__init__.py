"""``release-tool ml``: any cluster's models; one command a file, each imported only when it is asked for."""

from __future__ import annotations

import click

from release_tool.steps.ml.lazy import TableGroup

HELP = """Register, deploy and ask models on any OpenSearch from 2.4 on.

--cluster names it: an address, or a name under [clusters.NAME] in release-tool.toml. Credentials come from
RELEASE_TOOL_CLUSTER_USER and RELEASE_TOOL_CLUSTER_PASSWORD, or from AWS's own chain.

\b
Examples:
  export RELEASE_TOOL_CLUSTER=https://search.example.org:9200
  release-tool ml get cleMb4kBJ1eYAeTMFFg4
"""

COMMANDS: dict[str, tuple[str, str]] = {
    "get": ("release_tool.steps.ml.get", "Show what the cluster knows of a model."),
    "connector": ("release_tool.steps.ml.connector", "Make and change connectors to models served elsewhere."),
    "predict": ("release_tool.steps.ml.predict", "Ask a deployed model."),
}


@click.group(cls=TableGroup, table=COMMANDS, help=HELP, short_help="Register, deploy and ask models on any OpenSearch.")
def command() -> None:
    """Hold them."""
