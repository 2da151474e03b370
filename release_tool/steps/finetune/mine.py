"""``release-tool finetune mine``: find documents that look right and are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Find documents that look right and are not."
HELP = """Find documents that look right and are not.

BM25 over the documents that are trained on; the positive and its near duplicates are left out.
"""

command = stage_command(Stage.MINE, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage."""
    raise NotImplementedError
