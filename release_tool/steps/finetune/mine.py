"""``release-tool finetune mine``: find documents that look right and are not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Find documents that look right and are not."
HELP = """Find documents that look right and are not.

BM25 over all documents; queries of train get documents of train, queries of dev those of train and dev, queries of test
none. The positive, what is judged to answer the query, and near duplicates of both are left out.
"""

command = stage_command(Stage.MINE, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage.

    Raises:
        UsageError: the engine or the analysis can't work with this corpus or this base.
        RemoteFailed, Unreachable: the cluster refuses or does not answer.
        IntegrityError: files of earlier stages do not belong together.
        MachineError: the disk is full.
    """
    from release_tool.core.finetune.records import Kept, Mined
    from release_tool.part_files import part_path, parts
    from release_tool.steps.finetune import engines
    from release_tool.steps.finetune.mining import mine_parts
    from release_tool.steps.finetune.running import Made

    kept = parts(work.of(Stage.FILTER), Kept.STEM)
    wanted = [(path, part_path(work.folder, Mined.STEM, number)) for number, path in enumerate(kept)]
    missing = [(path, out) for path, out in wanted if not out.is_file()]
    if missing:
        mine_parts(work, missing)
    engines.remove(work)
    return Made(counts=counts_of(work), versions=engines.versions(work))


def counts_of(work: Work) -> dict[str, float]:
    """Return what was found, from the files, so that parts of an earlier run count, too."""
    from release_tool.core.finetune.dividing import DEV, TRAIN
    from release_tool.core.finetune.records import Mined
    from release_tool.part_files import read_rows

    found: Counter[str] = Counter()
    for row in read_rows(work.folder, Mined):
        found[row.split] += 1
        found["candidates"] += len(row.documents)
        found["fewer"] += 0 < len(row.documents) < work.recipe.mine.depth
        found["none"] += not row.documents
    return {
        "queries_train": found[TRAIN],
        "queries_dev": found[DEV],
        "candidates": found["candidates"],
        "queries_with_fewer": found["fewer"],
        "queries_without": found["none"],
    }
