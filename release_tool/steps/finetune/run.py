"""``release-tool finetune run``: every stage that is not done yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.finetune.plan import max_dollars_option
from release_tool.steps.finetune.state import open_state, state_options

if TYPE_CHECKING:
    from release_tool.core.finetune.stages import Stage
    from release_tool.global_options import Context

HELP = """Run every stage that is not done yet.

Plans first where a recipe is given: files are pinned anew, models only where the recipe names others (finetune plan
pins them anew). What a killed run had finished is kept; a changed recipe runs again what depends on
the change, and nothing else.

\b
Examples:
  release-tool finetune run --recipe recipe.toml
  release-tool finetune run --recipe recipe.toml --dry-run
  release-tool finetune run
  release-tool finetune run --recipe recipe.toml --state s3://models/state/acme
"""


@click.command(help=HELP, short_help="Run every stage that is not done yet.")
@click.option("--recipe", type=click.Path(dir_okay=False, path_type=Path), help="The recipe; without: the last plan's.")
@click.option("--to", "last", metavar="STAGE", help="Stop after this stage.")
@click.option("--dry-run", is_flag=True, help="Print the plan and which stages would run; change nothing.")
@max_dollars_option
@click.option("--accept-worse", metavar="REASON", help="Hand over a model that is not better; see hand-over.")
@state_options
@click.pass_obj
def command(
    context: Context,
    /,
    *,
    recipe: Path | None,
    last: str | None,
    dry_run: bool,
    max_dollars: float | None,
    accept_worse: str | None,
    state: str | None,
    take_over: bool,
) -> None:
    """See HELP."""
    from release_tool.core.finetune.stages import Stage
    from release_tool.errors import UsageError
    from release_tool.lock import hold
    from release_tool.run_folder import RunFolder
    from release_tool.steps.finetune.plan import make_plan, write_plan
    from release_tool.steps.finetune.running import bring, require_extras, run_stage
    from release_tool.steps.finetune.status import rows_of, table

    wanted = stages_to(last)
    if max_dollars is not None and recipe is None:
        raise UsageError("--max-dollars is a part of the plan.", hint="Give the recipe, too: --recipe.")
    run = RunFolder.below(context.work)
    if dry_run:
        planned = run.last_plan()
        plan = run.plan() if recipe is None else make_plan(context, recipe, earlier=planned, max_dollars=max_dollars)
        rows = rows_of(run, plan, wanted)
        emit(context, table(rows), rows)
        return
    with (
        hold(context.work, "finetune run"),
        open_state(context, state, "finetune run", take_over=take_over) as keeper,
    ):
        if recipe is not None:
            write_plan(context, make_plan(context, recipe, earlier=run.last_plan(), max_dollars=max_dollars))
        plan = run.plan()
        if keeper is not None:
            keeper.push()
            # In order: what a stage depends on are the digests of those before it.
            all(bring(run, plan, stage, keeper) for stage in wanted)
        require_extras(stage for stage in wanted if run.current(stage, plan) is None)
        for stage in wanted:
            given = {"accept_worse": accept_worse} if accept_worse and stage is Stage.HAND_OVER else None
            run_stage(context, stage, options=given, keeper=keeper)
    rows = rows_of(run, run.plan(), tuple(Stage))
    emit(context, table(rows), rows)


def stages_to(last: str | None) -> tuple[Stage, ...]:
    """Return the stages up to one, or all of them.

    Raises:
        UsageError: there is no such stage.
    """
    from release_tool.core.finetune.stages import Stage
    from release_tool.core.request import closest
    from release_tool.errors import UsageError

    names = tuple(stage.value for stage in Stage)
    if last is None:
        return tuple(Stage)
    if last not in names:
        raise UsageError(f"There is no stage {last[:40]!r}: {closest(last, names)}.")
    return tuple(Stage)[: names.index(last) + 1]
