"""``release-tool finetune split``: divide the documents: train, dev and test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Divide the documents: train, dev and test."
HELP = """Divide the documents: train, dev and test.

Divides the groups of near duplicates by a keyed hash, before anything is made of them: no document of test, nor
anything like it, is ever trained on.
"""

command = stage_command(Stage.SPLIT, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage."""
    raise NotImplementedError
