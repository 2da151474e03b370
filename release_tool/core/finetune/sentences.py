"""The provider ``sentences``: queries out of the documents themselves, offline, without a model.

A query is what somebody might type who looks for one thing that the document says: the words of its heading, what one
of its sentences is about, phrases of two places of it, or (in English) a question about them. None is a sentence of the
document as it stands: a model learns nothing by finding what is written there word for word, and the filter would drop
it as a copy. The sentence that a query comes from stays in the document, unlike in the inverse cloze task: a document
has several queries and one text, and a search must go on rewarding words that do match.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.core.finetune.salient import ENGLISH, Frequencies, phrases_of, runs_of, sentences_of, words_of
from release_tool.core.finetune.writing import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from release_tool.core.finetune.records import Document
    from release_tool.core.finetune.salient import Phrase
    from release_tool.core.finetune.writing import Questions

NOTHING = "nothing to make a query of"
MOST_PHRASES = 12
"""Most telling phrases of a document, among which is chosen."""
MOST_WORDS = 10
"""Words of a query out of one sentence."""
TRIES = 4
"""Times that another choice is taken, each, where a query came before."""
IS_ENGLISH = 0.2
"""Share of the words that are common English ones; English texts have twice as many, other languages a twentieth."""
ABOUT_ONE = ("what is {a}", "what is known about {a}", "how is {a} determined", "why does {a} matter")
ABOUT_TWO = (
    "how does {a} depend on {b}",
    "what is the effect of {a} on {b}",
    "what is the relation between {a} and {b}",
    "how are {a} and {b} connected",
    "what does {a} mean for {b}",
)


@dataclass(frozen=True, slots=True)
class Sentences:
    """The provider."""

    seed: int

    def answers(self, questions: Questions) -> Generator[Answer]:
        """Yield the answers; the documents are read twice: words are counted first."""
        frequencies = Frequencies.of(one.document for one in questions)
        for one in questions:
            found = queries_of(one.document, one.n, frequencies, self.seed)
            if found:
                yield Answer(id=one.id, raw=json.dumps({"queries": found}, ensure_ascii=False))
            else:
                yield Answer(id=one.id, raw=None, error=NOTHING)


def queries_of(document: Document, n: int, frequencies: Frequencies, seed: int) -> list[str]:
    """Return at most n queries of a document, no two alike; the same ones for the same seed.

    Args:
        document: title and text.
        n: how many are wanted; a document of few words has fewer.
        frequencies: of the words, in the documents that are asked about.
        seed: of every choice.
    """
    source = _Source.of(document, frequencies, seed)
    if not source.phrases:
        return []
    known = {_key(sentence) for sentence in source.sentences}
    found: list[str] = []
    for place in range(n * TRIES):
        way = WAYS[(place + place // len(WAYS)) % len(WAYS)]
        query = way(source, place)
        if query and _key(query) not in known:
            known.add(_key(query))
            found.append(query)
            if len(found) == n:
                break
    return found


def _key(text: str) -> tuple[str, ...]:
    """What two queries must differ in: their words, in whichever order."""
    return tuple(sorted(words_of(text)))


@dataclass(frozen=True, slots=True)
class _Source:
    """What the queries of one document are made of."""

    sentences: list[str]
    """The title first."""
    phrases: list[Phrase]
    parts: list[list[str]]
    """Of each sentence its phrases, in order."""
    is_english: bool
    key: str

    @classmethod
    def of(cls, document: Document, frequencies: Frequencies, seed: int) -> _Source:
        text = document.text
        title = " ".join((document.title or "").split())
        if title and text.startswith(document.title or ""):
            text = text[len(document.title or "") :]  # many collections repeat it
        sentences = ([title] if title else []) + sentences_of(text)
        words = [word for one in sentences for word in words_of(one)]
        common = sum(word in ENGLISH for word in words)
        return cls(
            sentences=sentences,
            phrases=phrases_of(sentences, frequencies)[:MOST_PHRASES],
            parts=[[part for part, _ in runs_of(one, frequencies)] for one in sentences],
            is_english=common > IS_ENGLISH * len(words),
            key=f"{seed}:{document.id}",
        )

    def pick(self, count: int, *what: object) -> int:
        """Choose one of ``count``, by a hash: the same on every machine and version of Python."""
        data = ":".join((self.key, *map(str, what))).encode("utf-8", "replace")
        return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") % count


def _heading(source: _Source, place: int) -> str:
    """The telling words of the title, or of the first sentence; once, and then of others."""
    if place < len(WAYS):
        return _joined(source.parts[0])
    return _gist(source, place)


def _gist(source: _Source, place: int) -> str:
    """What a sentence is about: some of its phrases, in order."""
    telling = [parts for parts in source.parts if len(parts) > 1] or source.parts
    parts = telling[source.pick(len(telling), place, "sentence")]
    if not parts:
        return ""
    kept = [part for at, part in enumerate(parts) if source.pick(4, place, at, "kept")] or parts
    start = source.pick(max(1, len(kept) - 2), place, "start")
    return _joined(kept[start:])


def _pair(source: _Source, place: int) -> tuple[str, str]:
    """Return a telling phrase and one with other words, of another sentence where there is one; "" where none is."""
    first = source.phrases[source.pick(len(source.phrases), place, "first")]
    others = [one for one in source.phrases if not set(one.words) & set(first.words)]
    apart = [one for one in others if one.sentence != first.sentence] or others
    return first.text, apart[source.pick(len(apart), place, "second")].text if apart else ""


def _phrases(source: _Source, place: int) -> str:
    """Key words as people type them."""
    return " ".join(part for part in _pair(source, place) if part)


def _question(source: _Source, place: int) -> str:
    """A question about a phrase or two; in other languages than English the phrases alone."""
    first, second = _pair(source, place)
    if not source.is_english:
        return f"{second} {first}" if second else first
    forms = ABOUT_TWO if second and source.pick(4, place, "two") else ABOUT_ONE
    return forms[source.pick(len(forms), place, "form")].format(a=first, b=second)


def _joined(parts: list[str]) -> str:
    kept: list[str] = []
    count = 0
    for part in parts:
        count += len(part.split())
        if kept and count > MOST_WORDS:
            break
        kept.append(part)
    return " ".join(kept)


WAYS: tuple[Callable[[_Source, int], str], ...] = (_heading, _question, _gist, _phrases)
