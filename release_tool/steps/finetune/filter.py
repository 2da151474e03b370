"""``release-tool finetune filter``: drop queries that teach nothing, and count why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Drop queries that teach nothing, and count why."
HELP = """Drop queries that teach nothing, and count why.

Doubles, copies, too short or too long ones, and those that don't find their document again; every reason is counted.
"""

command = stage_command(Stage.FILTER, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage."""
    raise NotImplementedError
