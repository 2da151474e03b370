"""``release-tool finetune train``: train the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Train the model."
HELP = """Train the model.

Goes on from the last checkpoint.
"""

command = stage_command(Stage.TRAIN, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage."""
    raise NotImplementedError
