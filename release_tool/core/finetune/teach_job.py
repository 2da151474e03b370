"""What the processes of stage teach are told."""

from __future__ import annotations

from dataclasses import dataclass

PAIRS_A_PART = 16_384
"""Pairs of a part, as many whole queries as fit: minutes of a CPU, which is what a killed run loses at most; and enough
to be sorted by length without waste."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """One of them."""

    name: str
    """As the recipe says it, for messages."""
    model: str
    """Its folder on this machine."""
    out: str
    """Folder of its parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeachJob:
    """All that they need; folders are absolute."""

    teachers: tuple[Teacher, ...]
    corpus: str
    queries: str
    candidates: str
    scratch: str
    """Where the texts' indexes lie."""
    negatives: int
    """Candidates a query that are scored."""
    batch_tokens: int
    """0: what suits the device."""
    precision: str
    max_length: int

    @property
    def rows(self) -> int:
        """Queries a part."""
        return max(1, PAIRS_A_PART // (1 + self.negatives))
