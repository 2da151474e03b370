"""``release-tool ml delete``: take models off the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Delete models with their chunks.

A model that is deployed is refused; --undeploy undeploys it first. Its group stays; --group deletes that too once no
model is left in it.

\b
Examples:
  release-tool ml delete cleMb4kBJ1eYAeTMFFg4
  release-tool ml delete cleMb4kBJ1eYAeTMFFg4 --undeploy --group
"""


@click.command(help=HELP, short_help="Delete models with their chunks.")
@click.argument("models", nargs=-1, required=True)
@click.option("--undeploy", is_flag=True, help="Undeploy first.")
@click.option("--group", is_flag=True, help="Delete the model group, too, where it is then empty.")
@cluster_options
@click.pass_obj
def command(context: Context, models: tuple[str, ...], *, undeploy: bool, group: bool, asked: Asked) -> None:
    """Delete one after the other."""
    from release_tool.core.ml.api import delete_model, get_model
    from release_tool.services.cluster.grouping import is_empty
    from release_tool.services.cluster.undoing import remove_group, remove_model

    done = []
    with asked.open(context) as cluster:
        for model in models:
            group_id = cluster.send(get_model(model)).get("model_group_id") if group else None
            if undeploy:
                remove_model(cluster, model)
            else:
                cluster.send(delete_model(model))
            emptied = bool(group_id) and is_empty(cluster, str(group_id))
            if emptied:
                remove_group(cluster, str(group_id))
            done.append({"model_id": model, "group_id": group_id if emptied else None})
    lines = (
        f"deleted  {one['model_id']}" + (f" and the group {one['group_id']}" if one["group_id"] else "") for one in done
    )
    emit(context, "\n".join(lines), done)
