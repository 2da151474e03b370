"""``release-tool finetune status``: which stages are done, and what they made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.core.finetune.stages import FinetunePlan, Stage
    from release_tool.global_options import Context
    from release_tool.run_folder import RunFolder

HELP = """Say which stages are done, and what they made.

\b
Examples:
  release-tool finetune status
  release-tool finetune status --json
"""


@click.command(help=HELP, short_help="Say which stages are done, and what they made.")
@click.pass_obj
def command(context: Context, /) -> None:
    """See HELP."""
    from release_tool.core.finetune.stages import Stage
    from release_tool.run_folder import RunFolder

    run = RunFolder.below(context.work)
    rows = rows_of(run, run.plan(), tuple(Stage))
    emit(context, table(rows), rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """One stage."""

    stage: str
    state: str
    """``done``, ``begun`` (killed or failed half way) or ``to run``."""
    seconds: float | None
    dollars: float | None
    counts: dict[str, float]


def rows_of(run: RunFolder, plan: FinetunePlan, stages: tuple[Stage, ...]) -> list[StatusRow]:
    """Return a row a stage."""
    from release_tool.run_folder import BEGUN, STATE

    rows = []
    for stage in stages:
        current = run.current(stage, plan)
        folder = run.folder(stage)
        begun = (folder / BEGUN).is_file() and not (folder / STATE).is_file()
        rows.append(
            StatusRow(
                stage=stage.value,
                state="done" if current else "begun" if begun else "to run",
                seconds=current.seconds if current else None,
                dollars=current.dollars if current else None,
                counts=current.counts if current else {},
            )
        )
    return rows


def made_text(counts: dict[str, float]) -> str:
    """Return the counts of a stage on one line: whole numbers whole, others to four digits."""
    return ", ".join(
        f"{name.replace('_', ' ')} {f'{value:,.0f}' if float(value).is_integer() else f'{value:,.4g}'}"
        for name, value in counts.items()
    )


def table(rows: list[StatusRow]) -> str:
    """Return the rows for a terminal."""
    lines = []
    for row in rows:
        made = made_text(row.counts)
        seconds = "" if row.seconds is None else f"{row.seconds:,.0f} s"
        lines.append(f"{row.stage:<10} {row.state:<7} {seconds:>8}  {made}".rstrip())
    return "\n".join(lines)
