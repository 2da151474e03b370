"""The words of a text, as its near duplicates are told by them: pure, and the same on every machine.

A word is a run of letters and digits; in scripts that put no spaces between words it is a single character, as no
dictionary of ours would agree with another one's. Three words in a row are what two texts have in common or not.
"""

from __future__ import annotations

import re
import unicodedata

WORDS_TOGETHER = 3
"""Fewer in a text: all of them together are what it has in common with others."""
PERMUTATIONS = 128
"""Numbers of a MinHash signature; their error is at most 1 / (2 √128) = 0.044."""
MISSED = 1e-3
"""Share of the pairs exactly at the threshold that no band may bring together; above it there are fewer."""

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Myanmar, Khmer
    "\u3040-\u30ff\u31f0-\u31ff"  # Kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_ASCII_WORD = re.compile(r"[0-9a-z]+")


def words_of(text: str) -> list[str]:
    """Return the words of a text, at least one: a text of signs alone is one word.

    Case, punctuation, white space, and the forms that Unicode holds to be the same character (NFKC) don't count.
    """
    if text.isascii():
        lower = text.lower()
        return _ASCII_WORD.findall(lower) or [" ".join(lower.split())]
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _WORD.findall(folded) or [" ".join(folded.split())]


def shingles_of(words: list[str]) -> set[tuple[str, ...]]:
    """Return the triples of a text's words; all words together where there are fewer than three."""
    if len(words) < WORDS_TOGETHER:
        return {tuple(words)}
    return set(zip(words, words[1:], words[2:], strict=False))


def similarity_of(one: str, other: str) -> float:
    """Return the share of common triples among all of two texts (Jaccard): what grouping goes by, exactly."""
    first, second = shingles_of(words_of(one)), shingles_of(words_of(other))
    return len(first & second) / len(first | second)


def bands_of(similarity: float, permutations: int = PERMUTATIONS) -> tuple[int, int]:
    """Return how many bands of how many rows a signature is cut into.

    Two texts are compared where they agree in all rows of a band. Most rows, thus fewest comparisons, are taken for
    which a pair at the threshold is missed no more often than ``MISSED``.

    Args:
        similarity: the threshold, from 0.5 to 1.
        permutations: numbers of a signature.
    """
    best = (permutations, 1)
    for rows in range(2, permutations + 1):
        bands = permutations // rows
        if (1 - similarity**rows) ** bands <= MISSED:
            best = (bands, rows)
    return best
