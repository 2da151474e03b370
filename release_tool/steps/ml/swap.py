"""``release-tool ml swap``: let a new model take the place of an old one, while searches go on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import cluster_options, wait_option

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Let a new model take the place of an old one, while searches go on.

OLD is the id of a model on the cluster. NEW is a folder with a release (a work folder, or what was published), whose
archive is registered and deployed, or the id of a model that is there, with its release in --release.

The new model is asked the probes on that cluster, and must answer as the release's own source did. Then every ingest
and search pipeline that names the old model names the new one. The old model stays until --finish; --rollback puts
everything back. What names the model elsewhere (a mapping, a script, a request of a client) is listed, not changed.

Where the new model encodes otherwise than the old one, the documents of an index must be encoded again; the swap stops
before it switches anything and says which. --accept-stale lets an index be.

A run that was killed is gone on with by the same command, or taken back with --rollback: swap.json in the work folder
knows what was there before.

\b
Examples:
  release-tool ml swap cleMb4kBJ1eYAeTMFFg4 work --dry-run
  release-tool ml swap cleMb4kBJ1eYAeTMFFg4 work --artifact torch_script
  release-tool ml swap --finish
  release-tool ml swap --rollback
"""


@click.command(help=HELP, short_help="Let a new model take the place of an old one.")
@click.argument("old", required=False)
@click.argument("new", required=False, metavar="[NEW]")
@click.option("--release", type=click.Path(path_type=Path), help="Folder of NEW's release, where NEW is an id.")
@click.option("--artifact", metavar="ID", help="Which archive of the release, where it has several.")
@click.option("--probes", type=click.Path(path_type=Path), help="The probes that the release was validated with.")
@click.option("--accept-stale", multiple=True, metavar="INDEX", help="Let this index's documents be; repeatable.")
@click.option("--force", is_flag=True, help="Bring also a model that compat or the nodes' memory speak against.")
@click.option("--dry-run", is_flag=True, help="Say what would be switched, and change nothing.")
@click.option("--finish", is_flag=True, help="Undeploy and delete the old model of a swap that is complete.")
@click.option("--rollback", is_flag=True, help="Put everything back, and take away what the swap brought.")
@click.option("--despite-mentions", is_flag=True, help="With --finish: also where something else names the old model.")
@wait_option
@cluster_options
@click.pass_context
def command(ctx: click.Context, /, old: str | None, new: str | None, *, asked: Asked, **given: Any) -> None:
    """Look where the swap stands, and go on."""
    from contextlib import nullcontext

    from release_tool.lock import hold
    from release_tool.steps.ml.swap_running import run_back, run_finish, run_forward
    from release_tool.steps.ml.swap_telling import swap_text

    context: Context = ctx.obj
    if sum(bool(given[name]) for name in ("finish", "rollback", "dry_run")) > 1:
        raise click.UsageError("--dry-run, --finish and --rollback exclude each other.", ctx)
    ending = given["finish"] or given["rollback"]
    if not ending and (old is None or new is None):
        raise click.UsageError("OLD and NEW are wanted, or --finish or --rollback.", ctx)
    if ending and old is not None:
        raise click.UsageError("--finish and --rollback take the models from swap.json.", ctx)
    with nullcontext() if given["dry_run"] else hold(context.work, "ml swap"):
        if given["rollback"]:
            done = run_back(context, asked)
        elif given["finish"]:
            done = run_finish(context, asked, despite=given["despite_mentions"])
        else:
            done = run_forward(context, asked, str(old), str(new), given)
    emit(context, swap_text(done), done)
