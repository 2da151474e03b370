"""``release-tool finetune evaluate``: measure before and after, and judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Measure before and after, and judge."
HELP = """Measure before and after, and judge.

On held-out queries, on judged sets and on guards; writes report.html. Exit code 6: not better.
"""

command = stage_command(Stage.EVALUATE, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage."""
    raise NotImplementedError
