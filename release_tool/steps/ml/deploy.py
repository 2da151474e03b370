"""``release-tool ml deploy``: load models into the memory of the nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options, wait_option

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Deploy models, one after the other, and wait for each.

A model whose estimated memory no node has is refused with the figures (exit code 13), unless --force. --node needs the
cluster's setting allow_custom_deployment_plan.

\b
Examples:
  release-tool ml deploy cleMb4kBJ1eYAeTMFFg4
  release-tool ml deploy MODEL OTHER --node 4PLK7KJWReyX0oWKnBA8nA
"""


@click.command(help=HELP, short_help="Deploy models and wait for each.")
@click.argument("models", nargs=-1, required=True)
@click.option("--node", "nodes", multiple=True, metavar="ID", help="Only on this node; may be given more than once.")
@click.option("--force", is_flag=True, help="Deploy also where the memory seems too small.")
@wait_option
@cluster_options
@click.pass_obj
def command(
    context: Context, models: tuple[str, ...], *, nodes: tuple[str, ...], force: bool, wait: float, asked: Asked
) -> None:
    """Deploy each."""
    from release_tool.steps.ml.deploying import deploy_model

    done: list[dict[str, Any]] = []
    with asked.open(context) as cluster:
        for model in models:
            _check(cluster, model, context, force=force)
            with context.console.step(f"Deploy {model}"):
                where = deploy_model(cluster, model, context.console, nodes=nodes, limit=wait)
            done.append({"model_id": model, "state": "DEPLOYED", "nodes": list(where)})
    emit(context, "\n".join(f"deployed  {one['model_id']} on {', '.join(one['nodes'])}" for one in done), done)


def _check(cluster: Any, model: str, context: Context, *, force: bool) -> None:
    from release_tool.core.ml.api import get_model
    from release_tool.core.ml.tasks import model_state
    from release_tool.services.cluster.room import check_room

    found = cluster.send(get_model(model))
    size = found.get("model_content_size_in_bytes")
    # What runs already takes no more.
    if size and model_state(found) not in {"DEPLOYED", "PARTIALLY_DEPLOYED"}:
        check_room(cluster, int(size), str(found.get("model_format") or ""), context.console, force=force)
