"""``release-tool ml connector update``: change a connector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options
from release_tool.steps.ml.connector_input import trust_option

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Change a connector by the fields of a file of JSON (- is stdin); what it does not name stays.

The server adds parameters to those that are there, and replaces credential and actions as a whole. It refuses while a
model that uses the connector is deployed.

\b
Examples:
  release-tool ml connector update a1eMb4kBJ1eYAeTMAljY change.json
  release-tool ml connector update a1eMb4kBJ1eYAeTMAljY - < change.json
"""


@click.command(help=HELP, short_help="Change a connector.")
@click.argument("connector")
@click.argument("file", type=click.Path(path_type=Path))
@trust_option
@cluster_options
@click.pass_obj
def command(context: Context, connector: str, file: Path, *, trust: bool, asked: Asked) -> None:
    """Change one."""
    from release_tool.core.ml.connector import read_connector
    from release_tool.services.cluster.connectors import update
    from release_tool.steps.ml.connector_input import read_json

    data = read_json(file)
    with asked.open(context) as cluster:
        checked = read_connector(data, version=cluster.version, update=True)
        for note in checked.notes:
            context.console.warning(note)
        update(cluster, connector, checked, trust=trust)
    emit(context, f"changed  {connector}", {"connector_id": connector, "changed": list(checked.body)})
