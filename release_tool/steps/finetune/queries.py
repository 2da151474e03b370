"""``release-tool finetune queries``: have queries written for a sample of the documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.steps.finetune.stage_command import stage_command

if TYPE_CHECKING:
    from release_tool.core.finetune.money import Spending
    from release_tool.steps.finetune.asked import Asked
    from release_tool.steps.finetune.running import Made, Work

SHORT = "Have queries written for a sample of the documents."
HELP = """Have queries written for a sample of the documents.

A sample of the documents by hash, and the provider of the recipe. Answers that were paid for are kept apart and never
asked for again.
"""

command = stage_command(Stage.QUERIES, HELP, short=SHORT)


def make(work: Work) -> Made:
    """Run the stage.

    Raises:
        UsageError: the estimate is above what the recipe allows, the budget is reached, the prompt or a file is
            wrong, or the documents are no use to a provider that works here.
        RemoteFailed: the service refuses, or too many documents stay without an answer.
        Unreachable: nobody answers.
    """
    from release_tool.core.finetune.money import Spending
    from release_tool.steps.finetune.asked import asked_of, check_money
    from release_tool.steps.finetune.own_queries import make_own

    if work.recipe.queries.provider == "file":
        return make_own(work)
    asked = asked_of(work)
    check_money(work.recipe.queries, asked)
    return _written(work, asked, Spending(work.recipe.queries))


def _written(work: Work, asked: Asked, spending: Spending) -> Made:
    from contextlib import closing

    from release_tool.core.finetune.answers import parse_answer
    from release_tool.core.finetune.money import cost_of
    from release_tool.core.finetune.records import Query
    from release_tool.core.finetune.writing import query_id
    from release_tool.part_files import PartWriter, parts
    from release_tool.steps.finetune.asked import Tally
    from release_tool.steps.finetune.running import Made
    from release_tool.steps.finetune.writers import writer_of

    section = work.recipe.queries
    # A killed run may have had more answers than this one takes: fewer retries don't count what was asked more often.
    for path in parts(work.folder, Query.STEM):
        path.unlink()
    tally = Tally(section=section, total=len(asked))
    writer = writer_of(work, spending)
    with (
        # An error here must end those threads that ask: every further question may cost.
        closing(writer.answers(asked)) as answers,
        PartWriter(work.folder, Query.STEM) as out,
        work.context.console.progress("Documents", len(asked)) as bar,
    ):
        for document, answer in zip(asked.documents(), answers, strict=True):
            parsed = parse_answer(answer.raw, section.per_document) if answer.raw is not None else None
            tally.add(answer, parsed)
            for place, text in enumerate(parsed.queries if parsed else (), 1):
                out.add(Query(id=query_id(answer.id, place), text=text, document=document.id))
            bar.advance(1)
    cost = cost_of(section, tally.tokens_in, tally.tokens_out)
    return Made(counts=tally.counts(), dollars=cost.dollars, versions=getattr(writer, "versions", {}))
