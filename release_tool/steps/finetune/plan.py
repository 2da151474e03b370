"""``release-tool finetune plan``: read a recipe, pin what it names, and say what the run will take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.finetune.state import open_state, state_options

if TYPE_CHECKING:
    from release_tool.core.finetune.recipe import Recipe
    from release_tool.core.finetune.stages import FinetunePlan
    from release_tool.global_options import Context

HELP = """Read a recipe, pin what it names, and say what the run will take.

Models are pinned to a commit and looked at by their small files, files to their digests. No weights are downloaded,
nothing is paid for.

\b
Examples:
  release-tool finetune plan --recipe recipe.toml
  release-tool finetune plan --recipe recipe.toml --dry-run
"""

max_dollars_option = click.option(
    "--max-dollars",
    type=click.FloatRange(0, 1_000_000),
    help="What queries may cost at most, in the place of the recipe's queries.max_dollars.",
)


@click.command(help=HELP, short_help="Read a recipe, pin what it names, and say what it will take.")
@click.option("--recipe", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The recipe, in TOML.")
@click.option("--dry-run", is_flag=True, help="Print the plan as JSON and write nothing.")
@max_dollars_option
@state_options
@click.pass_obj
def command(
    context: Context,
    /,
    *,
    recipe: Path,
    dry_run: bool,
    max_dollars: float | None,
    state: str | None,
    take_over: bool,
) -> None:
    """See HELP."""
    from release_tool.core.codec import encode_text
    from release_tool.lock import hold

    if dry_run:
        click.echo(encode_text(make_plan(context, recipe, max_dollars=max_dollars)), nl=False)
        return
    with (
        hold(context.work, "finetune plan"),
        open_state(context, state, "finetune plan", take_over=take_over) as keeper,
    ):
        plan = make_plan(context, recipe, max_dollars=max_dollars)
        write_plan(context, plan)
        if keeper is not None:
            keeper.push()
    emit(context, text_of(plan), plan)


def make_plan(
    context: Context, path: Path, *, earlier: FinetunePlan | None = None, max_dollars: float | None = None
) -> FinetunePlan:
    """Return the plan of a recipe.

    Args:
        context: of the command.
        path: of the recipe.
        earlier: a plan whose models stay pinned as they are where the recipe still names them.
        max_dollars: in the place of the recipe's.

    Raises:
        RequestError: the recipe has faults; all of them are listed.
        UsageError: it can't be read, a file that it names is not there, or the queries would cost more than it allows.
        SourceError: a model can't be had.
        Unreachable: the hub does not answer.
    """
    from dataclasses import replace

    from release_tool import __version__
    from release_tool.core.finetune.money import PAID, has_price
    from release_tool.core.finetune.stages import FinetunePlan
    from release_tool.steps.finetune.estimating import estimates_of
    from release_tool.steps.finetune.pinning import pins_of

    with context.console.step("Plan"):
        recipe = read_recipe(path)
        if max_dollars is not None:
            recipe = replace(recipe, queries=replace(recipe.queries, max_dollars=max_dollars))
            if recipe.queries.provider in PAID and max_dollars and not has_price(recipe.queries):
                context.console.warning(
                    "The recipe names no price (queries.dollars_in, dollars_out): --max-dollars bounds nothing, "
                    "queries.max_total_tokens does."
                )
        folder = path.absolute().parent
        return FinetunePlan(
            tool_version=__version__,
            recipe=recipe,
            folder=folder_text(folder, context.console.env.get("GITHUB_WORKSPACE")),
            names=names_of(recipe),
            pins=pins_of(context, recipe, folder, earlier=earlier),
            estimates=estimates_of(recipe, folder),
        )


def folder_text(folder: Path, checkout: str | None) -> str:
    """Return where a recipe lies: in a workflow from the checkout on, which lies elsewhere on another machine."""
    if checkout and folder.is_relative_to(checkout):
        return str(folder.relative_to(checkout))
    return str(folder)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        RequestError: it has faults; all of them are listed.
        UsageError: it can't be read.
    """
    from release_tool.bounded import NotReadable, read_bounded
    from release_tool.core.escape import one_line
    from release_tool.core.finetune.recipe import parse_recipe
    from release_tool.errors import UsageError

    try:
        return parse_recipe(read_bounded(path))
    except (OSError, NotReadable) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{one_line(str(path))} can't be read: {said}.", hint="Name a recipe.") from error


def names_of(recipe: Recipe) -> dict[str, str]:
    """Return what is named after the model; the names of the account are known to the doctor only."""
    from release_tool.core.finetune.naming import stack_name

    names = {"model": recipe.model.name}
    return {**names, "stack": stack_name(recipe.model.name)} if recipe.engine.name == "aws" else names


def write_plan(context: Context, plan: FinetunePlan) -> None:
    """Write the plan into the folder of the run."""
    from release_tool.run_folder import RunFolder

    RunFolder.below(context.work).write_plan(plan)


def text_of(plan: FinetunePlan) -> str:
    """Return the plan for a terminal."""
    from release_tool.core.finetune.money import has_price

    rows = [*plan.names.items(), *plan.pins.items()]
    rows += [(name.replace("_", " "), amount_text(value)) for name, value in plan.estimates.items()]
    if not has_price(plan.recipe.queries):
        rows = [(name, "none: the recipe names no price" if "dollars" in name else value) for name, value in rows]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def amount_text(value: float) -> str:
    """Return a count or a sum as people read it: 12,000,000 and 0.35."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"
