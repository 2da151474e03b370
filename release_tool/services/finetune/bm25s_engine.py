"""BM25 in memory, for corpora that fit there: every posting is held, with its score."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from release_tool.errors import MissingExtra, UsageError
from release_tool.services.finetune.analysis import AT_ONCE, EXTRA, in_blocks
from release_tool.services.finetune.searching import K1, B, Found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from release_tool.services.finetune.analysis import Analysis

MAX_TERMS = 200_000_000
"""Of a corpus, repeated ones included: about 8 GB while the index is built (37 bytes a term were measured)."""


class Bm25sEngine:
    """Searches documents that it holds."""

    def __init__(self, texts: Iterable[str], analysis: Analysis, *, told: Callable[[int], None]) -> None:
        """Index documents.

        Args:
            texts: of all of them, in order.
            analysis: how they are cut.
            told: is told how many were added since it was told last.

        Raises:
            UsageError: they are too many for this engine.
            MissingExtra: bm25s is not installed.
        """
        try:
            import bm25s
        except ModuleNotFoundError as error:
            raise MissingExtra(EXTRA, "bm25s") from error
        self._analysis = analysis
        self._vocabulary: dict[str, int] = {}
        documents = self._read(texts, told)
        self.most = max(1, len(documents))
        self._index: Any = bm25s.BM25(method="lucene", k1=K1, b=B)
        if self._vocabulary:
            tokens = bm25s.tokenization.Tokenized(ids=documents, vocab=self._vocabulary)
            self._index.index(tokens, show_progress=False)

    def _read(self, texts: Iterable[str], told: Callable[[int], None]) -> list[array[int]]:
        documents, size = [], 0
        for block in in_blocks(texts, AT_ONCE):
            for terms in self._analysis.terms(block):
                ids = (self._vocabulary.setdefault(term, len(self._vocabulary)) for term in terms)
                documents.append(array("i", ids))
                size += len(terms)
            if size > MAX_TERMS:
                raise UsageError(
                    f"The documents have more than {MAX_TERMS:,} words: too many to be held in memory.",
                    hint="Set mine.engine to 'tantivy'.",
                )
            told(len(block))
        return documents

    def search(self, texts: Sequence[str], limit: int) -> list[Found]:
        """See ``Engine``."""
        return [self._found(self._scores(terms), limit) for terms in self._analysis.terms(texts)]

    def _found(self, scores: Any, limit: int) -> Found:
        import numpy as np

        is_cut = limit < len(scores)
        best = np.argpartition(-scores, limit - 1)[:limit] if is_cut else np.arange(len(scores))
        hits = [(int(place), float(scores[place])) for place in best if scores[place] > 0]
        return Found(hits, float(scores[best].min()) if is_cut else 0.0)

    def _scores(self, terms: Sequence[str]) -> Any:
        """Return the scores of all documents, float32 [documents]."""
        import numpy as np

        known = [self._vocabulary[term] for term in terms if term in self._vocabulary]
        return self._index.get_scores_from_ids(known) if known else np.zeros(0, np.float32)

    def score(self, text: str, place: int) -> float:
        """See ``Engine``."""
        scores = self._scores(self._analysis.terms([text])[0])
        return float(scores[place]) if len(scores) else 0.0

    def close(self) -> None:
        """See ``Engine``."""
