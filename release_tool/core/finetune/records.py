"""The rows of the part files: texts are in the corpus and the queries only, everything else holds ids and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A row of ``documents``, by stage corpus, in the order in which the source gave them."""

    STEM: ClassVar[str] = "documents"

    id: str
    """As the source names it; the sha256 of title and text, in 32 hex digits, where it names none."""
    text: str
    title: str | None = None

    @property
    def whole(self) -> str:
        """What is searched, read by models and asked about: the title, a space, the text."""
        return f"{self.title} {self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """A row of ``groups``, by stage corpus, a row a document in the same order: who is a near duplicate of whom."""

    STEM: ClassVar[str] = "groups"

    id: str
    group: str
    """Id of the member whose id has the smallest hash, wherever it stands; its own where there is no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A row of ``rejects``, by stage corpus: what could not be used."""

    STEM: ClassVar[str] = "rejects"

    where: str
    """File, or index."""
    line: int
    """From 1; 0 where there are no lines."""
    reason: str
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A row of ``places``, by stage split, a row a document in the same order."""

    STEM: ClassVar[str] = "places"

    id: str
    split: str
    """``train``, ``dev`` or ``test``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A row of ``queries``, by stage queries."""

    STEM: ClassVar[str] = "queries"

    id: str
    text: str
    document: str
    """Whom it was made of, or the best judged one of an own query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A row of ``judgements``, by stage queries where own queries come with judgements: all that were given."""

    STEM: ClassVar[str] = "judgements"

    query: str
    document: str
    grade: int
    """0: not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A row of ``kept``, by stage filter: what is trained, chosen or evaluated on."""

    STEM: ClassVar[str] = "kept"

    query: str
    document: str
    split: str
    """That of the document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A row of ``dropped``, by the stages filter and select."""

    STEM: ClassVar[str] = "dropped"

    query: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """A row of ``candidates``, by stage mine, best first.

    Queries of train have documents of train, queries of dev those of train and dev.
    """

    STEM: ClassVar[str] = "candidates"

    query: str
    positive: str
    split: str
    """That of the query: ``train`` or ``dev``."""
    documents: tuple[str, ...]
    scores: tuple[float, ...]
    """BM25's as Lucene counts them since its version 8, in the same order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """A row of ``logits``, by stage teach, in a folder a teacher: the positive first, then the candidates in order."""

    STEM: ClassVar[str] = "logits"

    query: str
    documents: tuple[str, ...]
    logits: tuple[float, ...]
    """Raw: no sigmoid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """A row of ``rows``, by stage select: what is trained on."""

    STEM: ClassVar[str] = "rows"

    query: str
    split: str
    """``train`` or ``dev``."""
    documents: tuple[str, ...]
    """The positive first; every row has as many."""
    labels: tuple[float, ...] | None = None
    """The teachers' scores from 0 to 1, in the same order; null without a teacher."""
