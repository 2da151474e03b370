"""``release-tool ml connector create``: a new connector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options
from release_tool.steps.ml.connector_input import source_options, trust_option

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Make a connector from a file of JSON (- is stdin) or from a blueprint.

Everything that the server would refuse, skip or misread is told first. Addresses that the cluster does not trust are
refused unless --trust adds them: the list is merged, nothing of it is lost. --credential takes the name of a variable,
or an ARN such as roleArn=arn:aws:iam::123456789012:role/models.

\b
Examples:
  release-tool ml connector create my-connector.json
  release-tool ml connector create --blueprint openai-embedding --set model=text-embedding-3-small
  release-tool ml connector create --blueprint bedrock-claude-3 --set region=us-east-1
  release-tool ml connector create --blueprint cohere-chat --credential cohere_key=MY_VARIABLE
"""


@click.command(help=HELP, short_help="Make a connector from a file or a blueprint.")
@source_options
@trust_option
@cluster_options
@click.pass_obj
def command(
    context: Context, file: Path | None, blueprint: str | None, variables: tuple[str, ...],
    credentials: tuple[str, ...], *, trust: bool, asked: Asked,
) -> None:  # fmt: skip
    """Make one."""
    from release_tool.core.ml.connector import read_connector
    from release_tool.services.cluster.connectors import create, look, same_name
    from release_tool.steps.ml.connector_input import read_source

    data = read_source(file, blueprint, variables, credentials)
    with asked.open(context) as cluster:
        checked = read_connector(data, version=cluster.version)
        for note in checked.notes:
            context.console.warning(note)
        for ident, _ in same_name(cluster, str(checked.body["name"])):
            context.console.warning(f"A connector of this name is there already, {ident}; this makes another one.")
        made = create(cluster, checked, trust=trust)
        found = look(cluster, made.endpoints)
        for note in found.notes if found else ():
            context.console.warning(note)
    lines = [f"connector  {made.connector_id}", *(f"asks       {url}" for url in made.endpoints)]
    lines += [f"trusted    {one}" for one in made.trusted]
    emit(context, "\n".join(lines), made)
