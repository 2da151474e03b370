"""``release-tool answer``: the oracle's answers by themselves, in a process and a job of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.core.kinds import ModelKind
    from release_tool.global_options import Context

HELP = """Let the source itself answer the probes.

The fetched model answers by its own libraries, as validate would let it: what the archives are compared with. In a
workflow this is a job of its own, so that no export can touch the answers that it is measured by.

\b
Examples:
  release-tool answer
  release-tool answer --again
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The answers of one kind."""

    kind: ModelKind
    path: str
    """In the work folder."""
    sha256: str


@click.command(help=HELP, short_help="Let the source itself answer the probes.")
@click.option("--again", is_flag=True, help="Answer again what is answered already.")
@click.pass_obj
def command(context: Context, *, again: bool) -> None:
    """Answer the probes."""
    from release_tool.lock import hold

    with hold(context.work, "answer"):
        answers = run_answer(context, again=again)
    emit(context, "\n".join(f"{one.path}  sha256:{one.sha256}" for one in answers), answers)


def run_answer(context: Context, *, again: bool = False) -> tuple[Answered, ...]:
    """Write the answers of every kind of the plan that lacks them.

    Raises:
        UsageError: plan or fetch have not run.
        IntegrityError: the snapshot is not the one that was fetched.
        ReleaseError: what the oracle's process reports.
    """
    from release_tool.models.answers import answers_name
    from release_tool.packaged import load_probes
    from release_tool.services.extras import require_trace_extra
    from release_tool.steps import proving
    from release_tool.steps.answering import Oracle
    from release_tool.steps.release_reading import read_source

    require_trace_extra()
    release = read_source(context, load_probes(None))
    kinds = tuple(dict.fromkeys(artifact.kind for artifact in release.plan.artifacts))
    stale = tuple(kind for kind in kinds if again or not proving.answers_hold(release, kind))
    if stale:
        with context.console.step("Answer"), Oracle(context) as oracle:
            proving.start_oracle(context, release, stale, oracle)
            oracle.wait(bar=True)
    else:
        context.console.info("The probes are answered already.")
    names = {kind: answers_name(kind) for kind in kinds}
    return tuple(Answered(kind=kind, path=name, sha256=release.work.sha256(name)) for kind, name in names.items())
