"""What the rules of a diagnosis look at, and what they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from release_tool.core.comparison import Comparison
    from release_tool.core.plan import Tolerances
    from release_tool.core.proof import Proof

MOST = 0.9
"""Part of the probes that counts as all but some that can't show a fault (one token has one pooling)."""
MAX_TOKENS_NAMED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One explanation."""

    fault: str
    """A stable word: ``truncation``, ``padding``, ``tokenizer``, ``special-tokens``, ``dimension``, ``refused``,
    ``not-finite``, ``source-not-finite``, ``normalisation``, ``scale``, ``pooling``, ``vocabulary-row``,
    ``long-inputs``, ``pruning``, ``activation``, ``token-weights``, ``answer-text``, ``precision``, ``quantisation``,
    ``weights``."""
    saw: str
    """The pattern, with numbers."""
    cause: str
    """What most likely causes it."""

    def __str__(self) -> str:
        """Render as one sentence a part."""
        return f"{self.saw}: {self.cause}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A proof, divided by its verdict, and what else the rules look at."""

    proof: Proof
    tolerances: Tolerances
    failed: tuple[Comparison, ...]
    passed: tuple[Comparison, ...]
    inputs: Mapping[str, frozenset[int]]
    special_ids: frozenset[int]
    max_length: int | None

    @property
    def same_lengths(self) -> bool:
        """Tell whether the failing probes' inputs have the source's lengths, as far as they are known."""
        return all(item.tokens_reference in (None, item.tokens) for item in self.failed)

    @property
    def all_failed(self) -> bool:
        """Tell whether all probes fail, but for some that can't show a fault."""
        return len(self.failed) >= MOST * (len(self.failed) + len(self.passed))

    def of(self, count: int) -> str:
        """Return a count in words."""
        return f"{count} of {len(self.failed) + len(self.passed)} probes"


def named(tokens: Iterable[int | None]) -> str:
    """Return a few token ids in words."""
    return ", ".join(str(token) for token in list(tokens)[:MAX_TOKENS_NAMED])
