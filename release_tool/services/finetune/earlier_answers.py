"""All answers that were had to a question: the first one, and further ones where those before could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.finetune.writing import Answer, answer_key

if TYPE_CHECKING:
    from release_tool.core.finetune.sections import QueriesSection
    from release_tool.core.finetune.writing import Question
    from release_tool.services.finetune.paid import PaidAnswer, PaidAnswers


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierAnswers:
    """Finds them among what was paid for."""

    section: QueriesSection
    paid: PaidAnswers
    parameters: dict[str, Any]
    """Everything beside model and messages that decides an answer."""

    def key(self, question: Question, attempt: int) -> str:
        """Return the key of an answer; see ``core.finetune.writing.answer_key``."""
        return answer_key(self.section.model, question, self.parameters, attempt)

    def of(self, question: Question) -> list[PaidAnswer]:
        """Return all answers to a question, in order; no more than the recipe lets ask."""
        found: list[PaidAnswer] = []
        while len(found) <= self.section.retries:
            paid = self.paid.get(self.key(question, len(found)))
            if paid is None:
                break
            found.append(paid)
        return found

    def last(self, question: Question, problem: str) -> Answer:
        """Return the last answer, with what all of them took.

        Args:
            question: that it answers.
            problem: why there is none, where there is none.
        """
        had = self.of(question)
        return Answer(
            id=question.id,
            raw=had[-1].raw if had else None,
            error="" if had else problem,
            tokens_in=sum(one.tokens_in for one in had),
            tokens_out=sum(one.tokens_out for one in had),
            attempts=len(had),
        )
