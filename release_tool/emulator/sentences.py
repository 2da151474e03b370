"""How the highlighter's translator cuts a context into sentences and tokens into sentence ids.

Source of the rules: ``DefaultSentenceSegmenter`` and ``SentenceHighlightingQATranslator`` of ML Commons 3.6.0.0, with
their defects: an abbreviation reaches the sentence as ``Dr@@@``, a quote after a full stop is moved before it, and the
tokenizer's word numbers are compared with words between spaces. Positions count UTF-16 units, as Java's do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .tokens import Encoded

IGNORE = -100
"""Sentence id of tokens that belong to no sentence."""

ABBREVIATIONS = (
    "Mr.",
    "Mrs.",
    "Ms.",
    "Dr.",
    "Prof.",
    "Sr.",
    "Jr.",
    "Ltd.",
    "Co.",
    "Inc.",
    "i.e.",
    "e.g.",
    "etc.",
    "vs.",
    "fig.",
)
MARKER = "@@@"
PREFIX_UNITS = 10

# Java's \w, \s and (since JDK 19) \b are ASCII; its dot stops at more line ends than Python's.
ANY = r"[^\n\r\u0085\u2028\u2029]"
BOUNDARY = re.compile(
    rf"(?<!\w\.\w{ANY})(?<!\w[A-Z]\.)(?<=[.!?])(?<!\w[A-Z]\.[A-Z]\.)\s+",
    re.ASCII,
)
SPACES = re.compile(r"\s+", re.ASCII)
QUOTED_END = re.compile(r"([.!?])\"")
MARKED = tuple(
    (re.compile(rf"\b{re.escape(word)}\s+", re.ASCII), word.replace(".", MARKER) + " ") for word in ABBREVIATIONS
)
TRIMMED = "".join(map(chr, range(33)))


@dataclass(frozen=True)
class Sentence:
    """One sentence of a context; positions in UTF-16 units of the context."""

    text: str
    start: int
    end: int


def units(text: str) -> int:
    """Return a text's length as Java counts it."""
    return len(text) + sum(character > "\uffff" for character in text)


def split(pattern: re.Pattern[str], text: str) -> list[str]:
    """Split as Java does: empty strings at the end are dropped; a text without a match is one part."""
    parts = pattern.split(text)
    if len(parts) == 1:
        return parts
    while parts and not parts[-1]:
        parts.pop()
    return parts


def raw_sentences(context: str) -> list[str]:
    """Return the sentences as the segmenter's pattern leaves them, markers included."""
    text = context
    for pattern, marked in MARKED:
        text = pattern.sub(marked, text)
    # The pattern's lookbehinds capture nothing, so re.split returns the parts only.
    return split(BOUNDARY, QUOTED_END.sub(r'"\1', text))


def segment(context: str) -> list[Sentence]:
    """Return the sentences of a context, in order; an empty context has one empty sentence."""
    found = []
    position = 0
    for raw in raw_sentences(context):
        start = context.find(raw, position)
        if start < 0:
            start = _approximate(context, raw, position)
        first = units(context[:start])
        found.append(Sentence(text=raw.strip(TRIMMED), start=first, end=first + units(raw)))
        # Java goes on at start + raw.length(), which may lie beyond the text: then nothing is found any more.
        position = start + len(raw)
    return found


def _approximate(context: str, raw: str, position: int) -> int:
    if not raw:
        return position
    place = context.find(raw[:PREFIX_UNITS], position)
    return place if place >= 0 else position


def word_sentences(sentences: list[Sentence], context: str) -> list[int]:
    """Return the sentence of each word between spaces; 0 for a word that lies in none.

    A word's place is the sum of the words before it and one space each, so it drifts where there are more spaces.
    """
    words = split(SPACES, context)
    result = [0] * len(words)
    place = 0
    for index, word in enumerate(words):
        end = place + units(word)
        for number, sentence in enumerate(sentences):
            if place >= sentence.start and end <= sentence.end:
                result[index] = number
        place = end + 1
    return result


def token_sentences(encoded: Encoded, of_words: list[int]) -> list[int]:
    """Return the sentence id of each token of a chunk, -100 for the question, special tokens and words beyond."""
    first = encoded.types.index(1) if 1 in encoded.types else 0
    return [
        of_words[word] if index >= first and 0 <= word < len(of_words) else IGNORE
        for index, word in enumerate(encoded.words)
    ]
