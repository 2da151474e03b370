"""``release-tool doctor``: what this machine can do, and what is missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.cli import Context
    from release_tool.services.machine import Check

MARKS = {"ok": "ok      ", "note": "note    ", "missing": "MISSING "}


@click.command(short_help="Look what this machine can do and what is missing.")
@click.pass_obj
def command(context: Context) -> None:
    """Look what this machine can do and what is missing.

    Looks at Python, the packages of the extra, the servers' own libraries, memory, disk, the model hub, and what the
    real node needs. Starts nothing, downloads nothing. Exit 12 when trace and validate can't work here; a missing JDK
    or an unreachable hub is only a note.

    \b
      release-tool doctor
      release-tool --json doctor | jq '.checks[] | select(.level != "ok")'
    """  # noqa: D301 - \b is click's mark
    from release_tool.errors import MachineError
    from release_tool.services.machine import Level, look

    checks = look(context.work, os.environ)
    missing = [check for check in checks if check.level is Level.MISSING]
    emit(context, table(checks), {"ready": not missing, "checks": checks})
    if missing:
        hints = dict.fromkeys(check.hint for check in missing if check.hint)
        raise MachineError(
            f"trace and validate need what is missing here: {', '.join(check.name for check in missing)}.",
            hint=" ".join(hints),
        )


def table(checks: tuple[Check, ...]) -> str:
    """Return one line a check, and its hint below it."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{MARKS[check.level.value]}{check.name:<{width}}  {check.found}")
        if check.hint:
            lines.append(f"        {'':<{width}}  -> {check.hint}")
    return "\n".join(lines)
