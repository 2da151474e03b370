"""How fast and how large one archive is, beside another one, and what a release may cost.

Numbers, not booleans: the document keeps what was measured and what was allowed; whether that passes is computed.
The machine is in every number but the ratios and the sizes: those alone can be compared from one run to the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from release_tool.core.kinds import ModelKind
from release_tool.core.quantity import bytes_text
from release_tool.core.speed_ratio import Ratio, percentile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SPEED_KINDS = (ModelKind.DENSE, ModelKind.SPARSE, ModelKind.CROSS_ENCODER, ModelKind.QUESTION_ANSWERING)
"""Kinds whose input is one row of tokens, so that a length says what an answer costs."""

DEFAULT_LENGTHS = (8, 64, 256, 512)
"""Tokens: a word, a question, a paragraph, and as much as the server takes."""
DEFAULT_ROUNDS = 30
MAX_LENGTHS = 16

SLOWER, LARGER, BYTES, MEMORY = "slower", "larger", "bytes", "memory"
BUDGETS: Mapping[str, str] = {
    SLOWER: "times as long as the other archive an answer may take, at every length",
    LARGER: "times as large as the other archive the archive may be",
    BYTES: "bytes that the archive may have",
    MEMORY: "bytes that a process with the model may take",
}
"""Name → what its number is. The first two need another archive to be measured beside."""
RELATIVE = (SLOWER, LARGER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Answers to inputs of one length, in milliseconds."""

    tokens: int
    """Special tokens included."""
    p50_ms: float
    p95_ms: float
    answers: int
    """How many were timed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """The other archive of the same run."""

    file_name: str
    sha256: str
    size: int
    times: tuple[Times, ...]
    ratios: tuple[Ratio, ...]
    """This archive's time through the other's, a length each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run in one ring."""

    ring: str
    """``runtime``: a process with the server's libraries, tokens to answer; ``node``: a request to OpenSearch."""
    times: tuple[Times, ...]
    """Shortest first."""
    load_seconds: float
    """Runtime: from the unpacked file to the first answer; node: from deploy to deployed."""
    loaded_bytes: int | None
    """Largest resident memory of the process once the model was loaded; null on the node, which holds more."""
    peak_bytes: int | None
    """The same after the longest input."""
    rounds: int
    starts: int
    """Fresh processes that took part of the rounds each."""
    versions: dict[str, str]
    pinned: bool
    note: str | None
    machine: str
    beside: Beside | None = None

    def judged(self) -> tuple[str, ...]:
        """Return the budgets that this run can be held against."""
        memory = () if self.peak_bytes is None else (MEMORY,)
        return (BYTES, *memory, *(() if self.beside is None else RELATIVE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """speed-<artifact id>.json."""

    SCHEMA: ClassVar[str] = "release-tool/speed@1"

    schema: str = "release-tool/speed@1"
    uses: dict[str, str] = field(default_factory=dict)
    artifact: str
    kind: ModelKind
    variant: str
    archive_sha256: str
    size: int
    """Bytes of the archive."""
    budgets: dict[str, float]
    """What was allowed; see ``BUDGETS``."""
    measured: tuple[Measured, ...]
    """Sorted by ring, each once."""

    def failures(self) -> tuple[str, ...]:
        """Return why the archive may not be released; empty where it stays within every budget that was judged."""
        found = list(over_size(self.size, self.budgets))
        for one in self.measured:
            found += [f"{one.ring}: {reason}" for reason in over(one, self.size, self.budgets)]
        return tuple(found)

    def not_judged(self) -> tuple[str, ...]:
        """Return the budgets that nothing was measured for."""
        judged = {name for one in self.measured for name in one.judged()}
        return tuple(name for name in self.budgets if name not in judged | {BYTES})


def over_size(size: int, budgets: Mapping[str, float]) -> tuple[str, ...]:
    """Say how an archive is larger than allowed, whatever it was measured beside."""
    limit = budgets.get(BYTES)
    if limit is None or size <= limit:
        return ()
    return (f"it has {bytes_text(size)}, {bytes_text(int(limit))} are allowed ({BYTES})",)


def over(measured: Measured, size: int, budgets: Mapping[str, float]) -> tuple[str, ...]:
    """Say how one run is over the budgets."""
    found = []
    memory = budgets.get(MEMORY)
    if memory is not None and measured.peak_bytes is not None and measured.peak_bytes > memory:
        found.append(
            f"the process takes {bytes_text(measured.peak_bytes)}, {bytes_text(int(memory))} are allowed ({MEMORY})"
        )
    other = measured.beside
    if other is None:
        return tuple(found)
    larger, slower = budgets.get(LARGER), budgets.get(SLOWER)
    if larger is not None and size > larger * other.size:
        found.append(
            f"it is {size / other.size:.3f} times as large as {other.file_name}, {larger:g} is allowed ({LARGER})"
        )
    if slower is not None:
        found += [
            f"{ratio.tokens} tokens take {ratio.ratio:.3f} ({ratio.low:.3f} to {ratio.high:.3f}) times as long as with "
            f"{other.file_name}, {slower:g} is allowed ({SLOWER})"
            for ratio in other.ratios
            if ratio.is_over(slower)
        ]
    return tuple(found)


def times_of(tokens: int, rounds: Sequence[Sequence[float]]) -> Times:
    """Return the percentiles over every answer of one length, given in milliseconds by round."""
    answers = [taken for block in rounds for taken in block]
    return Times(
        tokens=tokens,
        p50_ms=percentile(answers, 0.50),
        p95_ms=percentile(answers, 0.95),
        answers=len(answers),
    )


def speed_name(artifact_id: str) -> str:
    """Return the document's file name."""
    return f"speed-{artifact_id}.json"
