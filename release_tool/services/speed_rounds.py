"""Ask several archives in turn: in every round each of them answers every length, one right after the other."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from release_tool.core.kinds import ModelKind

WARM_UPS, NODE_WARM_UPS = 3, 20
"""Answers of each length that are not counted; Java compiles what it runs often."""
BLOCK_MS = 20.0
"""A short answer is asked again until about so much time was measured in a round."""
MAX_BLOCK = 10

MOST_TIMES = 4
"""How many times the rounds that were asked for are measured at most, where they leave a budget open."""

Rounds = list[list[float]]
"""A round each, the milliseconds of its answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One archive to be timed."""

    archive: Path
    config_path: Path
    config: dict[str, Any]
    """The register request, key order kept."""
    kind: ModelKind
    torch_script: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What one archive took."""

    rounds: dict[int, Rounds]
    """Length in tokens → rounds."""
    load_seconds: float
    starts: int
    loaded_bytes: int | None
    peak_bytes: int | None
    versions: dict[str, str]
    pinned: bool
    note: str | None


class Asked(Protocol):
    """An archive that is loaded somewhere."""

    def ask(self, place: int, count: int) -> list[float]:
        """Answer the input of one length some times over; return the milliseconds of each answer."""


Found = list[dict[int, Rounds]]
"""Of each archive its rounds by length."""


def until_clear(measure: Callable[[int], Found], parts: Sequence[int], is_open: Callable[[Found], bool]) -> Found:
    """Measure the rounds in parts, and go on while they leave open whether a budget is kept.

    Args:
        measure: so many rounds more.
        parts: rounds of each part; together what was asked for.
        is_open: told all rounds so far.
    """
    found: Found = []
    for part in parts:
        found = _joined(found, measure(part))
    done = sum(parts)
    most = MOST_TIMES * done
    while done < most and is_open(found):
        found = _joined(found, measure(parts[0]))
        done += parts[0]
    return found


def _joined(found: Found, more: Found) -> Found:
    if not found:
        return more
    return [
        {length: known[length] + blocks for length, blocks in fresh.items()}
        for known, fresh in zip(found, more, strict=True)
    ]


def run_rounds(
    archives: Sequence[Asked],
    lengths: Sequence[int],
    rounds: int,
    advance: Callable[[], None],
    *,
    warm_ups: int = WARM_UPS,
) -> Found:
    """Return of each archive its rounds by length.

    Who goes first turns from round to round: what one leaves in the caches of the machine hits all of them alike.
    """
    found: Found = [{length: [] for length in lengths} for _ in archives]
    blocks = [_block(archives, place, warm_ups) for place in range(len(lengths))]
    for number in range(rounds):
        for place, length in enumerate(lengths):
            for turn in range(len(archives)):
                index = (number + turn) % len(archives)
                found[index][length].append(archives[index].ask(place, blocks[place]))
        advance()
    return found


def _block(archives: Sequence[Asked], place: int, warm_ups: int) -> int:
    """Warm every archive up for one length, and return how often a round asks it."""
    quickest = min(median(archive.ask(place, warm_ups)) for archive in archives)
    return max(1, min(MAX_BLOCK, round(BLOCK_MS / quickest))) if quickest > 0 else MAX_BLOCK
