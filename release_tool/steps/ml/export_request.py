"""``release-tool ml export-request``: print what another command would send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from release_tool.steps.ml.connection import RECORDER

if TYPE_CHECKING:
    from release_tool.core.ml.clusters import ClusterAddress
    from release_tool.global_options import Context

HELP = """Print the HTTP requests of another ml command instead of sending them.

The command runs as it would, against a cluster that is not there: nothing is sent, and what a cluster would have told
stands as a variable, such as $MODEL_ID. So do credentials; no value of one is printed. Requests that only look are left
out where there are others. What bench and swap send can't be said without a cluster.

\b
Examples:
  release-tool ml export-request deploy cleMb4kBJ1eYAeTMFFg4
  release-tool ml export-request --as dev-tools register all-MiniLM-L6-v2
  release-tool ml export-request --server-version 2.6 undeploy cleMb4kBJ1eYAeTMFFg4
"""


NO_EXPORT = {
    "bench": "bench sends what predict sends, very often; export that.",
    "swap": "What swap sends depends on what the cluster holds and answers; swap --dry-run says what it would do.",
}
"""Command → why there is nothing to print."""


@click.command(
    help=HELP,
    short_help="Print the HTTP requests of another ml command.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option(
    "--as", "form", type=click.Choice(["curl", "dev-tools"]), default="curl", show_default=True,
    help="For a shell, or for the Dev Tools of Dashboards.",
)  # fmt: skip
@click.option("--server-version", default="3.6", show_default=True, metavar="VERSION", help="Whose names are used.")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [ARGUMENTS]...")
@click.pass_context
def command(ctx: click.Context, /, *, form: str, server_version: str, words: tuple[str, ...]) -> None:
    """Run the command against a recorder, and print what it noted."""
    from contextlib import redirect_stdout
    from io import StringIO

    from release_tool.core.ml.clusters import ClusterAddress
    from release_tool.core.opensearch import KNOWN_VERSIONS
    from release_tool.errors import Fault, RequestError
    from release_tool.services.cluster.recording import Recorder

    if ".".join(server_version.split(".")[:2]) not in KNOWN_VERSIONS:
        raise RequestError((Fault("--server-version", f"{server_version!r} is not known here", "such as 3.6"),))
    noted: list[Recorder] = []

    def recorder(address: ClusterAddress | None) -> Recorder:
        noted.append(Recorder(address or ClusterAddress(url="http://localhost:9200"), server_version))
        return noted[-1]

    group = ctx.parent.command if ctx.parent else None
    if not isinstance(group, click.Group):
        raise click.UsageError("There is no command to export.", ctx)
    ctx.meta[RECORDER] = recorder
    name, chosen, rest = group.resolve_command(ctx, list(words))
    if name in NO_EXPORT:
        raise click.UsageError(NO_EXPORT[name], ctx)
    if chosen is None or name == ctx.info_name:
        raise click.UsageError(f"{name!r} sends no request of its own.", ctx)
    # What the command would say of its progress is not so.
    ctx.obj.console.verbosity = -1
    with redirect_stdout(StringIO()), chosen.make_context(name, rest, parent=ctx) as inner:
        chosen.invoke(inner)
    _print(ctx.obj, noted, form, _archive(words))


def _archive(words: tuple[str, ...]) -> str:
    return next((word for word in words if word.endswith(".zip") and "://" not in word), "model.zip")


def _print(context: Context, noted: list[Any], form: str, archive: str) -> None:
    from release_tool.core.ml.export import curl, dev_tools
    from release_tool.steps import emit

    requests = [(one, recorder.cluster) for recorder in noted for one in recorder.changes]
    texts = [curl(one, where, archive=archive) if form == "curl" else dev_tools(one) for one, where in requests]
    shown = [
        {"method": one.method, "path": one.target, "body": one.body, "text": text}
        for (one, _), text in zip(requests, texts, strict=True)
    ]
    emit(context, "\n\n".join(texts) or "it sends nothing", shown)
