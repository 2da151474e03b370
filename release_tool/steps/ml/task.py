"""``release-tool ml task``: how a task of a cluster stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options, wait_option

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Show a task, or wait for it with --follow.

Every node's own error is shown. With --follow the exit code is 10 where it failed.

\b
Examples:
  release-tool ml task ew8I44MBhyWuIwnfvDIH
  release-tool ml task ew8I44MBhyWuIwnfvDIH --follow --wait 900
"""


@click.command(help=HELP, short_help="Show a task, or wait for it.")
@click.argument("task")
@click.option("--follow", is_flag=True, help="Wait until it has ended.")
@wait_option
@cluster_options
@click.pass_obj
def command(context: Context, task: str, *, follow: bool, wait: float, asked: Asked) -> None:
    """Ask for it."""
    from release_tool.core.ml.api import get_task
    from release_tool.core.ml.tasks import read_task
    from release_tool.services.cluster.waiting import wait as wait_for
    from release_tool.services.cluster.waiting import words_of_nodes
    from release_tool.steps.ml.tables import facts

    with asked.open(context) as cluster:
        if follow:
            wait_for(cluster, task, "finish", limit=wait, tell=context.console.info)
        reply = cluster.send(get_task(task))
    found = read_task(task, reply)
    shown = {
        "task": task,
        "kind": found.kind,
        "state": found.state,
        "model": found.model_id,
        "nodes": ", ".join(found.nodes),
        **({"error": words_of_nodes(found)} if found.errors else {}),
    }
    emit(context, facts(shown), reply)
