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
ROLE = "passage"
QUESTION_SHARE = 4
"""Of a pair, one token in four at most is the question."""
MAX_QUESTION_WORDS = 12


class Lengths:
    """Makes the texts of one archive."""

    def __init__(self, tokenizer: Tokenizer, config: ServedConfig) -> None:
        self.tokenizer = tokenizer
        self.config = config
        self.pair = config.kind in PAIRS
        self.least = self._count(self._compose([], 1))
        """Tokens of an input that says nothing: special tokens, a prefix, and of pairs a question of one word."""
        self.limit = tokenizer.max_length
        """Tokens at which the server cuts an input."""

    def _compose(self, words: list[str], wanted: int) -> tuple[str, str | None]:
        if not self.pair:
            return " ".join(words), None
        question = WORDS[: max(1, min(MAX_QUESTION_WORDS, wanted // QUESTION_SHARE))]
        return " ".join(question), " ".join(words)

    def _count(self, texts: tuple[str, str | None]) -> int:
        return len(self.tokenizer.encode(self.config.prefix(ROLE) + texts[0], texts[1]))

    def texts(self, wanted: int) -> tuple[str, str | None] | None:
        """Return a text or pair of so many tokens, special ones included; null where the tokenizer can make none."""

        def count(words: list[str]) -> int:
            return self._count(self._compose(words, wanted))

        low, high = 0, wanted
        many = [WORDS[place % len(WORDS)] for place in range(wanted)]
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if count(many[:middle]) >= wanted else (middle + 1, high)
        words = many[:low]
        if count(words) > wanted:
            words.pop()
        while count(words) < wanted:
            closer = [[*words, filler] for filler in FILLERS if count(words) < count([*words, filler]) <= wanted]
            if not closer:
                return None
            words = min(closer, key=count)
        return self._compose(words, wanted) if words and count(words) == wanted else None


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
