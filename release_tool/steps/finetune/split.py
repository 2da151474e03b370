"""``release-tool finetune split``: divide the documents: train, dev and test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from release_tool.core.finetune.dividing import Division
    from release_tool.core.finetune.records import Placed
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Divide the documents: train, dev and test."
HELP = """Divide the documents: train, dev and test.

Divides the groups of near duplicates by a keyed hash, before anything is made of them: no document of test, nor
anything like it, is ever trained on. A group stays where it is when other documents are added.
"""

command = stage_command(Stage.SPLIT, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage; see ``core.finetune.dividing`` for what holds."""
    from functools import partial

    import numpy as np

    from release_tool.core.finetune.dividing import DEV, MIN_GROUPS, TEST, TRAIN, divide, position
    from release_tool.core.finetune.records import Grouped, Placed
    from release_tool.part_files import make_part, part_path, parts, read_rows
    from release_tool.steps.finetune.running import Made

    section, folder = work.recipe.split, work.of(Stage.CORPUS)
    places = np.fromiter((position(section.key, row.group) for row in read_rows(folder, Grouped)), dtype=np.int64)
    groups = np.unique(places)
    division = divide(groups, dev=section.dev, test=section.test)
    if len(groups) < MIN_GROUPS and section.dev + section.test > 0:
        work.context.console.warning("There are fewer than three groups of documents: none is held out.")
    for number, path in enumerate(parts(folder, Grouped.STEM)):
        make_part(part_path(work.folder, Placed.STEM, number), partial(_placed, path, division, section.key))
    named = np.array([TEST, DEV, TRAIN])
    counts = {}
    for what, some in (("documents", places), ("groups", groups)):
        found = (some >= division.first_dev).astype(int) + (some >= division.first_train)
        for split, count in zip(named.tolist(), np.bincount(found, minlength=3).tolist(), strict=True):
            counts[f"{split}_{what}"] = count
    return Made(counts=counts)


def _placed(path: Path, division: Division, key: str) -> Iterator[Placed]:
    from release_tool.core.finetune.dividing import position
    from release_tool.core.finetune.records import Grouped, Placed
    from release_tool.part_files import read_part

    for row in read_part(path, Grouped):
        yield Placed(id=row.id, split=division.split_of(position(key, row.group)))
