"""``release-tool finetune select``: choose positives, negatives and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Choose positives, negatives and labels."
HELP = """Choose positives, negatives and labels.

Brings the teachers' scores together and leaves out negatives that are as good as the positive.
"""

command = stage_command(Stage.SELECT, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage."""
    raise NotImplementedError
