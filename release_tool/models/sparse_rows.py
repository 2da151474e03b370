"""What OpenSearch adds to a library's sparse answers, in numpy.

Special tokens weigh nothing (they would be in every document), neither does what reads as nothing, and a prune ratio
drops what is at most that part of the text's largest weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def special_ids_of(tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens that OpenSearch leaves out, ascending."""
    return tuple(sorted(int(index) for index in set(tokenizer.all_special_ids)))


def without(row: np.ndarray, special: Sequence[int]) -> np.ndarray:
    """Return a copy of dense weights [vocabulary] in which special tokens weigh nothing."""
    kept: np.ndarray = np.array(row, dtype=np.float32)
    kept[[index for index in special if index < len(kept)]] = 0
    return kept


def prune(row: np.ndarray, ratio: float) -> np.ndarray:
    """Return dense weights [vocabulary] without those at or below ``ratio`` x the largest."""
    limit = np.float32(row.max(initial=0)) * np.float32(ratio)
    pruned: np.ndarray = np.where(row > limit, row, np.float32(0))
    return pruned


def spoken_of(tokenizer: Any, ids: Iterable[int]) -> set[int]:
    """Return the tokens that read as something.

    Source: SparseTokenizerModel drops a token that decodes to nothing, such as a sentence piece of a space.
    """
    seen = sorted(ids)
    words = tokenizer.batch_decode([[index] for index in seen], skip_special_tokens=True)
    return {index for index, word in zip(seen, words, strict=True) if word}
