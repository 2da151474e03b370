"""What a document is about, as far as counting tells: its words and phrases, and how rare they are in the corpus.

Language plays a part in two places only: scripts without spaces are cut into pairs of characters, as search engines do
it, and the commonest English words are known beforehand; those of other languages are found by their frequency.
"""

from __future__ import annotations

import math
import re
import zlib
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from release_tool.core.finetune.records import Document

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
)
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese: scripts that put no space between words."""
UNSPACED = re.compile(f"[{_UNSPACED}]+")
_PIECE = re.compile(
    rf"(?P<run>[{_UNSPACED}]+)|(?P<word>[^\W_{_UNSPACED}]+(?:[-'\u2019.][^\W_{_UNSPACED}]+)*)|(?P<other>\S)"
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f\u0964])\s*|\n\s*\n|\n(?=\s*(?:[-*#]|\d+[.)]))")
BUCKETS = 1 << 20
"""Counters of words; two words that share one look a little commoner than they are. 4 MB, however large a corpus."""
COMMON = 0.4
"""Share of the documents that hold a word above which it says nothing about any of them."""
TRUSTED = 50
"""Documents from which on frequencies are believed."""
MAX_CHARACTERS = 20_000
"""Of a document that are looked at."""
PAIR = 2
MAX_PHRASE_WORDS = 4
MAX_PHRASE_CHARACTERS = 8
"""Of a script without spaces."""
ENGLISH = frozenset(
    {
        "a", "about", "above", "after", "all", "also", "although", "among", "an", "and", "any", "are", "as",
        "at", "be", "because", "been", "before", "being", "below", "between", "both", "but", "by", "can",
        "cannot", "could", "did", "do", "does", "doing", "during", "each", "either", "few", "for", "from",
        "further", "had", "has", "have", "having", "he", "her", "here", "hers", "him", "his", "how", "however",
        "i", "if", "in", "into", "is", "it", "its", "itself", "just", "less", "many", "may", "me", "might",
        "more", "most", "much", "must", "my", "neither", "no", "nor", "not", "now", "of", "off", "on", "once",
        "one", "only", "or", "other", "our", "out", "over", "own", "per", "same", "several", "shall", "she",
        "should", "since", "so", "some", "such", "than", "that", "the", "their", "them", "then", "there",
        "therefore", "these", "they", "this", "those", "through", "thus", "to", "too", "two", "under", "until",
        "up", "upon", "us", "use", "used", "using", "very", "was", "we", "were", "what", "when", "where",
        "whether", "which", "while", "who", "whom", "why", "will", "with", "within", "without", "would", "you",
        "your",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """Words that follow each other without a common word or a stop between them."""

    text: str
    words: tuple[str, ...]
    """In lower case."""
    sentence: int
    score: float


@dataclass
class Frequencies:
    """In how many documents a word occurs."""

    documents: int = 0
    counts: array[int] = field(default_factory=lambda: array("L", bytes(BUCKETS * array("L").itemsize)))

    def add(self, document: Document) -> None:
        """Count the words of a document."""
        self.documents += 1
        for word in {word for sentence in sentences_of(document.whole) for word in words_of(sentence)}:
            self.counts[_bucket(word)] += 1

    @classmethod
    def of(cls, documents: Iterable[Document]) -> Frequencies:
        """Count the words of many documents."""
        made = cls()
        for one in documents:
            made.add(one)
        return made

    def is_common(self, word: str) -> bool:
        """Tell whether a word says nothing about what a document is about."""
        if word in ENGLISH or (len(word) == 1 and not UNSPACED.match(word)):
            return True
        return self.documents >= TRUSTED and self.counts[_bucket(word)] > COMMON * self.documents

    def rarity(self, word: str) -> float:
        """Return the inverse document frequency, as BM25 takes it."""
        count = self.counts[_bucket(word)]
        return math.log(1 + (self.documents - count + 0.5) / (count + 0.5))


def _bucket(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "replace")) % BUCKETS


def sentences_of(text: str) -> list[str]:
    """Cut a text into sentences, on the whole: at full stops before a space, at empty lines and at list items."""
    return [one for part in _SENTENCE.split(text[:MAX_CHARACTERS]) if (one := " ".join(part.split()))]


def words_of(sentence: str) -> list[str]:
    """Return the words in lower case; of a run without spaces every pair of characters."""
    found = []
    for piece in _PIECE.finditer(sentence):
        if piece["word"]:
            found.append(piece["word"].lower())
        elif piece["run"]:
            found += pairs_of(piece["run"])
    return found


def pairs_of(run: str) -> list[str]:
    """Return every pair of neighbours of a run of characters; the run itself where it is no longer."""
    return [run[at : at + PAIR] for at in range(max(1, len(run) - PAIR + 1))]


def phrases_of(sentences: list[str], frequencies: Frequencies) -> list[Phrase]:
    """Return the phrases of a document, each once, the most telling ones first.

    Args:
        sentences: of the document, in order.
        frequencies: of the corpus.
    """
    counts: dict[str, int] = {}
    for sentence in sentences:
        for word in words_of(sentence):
            counts[word] = counts.get(word, 0) + 1
    found: dict[str, Phrase] = {}
    for number, sentence in enumerate(sentences):
        for text, words in runs_of(sentence, frequencies):
            key = text.lower()
            if key not in found:
                weights = sorted(
                    (frequencies.rarity(word) * (1 + math.log(counts[word])) for word in words), reverse=True
                )
                score = sum(weight / (place + 1) for place, weight in enumerate(weights))
                found[key] = Phrase(text=text, words=tuple(words), sentence=number, score=score)
    return sorted(found.values(), key=lambda one: (-one.score, one.sentence, one.text))


def runs_of(sentence: str, frequencies: Frequencies) -> Iterable[tuple[str, list[str]]]:
    """Yield the runs of telling words of a sentence: at most a few words, or a few characters without spaces."""
    held: list[str] = []
    for piece in _PIECE.finditer(sentence):
        word = piece["word"]
        if word and not frequencies.is_common(word.lower()):
            held.append(word)
            continue
        yield from _run(held)
        held = []
        if piece["run"]:
            yield from _unspaced(piece["run"], frequencies)
    yield from _run(held)


def _run(held: list[str]) -> Iterable[tuple[str, list[str]]]:
    # The last words of a long run are its head: "laminar boundary layer separation point".
    kept = held[-MAX_PHRASE_WORDS:]
    if kept and not (len(kept) == 1 and kept[0].isdigit()):
        yield " ".join(kept), [word.lower() for word in kept]


def _unspaced(run: str, frequencies: Frequencies) -> Iterable[tuple[str, list[str]]]:
    """Cut a run of characters where its pairs are common, and into pieces that are no longer than a phrase."""
    start = 0
    for at in range(1, len(run) + 1):
        is_end = at == len(run) or at - start >= MAX_PHRASE_CHARACTERS
        if is_end or frequencies.is_common(run[at - 1 : at + 1]):
            piece = run[start:at]
            if len(piece) >= PAIR:
                yield piece, pairs_of(piece)
            start = at
