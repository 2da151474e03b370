"""``release-tool finetune corpus``: read the documents, and group near duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.steps.finetune.running import Made, Work

SHORT = "Read the documents, and group near duplicates."
HELP = """Read the documents, and group near duplicates.

Reads the documents of the recipe as a stream, refuses what it can't use line by line (rejects-*.jsonl), and groups
exact and near duplicates.
"""

command = stage_command(Stage.CORPUS, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage."""
    raise NotImplementedError


def corpus_files(path: Path) -> list[Path]:
    """Return the JSONL files of a path: itself, or those of a folder in the order of their names."""
    return sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
