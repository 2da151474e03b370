"""What a re-ranker is given: BM25's first hundred of every query, by bm25s.

Words are runs of letters and digits, case folded; scripts that set no spaces (Chinese, Japanese, Thai) are cut into
pairs of characters, as Lucene's CJK analyzer does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from release_tool.models.ranking import DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WORD = re.compile(r"[^\W_]+")
UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002fa1f]+")


def words_of(text: str) -> list[str]:
    """Return the terms of a text."""
    terms: list[str] = []
    for word in WORD.findall(text.casefold()):
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


def candidates(texts: Iterable[str], queries: Mapping[str, str]) -> dict[str, list[int]]:
    """Return query → places of its best documents, at most a hundred; a document without a common word is none."""
    import bm25s

    vocabulary: dict[str, int] = {}
    ids = [[vocabulary.setdefault(word, len(vocabulary)) for word in words_of(text)] for text in texts]
    index = bm25s.BM25(method="lucene")
    index.index(bm25s.tokenization.Tokenized(ids=ids, vocab=vocabulary), show_progress=False)
    found: dict[str, list[int]] = {}
    for query, text in queries.items():
        known = [vocabulary[word] for word in words_of(text) if word in vocabulary]
        if not known:
            found[query] = []
            continue
        scores = index.get_scores_from_ids(known)
        # Places break ties, so the same set gives the same candidates with every library.
        order = np.lexsort((np.arange(len(scores)), -scores.astype(np.float32)))[:DEPTH]
        found[query] = [int(place) for place in order if scores[place] > 0]
    return found
