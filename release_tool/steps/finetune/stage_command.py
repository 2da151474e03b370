"""The click command of a stage: all of them take the same options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit
from release_tool.steps.finetune.state import open_state, state_options

if TYPE_CHECKING:
    from release_tool.core.finetune.stages import Stage
    from release_tool.global_options import Context


def stage_command(
    stage: Stage, text: str, *, short: str, options: tuple[click.Option, ...] = (), example: str = ""
) -> click.Command:
    """Return the command of a stage.

    Args:
        stage: which one.
        text: of its help; an example is added.
        short: its line in the table.
        options: of this stage alone, all of them texts; one that is given runs the stage again.
        example: a second one.
    """
    lines = "".join(f"  release-tool finetune {words}\n" for words in (stage.value, example) if words)

    @click.command(name=stage.value, help=f"{text.strip()}\n\n\b\nExamples:\n{lines}", short_help=short)
    @click.option("--again", is_flag=True, help="Run it again, although it is done.")
    @state_options
    @click.pass_obj
    def command(context: Context, /, *, again: bool, state: str | None, take_over: bool, **own: str | None) -> None:
        from release_tool.lock import hold
        from release_tool.steps.finetune.running import counts_text, run_stage

        named = f"finetune {stage.value}"
        with hold(context.work, named), open_state(context, state, named, take_over=take_over) as keeper:
            given = {name: value for name, value in own.items() if value is not None}
            made = run_stage(context, stage, again=again or bool(given), options=given, keeper=keeper)
        emit(context, counts_text(made), made)

    command.params.extend(options)
    return command
