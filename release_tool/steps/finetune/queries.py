"""``release-tool finetune queries``: have queries written for a sample of the documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Have queries written for a sample of the documents."
HELP = """Have queries written for a sample of the documents.

A sample of the documents by hash, and the provider of the recipe. Answers that were paid for are kept apart and never
asked for again.
"""

command = stage_command(Stage.QUERIES, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage."""
    raise NotImplementedError
