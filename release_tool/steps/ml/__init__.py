"""``release-tool ml``: any cluster's models; one command a file, each imported only when it is asked for."""

from __future__ import annotations

import click

from release_tool.steps.lazy import TableGroup

HELP = """Register, deploy and ask models on any OpenSearch from 2.4 on.

--cluster names it: an address, or a name under [clusters.NAME] in release-tool.toml. Credentials come from
RELEASE_TOOL_CLUSTER_USER and RELEASE_TOOL_CLUSTER_PASSWORD, or from AWS's own chain.

\b
Examples:
  export RELEASE_TOOL_CLUSTER=https://search.example.org:9200
  release-tool ml get cleMb4kBJ1eYAeTMFFg4
"""

COMMANDS: dict[str, tuple[str, str]] = {
    "register": ("release_tool.steps.ml.register", "Register a model: an archive, an address or a name."),
    "deploy": ("release_tool.steps.ml.deploy", "Deploy models and wait for each."),
    "undeploy": ("release_tool.steps.ml.undeploy", "Undeploy models; they stay registered."),
    "delete": ("release_tool.steps.ml.delete", "Delete models with their chunks."),
    "bench": ("release_tool.steps.ml.bench", "Measure how fast a deployed model answers."),
    "doctor": (
        "release_tool.steps.ml.doctor",
        "Say what a cluster can do with models, and what stands in the way.",
    ),
    "get": ("release_tool.steps.ml.get", "Show what the cluster knows of a model."),
    "search": ("release_tool.steps.ml.search", "List the models of a cluster."),
    "update": ("release_tool.steps.ml.update", "Change a model, also while it is deployed."),
    "task": ("release_tool.steps.ml.task", "Show a task, or wait for it."),
    "profile": ("release_tool.steps.ml.profile", "Show which node runs which model, and how fast."),
    "stats": ("release_tool.steps.ml.stats", "Show the counters of ML Commons."),
    "group": ("release_tool.steps.ml.group", "Make, change, delete and list model groups."),
    "pretrained": ("release_tool.steps.ml.pretrained", "Say which models a cluster can register by name."),
    "send": ("release_tool.steps.ml.send", "Send a request as a page of instructions writes it."),
    "export-request": ("release_tool.steps.ml.export_request", "Print the HTTP requests of another ml command."),
    "connector": ("release_tool.steps.ml.connector", "Make and change connectors to models served elsewhere."),
    "predict": ("release_tool.steps.ml.predict", "Ask a deployed model."),
    "swap": ("release_tool.steps.ml.swap", "Let a new model take the place of an old one."),
}


@click.group(cls=TableGroup, table=COMMANDS, help=HELP, short_help="Register, deploy and ask models on any OpenSearch.")
def command() -> None:
    """Hold them."""
