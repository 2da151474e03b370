"""The click command of a stage: all of them take the same options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.cli import Context
    from release_tool.core.finetune.stages import Stage


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
    @click.pass_obj
    def command(context: Context, /, *, again: bool, **own: str | None) -> None:
        from release_tool.lock import hold
        from release_tool.steps.finetune.running import counts_text, run_stage

        with hold(context.work, f"finetune {stage.value}"):
            given = {name: value for name, value in own.items() if value is not None}
            state = run_stage(context, stage, again=again or bool(given), options=given)
        emit(context, counts_text(state), state)

    command.params.extend(options)
    return command
