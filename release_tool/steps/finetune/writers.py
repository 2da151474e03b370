"""Choose who writes the queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from release_tool.core.finetune.money import Spending
    from release_tool.core.finetune.writing import Provider
    from release_tool.services.finetune.paid import PaidAnswers
    from release_tool.steps.finetune.running import Work


def writer_of(work: Work, spending: Spending) -> Provider:
    """Return the provider of a recipe.

    Args:
        work: of the stage.
        spending: where what was really used is added up, and whose ``check`` comes before every question.

    Raises:
        UsageError: a key is not in the environment, or the address is none.
    """
    return WRITERS[work.recipe.queries.provider](work, spending)


def paid_answers(work: Work) -> PaidAnswers:
    """Return the answers of a provider that are paid for; they outlive every other file of a run."""
    from release_tool.run_folder import PAID
    from release_tool.services.finetune.paid import PaidAnswers

    return PaidAnswers(work.run.path / PAID / work.recipe.queries.provider)


def _sentences(work: Work, _: Spending) -> Provider:
    from release_tool.core.finetune.sentences import Sentences

    return Sentences(seed=work.recipe.model.seed)


def _openai(work: Work, spending: Spending) -> Provider:
    from release_tool.services.finetune.openai import open_service

    return open_service(work.recipe.queries, paid_answers(work), spending, tell=work.context.console.info)


def _local(work: Work, _: Spending) -> Provider:
    from release_tool.steps.finetune.local_writer import LocalWriter

    return LocalWriter(work)


def _bedrock(work: Work, spending: Spending) -> Provider:
    from release_tool.services.finetune.bedrock import Bedrock

    return Bedrock(
        section=work.recipe.queries, paid=paid_answers(work), spending=spending, say=work.context.console.info
    )


WRITERS: dict[str, Callable[[Work, Spending], Provider]] = {
    "sentences": _sentences,
    "openai": _openai,
    "local": _local,
    "bedrock": _bedrock,
}
