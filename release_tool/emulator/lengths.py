"""Texts of exactly so many tokens, made of real words by the archive's own tokenizer.

What an answer costs follows from its length in tokens, and a text that is one token longer is another measurement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .faults import Refused
from .prepare import PAIRS, prepare, tokenizer_of

if TYPE_CHECKING:
    from .archive import Archive
    from .config import ServedConfig
    from .prepare import Prepared
    from .tokens import Tokenizer

WORDS = [
    "the",
    "river",
    "rises",
    "in",
    "the",
    "northern",
    "hills",
    "and",
    "crosses",
    "the",
    "old",
    "town",
    "where",
    "every",
    "winter",
    "a",
    "small",
    "market",
    "sells",
    "bread",
    "cheese",
    "and",
    "warm",
    "coats",
    "to",
    "people",
    "from",
    "the",
    "villages",
    "while",
    "children",
    "skate",
    "on",
    "the",
    "frozen",
    "pond",
    "behind",
    "the",
    "school",
]
FILLERS = ("a", "in", "on", "of", "it", ".", ",", "I", "1")
"""Most vocabularies hold these whole: one of them adds one token where a word would add two."""
MARKS = (".", ",", "s")
"""The same without a space before it, which tokenizers of bytes may count."""
ROLE = "passage"
QUESTION_SHARE = 4
"""Of a pair, one token in four at most is the question."""
MAX_QUESTION_WORDS = 12


class Lengths:
    """Makes the texts of one archive; its tokenizer no longer truncates then, so that no text is longer than told."""

    def __init__(self, tokenizer: Tokenizer, config: ServedConfig) -> None:
        self.limit = tokenizer.max_length
        """Tokens at which the server cuts an input."""
        tokenizer.tokenizer.no_truncation()
        self.tokenizer = tokenizer
        self.config = config
        self.pair = config.kind in PAIRS
        self.least = self._count([], 1)
        """Tokens of an input that says nothing: special tokens, a prefix, and of pairs a question of one word."""

    def _compose(self, words: list[str], question: int) -> tuple[str, str | None]:
        text = " ".join(words)
        return (" ".join(WORDS[:question]), text) if self.pair else (text, None)

    def _count(self, words: list[str], question: int) -> int:
        first, second = self._compose(words, question)
        return len(self.tokenizer.encode(self.config.prefix(ROLE) + first, second))

    def texts(self, wanted: int) -> tuple[str, str | None] | None:
        """Return a text or pair of so many tokens, special ones included; null where the tokenizer can make none."""
        longest = max(1, min(MAX_QUESTION_WORDS, wanted // QUESTION_SHARE)) if self.pair else 1
        for question in range(longest, 0, -1):
            words = self._words(wanted, question)
            if words:
                return self._compose(words, question)
        return None

    def _words(self, wanted: int, question: int) -> list[str]:
        """Return the words that make up the wanted length; none where no words do."""
        low, high = 0, wanted
        many = [WORDS[place % len(WORDS)] for place in range(wanted)]
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._count(many[:middle], question) >= wanted else (middle + 1, high)
        words = many[:low]
        while words and self._count(words, question) > wanted:
            words.pop()
        while (found := self._count(words, question)) < wanted:
            longer = [[*words, filler] for filler in FILLERS]
            longer += [[*words[:-1], words[-1] + mark] for mark in MARKS if words]
            closer = [text for text in longer if found < self._count(text, question) <= wanted]
            if not closer:
                return []
            words = min(closer, key=lambda text: self._count(text, question))
        return words if found == wanted else []


def prepare_lengths(archive: Archive, config: ServedConfig, lengths: list[int], report: dict[str, Any]) -> Prepared:
    """Prepare one input a length and tell its texts; of those that can't be had the report says why.

    Raises:
        Refused: the tokenizer can't be set up, or the warm-up can't be encoded.
    """
    maker = Lengths(tokenizer_of(archive, config), config)
    report |= {"least": maker.least, "limit": maker.limit, "texts": {}, "impossible": []}
    probes: list[dict[str, Any]] = []
    for length in lengths:
        if not maker.least < length <= maker.limit:
            continue
        texts = maker.texts(length)
        if texts is None:
            report["impossible"].append(length)
            continue
        report["texts"][str(length)] = texts
        probes.append({"id": str(length), "role": ROLE, "text": texts[0], "second": texts[1]})
    prepared = prepare(archive, config, probes)
    if prepared.errors or prepared.lengths != [int(probe["id"]) for probe in probes]:
        raise Refused(f"the tokenizer gives other lengths than before: {prepared.lengths} {prepared.errors}")
    return prepared
