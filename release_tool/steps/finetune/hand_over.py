"""``release-tool finetune hand-over``: write the model's folder with its lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Write the model's folder with its lineage."
HELP = """Write the model's folder with its lineage.

The folder that release-tool plan takes. Refuses a model that evaluate has judged not better.
"""

command = stage_command(Stage.HAND_OVER, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage."""
    raise NotImplementedError
