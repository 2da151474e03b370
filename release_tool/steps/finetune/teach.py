"""``release-tool finetune teach``: let cross-encoders score queries and documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Let cross-encoders score queries and documents."
HELP = """Let cross-encoders score queries and documents.

Raw logits, one folder a teacher.
"""

command = stage_command(Stage.TEACH, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage."""
    raise NotImplementedError
