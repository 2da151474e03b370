"""Answer many probes in few forward passes, and show that padding did not change an answer.

The reference is the answer to a single text. Batches of nearly equal length save most of the overhead of
short probes; after answering, the probe that was padded most is answered alone. Where that differs by more
than float32 rounding (a model whose attention mask leaks), every probe is answered alone instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Row = TypeVar("Row")

MAX_WASTE = 1.25
"""Longest through shortest of a batch: at most a fifth of the numbers are padding."""
TOKENS_PER_BATCH = 1024
"""Measured on two cores: larger batches are not faster, and take more memory."""
ROUNDING = 1e-6
"""Of a float32 forward pass, times max(1, max|answer|)."""


def make_batches(lengths: Sequence[int], *, budget: int = TOKENS_PER_BATCH) -> list[list[int]]:
    """Group indices by length: each index once, at most ``budget`` tokens and ``MAX_WASTE`` a batch."""
    batches: list[list[int]] = []
    shortest = 0
    for index in sorted(range(len(lengths)), key=lambda one: (lengths[one], one)):
        length = max(1, lengths[index])
        full = batches and (len(batches[-1]) + 1) * length > budget
        if not batches or full or length > shortest * MAX_WASTE:
            batches.append([])
            shortest = length
        batches[-1].append(index)
    return batches


def in_batches(
    lengths: Sequence[int],
    answer: Callable[[list[int]], list[Row]],
    difference: Callable[[Row, Row], float],
    *,
    budget: int = TOKENS_PER_BATCH,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[list[Row], str]:
    """Return one row a probe, in order, and how they were made: ``padded`` or ``single``.

    Args:
        lengths: tokens of each probe's input.
        answer: indices to their rows, in one forward pass.
        difference: of two rows, in units of max(1, max|row|); NaN counts as equal to NaN.
        budget: tokens a batch.
        advance: told how many more probes are answered.
    """
    rows: dict[int, Row] = {}
    padded: list[tuple[int, int]] = []
    for batch in make_batches(lengths, budget=budget):
        rows.update(zip(batch, answer(batch), strict=True))
        longest = max(lengths[index] for index in batch)
        padded.extend((longest - lengths[index], index) for index in batch if lengths[index] < longest)
        advance(len(batch))
    if padded:
        probe = max(padded)[1]
        (alone,) = answer([probe])
        if not difference(rows[probe], alone) <= ROUNDING:
            return [answer([index])[0] for index in range(len(lengths))], "single"
    return [rows[index] for index in range(len(lengths))], "padded"


def array_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return max|a-b| through max(1, max|b|); infinite for another shape, 0 where both are NaN."""
    if first.shape != second.shape:
        return float("inf")
    if first.size == 0:
        return 0.0
    same = np.isclose(first, second, rtol=0, atol=0, equal_nan=True)
    gap = np.where(same, 0.0, np.abs(first.astype(np.float64) - second.astype(np.float64)))
    scale = np.nanmax(np.abs(second), initial=1.0)
    return float(np.max(gap) / scale)
