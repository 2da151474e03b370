"""What the process of a local model is told, and the rows that it reads and writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

PART_QUESTIONS = 64
"""Questions a part: what a killed run loses at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteJob:
    """One run of the process."""

    SCHEMA: ClassVar[str] = "release-tool/write-job@1"

    schema: str = "release-tool/write-job@1"
    model: str
    """Folder of the model."""
    folder: str
    """Of the questions; the answers go there, too."""
    n: int
    temperature: float
    max_tokens: int
    seed: int
    is_prompted: bool
    """Give a sequence-to-sequence model the prompt, and not the document alone as those that were trained to write
    queries want it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToWrite:
    """A question, as the process reads it."""

    STEM: ClassVar[str] = "questions"

    id: str
    system: str
    prompt: str
    text: str
    """The document alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An answer."""

    STEM: ClassVar[str] = "answers"

    id: str
    raw: str
    tokens_in: int
    tokens_out: int
