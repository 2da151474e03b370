"""``release-tool bench``: how fast and how large archives are, side by side in one run."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.global_options import Context

HELP = """Measure size, speed and memory of archives, side by side.

Every archive is loaded in a process of its own, on one thread and in the servers' libraries, and all of them answer
inputs of the same lengths in turn, so that the ratio of two is free of what the machine does from minute to minute.
Without ARCHIVE: the archives of the work folder; what is measured of those goes into their certificates. With --on
node they are deployed on a real OpenSearch, and a request is timed. Exit code 6: over budget.

The register request is the one beside each archive: <artifact id>.config.json or config.json.

\b
Examples:
  release-tool bench
  release-tool bench --against released/acme_tiny-1.0.0-onnx.zip --budget slower=1.05
  release-tool bench one.zip other.zip --on node --lengths 8,64
"""


@click.command(help=HELP, short_help="Measure size, speed and memory of archives, side by side.")
@click.argument("archives", nargs=-1, metavar="[ARCHIVE]...", type=click.Path(path_type=Path))
@click.option("--on", "ring", type=click.Choice(("node",)), help="Ask a real OpenSearch, not processes of our own.")
@click.option("--against", type=click.Path(path_type=Path), help="Another archive that all are measured beside.")
@click.option("--rounds", type=int, metavar="N", help="How often each archive has its turn. [default: 30]")
@click.option("--lengths", metavar="N,N", help="Tokens of the inputs. [default: those of 8,64,256,512 the model takes]")
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="NAME=NUMBER",
    help="What is allowed, in the place of the plan's: slower or larger (times --against), bytes, memory (bytes); "
    "may be repeated.",
)
@click.pass_obj
def command(
    context: Context,
    /,
    *,
    archives: tuple[Path, ...],
    ring: str | None,
    against: Path | None,
    rounds: int | None,
    lengths: str | None,
    budgets: tuple[str, ...],
) -> None:
    """See HELP."""
    from release_tool.lock import hold
    from release_tool.steps.bench_result import document, failing, markdown, table
    from release_tool.steps.benching import parse_settings, run_bench

    settings = parse_settings(ring, rounds, lengths, budgets, against)
    with ExitStack() as stack:
        if not archives or (context.work / "plan.json").is_file():
            stack.enter_context(hold(context.work, "bench"))
        results = run_bench(context, archives, against, settings)
    emit(context, table(results), document(results))
    context.console.summary(markdown(results))
    failure = failing(results)
    if failure is not None:
        raise failure
