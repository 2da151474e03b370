"""``release-tool ml register``: bring a model onto a cluster."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from release_tool.steps import emit
from release_tool.steps.ml.connection import RECORDER, cluster_options, wait_option
from release_tool.steps.ml.remote_options import remote_options
from release_tool.steps.ml.wishing import wish_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.global_options import Context
    from release_tool.steps.ml.connection import Asked

HELP = """Register a model: an archive, one at an address, a pretrained one by its name, or a remote one.

\b
ARCHIVE   its bytes are sent in parts; a run that was cut is gone on with by running again
URL       the cluster fetches it; config.json beside it, or --config, says what it is
NAME      a model of release-tool ml pretrained list, with --version and --format
--remote  no archive but a connector, by its id or as a file (see ml connector), and --name

What the cluster has already, by its sha256, is used and not sent twice. An archive that compat says can't run there is
refused (exit code 6), one that no node has room for too (13). A register that fails leaves nothing behind.

\b
Examples:
  release-tool ml register work/archives/acme_tiny-1.0.0-onnx.zip --deploy
  release-tool ml register https://models.example.org/tiny.zip --config tiny.config.json
  release-tool ml register all-MiniLM-L6-v2 --version 1.0.2 --format torch_script --group "our models"
  release-tool ml register --remote a1eMb4kBJ1eYAeTMAljY --name "our chat model" --guardrails guardrails.json
"""


@click.command(help=HELP, short_help="Register a model: an archive, an address or a name.")
@click.argument("target", metavar="[ARCHIVE|URL|NAME]", required=False)
@click.option("--config", type=click.Path(path_type=Path), help="Its config.json.  [default: the one beside it]")
@click.option("--sha256", metavar="HEX", help="Of the archive at an address.  [default: that of its config]")
@click.option("--download", is_flag=True, help="Download what lies at the address, to know its sha256.")
@click.option("--format", "fmt", type=click.Choice(["torch_script", "onnx"]), help="Of a pretrained model.")
@wish_options
@remote_options
@click.option("--deploy", is_flag=True, help="Deploy it, too.")
@click.option("--node", "nodes", multiple=True, metavar="ID", help="Deploy on this node only; repeatable.")
@click.option("--keep", is_flag=True, help="Leave what a failed register has made.")
@click.option("--again", is_flag=True, help="Register also what is there already.")
@click.option("--force", is_flag=True, help="Register what compat or the nodes' memory speak against.")
@wait_option
@cluster_options
@click.pass_context
def command(ctx: click.Context, /, target: str | None, *, asked: Asked, **given: Any) -> None:
    """Look what is meant, and register it."""
    from release_tool.steps.ml.registering import run_register

    context: Context = ctx.obj
    with _own_folder(ctx, target) as folder:
        done = run_register(replace(context, work=folder), target, given, asked)
    state = "deployed  " if done["deployed"] else "registered  "
    note = " (it was there already)" if done["reused"] else ""
    emit(context, f"{state}{done['model_id']}{note}", done)


@contextmanager
def _own_folder(ctx: click.Context, target: str | None) -> Iterator[Path]:
    """Lend the folder in which an upload notes how far it is: one upload at a time, and none of an export's notes."""
    from tempfile import TemporaryDirectory

    from release_tool.lock import hold

    work: Path = ctx.obj.work
    if RECORDER in ctx.meta:
        with TemporaryDirectory() as folder:
            yield Path(folder)
    elif target is not None and "://" not in target and target.endswith(".zip"):
        with hold(work, "ml register"):
            yield work
    else:
        yield work
