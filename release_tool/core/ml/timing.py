"""How fast a model answers on a cluster: the questions that are asked, and what their times come to.

Times are those of the caller: the network and the server's queue are in them. Two models are asked in turn, round by
round, so that a slow moment of the cluster meets both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from release_tool.core.ml.predict import Function, Row, text_rows
from release_tool.core.speed_ratio import paired, percentile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from release_tool.core.ml.predict import Wanted

DEFAULT_CONCURRENCY = (1, 4)
DEFAULT_WORDS = (8, 64, 256)
DEFAULT_REQUESTS = 200
ROUNDS = 10
TURNS = 8
"""Questions a thread in a round, at least: with fewer the end of a round would tell, where threads have none left."""

_WORDS = (
    "river", "hill", "town", "market", "winter", "garden", "letter", "window", "bridge", "music", "forest", "morning",
    "stone", "paper", "silver", "engine", "water", "harbour", "summer", "village", "history", "road", "island",
    "record", "mountain", "field", "school", "station", "question", "evening",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to ask."""

    concurrency: int
    words: int | None
    """Words of a text; null where the questions are a person's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a few questions took, asked one right after another."""

    seconds: float
    """From the first request to the last answer."""
    times: tuple[float, ...]
    """Seconds of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One model in one case."""

    model: str
    concurrency: int
    words: int | None
    requests: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    per_second: float
    """Answers a second, all threads together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Two models in one case, by the rounds of one run."""

    concurrency: int
    words: int | None
    ratio: float
    """The other model's median time through the first one's: the median over the rounds."""
    low: float
    """With ``high``: the interval of 99 % that ``core.speed_ratio`` gives."""
    high: float
    rounds: int


def made_texts(words: int) -> Iterator[str]:
    """Yield texts of so many words, each another one, the same in every run."""
    for number in count():
        yield " ".join(_WORDS[(number * 7 + place * (1 + number % 5)) % len(_WORDS)] for place in range(words))


def made_rows(words: int, wanted: Wanted) -> Iterator[Row]:
    """Yield questions of a length without end, in the form that the model's function wants.

    Raises:
        ValueError: nobody knows what a remote model wants to be asked.
    """
    if wanted.function is Function.REMOTE:
        raise ValueError("what a remote model is asked can't be made up")
    paired = wanted.function in {Function.TEXT_SIMILARITY, Function.QUESTION_ANSWERING}
    query = "where does the river reach the sea" if paired else None
    for text in made_texts(words):
        yield from text_rows((text,), wanted, query=query)


def round_size(case: Case, requests: int, rounds: int) -> int:
    """Return how many questions a round has."""
    return max(math.ceil(requests / rounds), case.concurrency * TURNS)


def timed(model: str, case: Case, rounds: Sequence[Round]) -> Timed:
    """Return what the rounds of a model come to."""
    times = sorted(seconds * 1000 for one in rounds for seconds in one.times)
    return Timed(
        model=model, concurrency=case.concurrency, words=case.words, requests=len(times),
        p50_ms=percentile(times, 0.50), p95_ms=percentile(times, 0.95), p99_ms=percentile(times, 0.99),
        per_second=len(times) / sum(one.seconds for one in rounds),
    )  # fmt: skip


def beside(case: Case, first: Sequence[Round], other: Sequence[Round]) -> Beside:
    """Return how two models compare that were asked in the same rounds, ``MIN_ROUNDS`` of them at least."""
    ratio, low, high = paired([one.times for one in other], [one.times for one in first])
    return Beside(concurrency=case.concurrency, words=case.words, ratio=ratio, low=low, high=high, rounds=len(first))
