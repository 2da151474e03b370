"""Cut a text into words: what is counted, compared and searched where no engine has a better rule for its language.

Words are runs of letters and digits, case folded; scripts that set no spaces (Chinese, Japanese, Thai) are cut into
pairs of characters, as Lucene's CJK analyzer does.
"""

from __future__ import annotations

import re

WORD = re.compile(r"[^\W_]+")
UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002fa1f]+")


def words_of(text: str) -> list[str]:
    """Return the words of a text, in order."""
    folded = text.casefold()
    words = WORD.findall(folded)
    if folded.isascii() or not UNSPACED.search(folded):
        return words
    return [term for word in words for term in _pairs(word)]


def _pairs(word: str) -> list[str]:
    terms: list[str] = []
    at = 0
    for run in UNSPACED.finditer(word):
        if run.start() > at:
            terms.append(word[at : run.start()])
        letters = run.group()
        terms.extend(letters[i : i + 2] for i in range(max(1, len(letters) - 1)))
        at = run.end()
    if at < len(word):
        terms.append(word[at:])
    return terms
