"""``release-tool finetune filter``: drop queries that teach nothing, and count why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Drop queries that teach nothing, and count why."
HELP = """Drop queries that teach nothing, and count why.

Too short or too long ones, doubles (a text that is held out is never trained on), copies of their document, and those
that don't find it again. Parts of documents (provider sentences) may be copies; own queries, which people have judged,
are asked for neither.
"""

command = stage_command(Stage.FILTER, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage.

    Raises:
        UsageError: no query is left; the engine or the analysis can't work with this corpus or this base.
        RemoteFailed, Unreachable: the cluster refuses or does not answer.
        IntegrityError: files of earlier stages do not belong together.
        UnsupportedModel: the base can't be loaded.
        MachineError: out of memory or disk.
    """
    from contextlib import ExitStack

    from release_tool.errors import UsageError
    from release_tool.steps.finetune import engines
    from release_tool.steps.finetune.filtering import filter_parts
    from release_tool.steps.finetune.running import Made

    with ExitStack() as stack:
        filter_parts(work, stack)
    counts = count(work)
    if not counts["kept"]:
        said = ", ".join(f"{name.replace('_', ' ')} {value:,g}" for name, value in counts.items() if value)
        raise UsageError(
            f"No query is left: {said or 'there was none'}.", hint="Look at the queries and at [filter] of the recipe."
        )
    versions = engines.versions(work) if work.recipe.filter.round_trip == "bm25" else {}
    return Made(counts=counts, versions=versions)


def count(work: Work) -> dict[str, float]:
    """Return what was kept and dropped, from the files, so that parts of an earlier run count, too."""
    from collections import Counter

    from release_tool.core.finetune.filtering import counts_of
    from release_tool.core.finetune.records import Dropped, Kept
    from release_tool.part_files import read_rows

    kept = Counter(row.split for row in read_rows(work.folder, Kept))
    return counts_of(kept, Counter(row.reason for row in read_rows(work.folder, Dropped)))
