"""``release-tool finetune corpus``: read the documents, and group near duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Read the documents, and group near duplicates."
HELP = """Read the documents, and group near duplicates.

Reads the documents of the recipe as a stream, refuses what it can't use line by line (rejects-*.jsonl), draws a sample
by a hash of the ids where there are more than corpus.max_documents, and groups exact and near duplicates. Exit code 2:
more rows than corpus.max_rejected allows can't be used.
"""

command = stage_command(Stage.CORPUS, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage.

    Raises:
        UsageError: too many rows can't be used, or there is no document.
        IntegrityError: files or objects are not what they were when the run was planned.
        SourceError: there is no such object or index.
        Unreachable: the store or the cluster does not answer.
    """
    from importlib.metadata import version

    from release_tool.steps.finetune.corpus_grouping import group_corpus
    from release_tool.steps.finetune.corpus_reading import Limits, is_read, read_corpus, settle
    from release_tool.steps.finetune.corpus_sources import open_corpus
    from release_tool.steps.finetune.running import Made

    recipe, console, scratch = work.recipe, work.context.console, work.scratch
    limits = Limits(
        max_documents=recipe.corpus.max_documents, max_rejected=recipe.corpus.max_rejected, seed=recipe.model.seed
    )
    if not is_read(scratch):
        source = open_corpus(work.context, recipe.corpus, work.place(recipe.corpus.path))
        source.check(work.plan.pins["corpus"])
        with console.progress("Read the documents", source.total(), source.unit) as bar:
            read_corpus(source.rows(), work.folder, scratch, limits, bar.advance)
    similarity = recipe.corpus.similarity if recipe.corpus.near_duplicates else None
    counts = settle(work.folder, scratch, limits.seed)
    counts |= group_corpus(work.folder, scratch, similarity, console)
    counts["left_out"] = counts["rows"] - counts["rejected"] - counts["documents"]
    return Made(counts=counts, versions={name: version(name) for name in ("numpy", "rensa")})
