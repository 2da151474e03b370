"""What stage queries and those who write queries say to each other.

A provider is given questions, one a document, and yields an answer to each of them in the same order. What it yields is
the raw text; ``core.finetune.answers`` reads the queries out of it, for all providers alike.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from release_tool.core.digest import sha256_bytes

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from release_tool.core.finetune.records import Document

RECORD_BYTES = 12
"""Bytes of a digest in a record's id: 20 signs of base 32, and no two alike among 10^9 documents (p < 10^-10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about one document."""

    id: str
    """``record_id`` of the document: letters and digits, at most 20."""
    document: Document
    n: int
    """Queries that are wanted."""
    system: str = ""
    """What the model is told to be; "" for providers that read no prompt."""
    prompt: str = ""
    """The whole question, the document included; "" for providers that read no prompt."""

    @property
    def messages(self) -> tuple[dict[str, str], ...]:
        """System and user, as chat services want them."""
        return ({"role": "system", "content": self.system}, {"role": "user", "content": self.prompt})


class Questions(Protocol):
    """All questions of a stage, in a fixed order; may be read several times, and does not hold them in memory."""

    def __iter__(self) -> Iterator[Question]:
        """Yield them."""

    def __len__(self) -> int:
        """Count them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    id: str
    """That of the question."""
    raw: str | None
    """The text as it came; null where there is none."""
    error: str = ""
    """Why there is none, the same words for the same cause: they are counted. "" where there is one."""
    tokens_in: int = 0
    """What was sent in all attempts that were answered, as the service counts; 0 where nobody counts."""
    tokens_out: int = 0
    attempts: int = 1
    """Answers that were had for it, unreadable ones included; 0 where there was none."""


class Provider(Protocol):
    """Whoever writes queries."""

    def answers(self, questions: Questions) -> Generator[Answer]:
        """Yield an answer to every question, in the order of the questions.

        One that can't be answered gets an answer with an error; what is wrong with all of them is raised.

        Raises:
            UsageError: the budget is reached, or the service refuses the key or the model.
            Unreachable: nobody answers.
        """


def record_id(document: str) -> str:
    """Return what a document is called where queries are written: 20 upper-case letters and digits.

    Bedrock takes letters and digits only, and ids of documents are whatever their owner likes.
    """
    digest = hashlib.sha256(document.encode("utf-8", "surrogatepass")).digest()[:RECORD_BYTES]
    return base64.b32encode(digest).decode().rstrip("=")


def query_id(record: str, place: int) -> str:
    """Return the id of a query: that of its record, and its place in the answer from 1."""
    return f"{record}-{place}"


def answer_key(model: str, question: Question, parameters: dict[str, Any], attempt: int = 0) -> str:
    """Return the key under which a paid answer is kept.

    Args:
        model: its id.
        question: with prompt.
        parameters: everything else that decides the answer: temperature, most tokens, the form of the answer.
        attempt: from 0; another answer to the same question, where the ones before could not be read.
    """
    data: dict[str, Any] = {"model": model, "messages": question.messages, "parameters": parameters}
    if attempt:
        data["attempt"] = attempt
    return sha256_bytes(json.dumps(data, sort_keys=True, ensure_ascii=True).encode())
