"""Questions for a service of queries, and who asks them with the keys of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chat_double import ChatDouble

from release_tool.core.finetune.money import Spending
from release_tool.core.finetune.records import Document
from release_tool.core.finetune.sections import QueriesSection
from release_tool.core.finetune.writing import Question, record_id
from release_tool.services.finetune.openai import open_service
from release_tool.services.finetune.paid import PaidAnswers

CHAT = "POST /v1/chat/completions"


@dataclass
class Asker:
    """A recipe's section, a folder of paid answers, and a service."""

    service: ChatDouble
    folder: object
    section: QueriesSection
    spending: Spending | None = None

    def provider(self, **keys):
        self.section = replace(self.section, **keys)
        self.spending = Spending(self.section)
        found = open_service(self.section, PaidAnswers(self.folder), self.spending, tell=lambda _: None)
        found.first_pause = 0.01
        return found

    def ask(self, count=6, **keys):
        return list(self.provider(**keys).answers(questions(count)))


def questions(count, n=2):
    return [
        Question(id=record_id(str(at)), document=Document(id=str(at), text="x"), n=n, system="s",
                 prompt=f"Write {n} queries for document {at}.")
        for at in range(count)
    ]  # fmt: skip
