"""Ask several archives in turn: in every round each of them answers every length, one right after the other."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from release_tool.core.kinds import ModelKind

WARM_UPS = 3
BLOCK_MS = 20.0
"""A short answer is asked again until about so much time was measured in a round."""
MAX_BLOCK = 10

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


def run_rounds(
    archives: Sequence[Asked], lengths: Sequence[int], rounds: int, advance: Callable[[], None]
) -> list[dict[int, Rounds]]:
    """Return of each archive its rounds by length.

    Who goes first turns from round to round: what one leaves in the caches of the machine hits all of them alike.
    """
    found: list[dict[int, Rounds]] = [{length: [] for length in lengths} for _ in archives]
    blocks = [_block(archives, place) for place in range(len(lengths))]
    for number in range(rounds):
        for place, length in enumerate(lengths):
            for turn in range(len(archives)):
                index = (number + turn) % len(archives)
                found[index][length].append(archives[index].ask(place, blocks[place]))
        advance()
    return found


def _block(archives: Sequence[Asked], place: int) -> int:
    """Warm every archive up for one length, and return how often a round asks it."""
    quickest = min(median(archive.ask(place, WARM_UPS)) for archive in archives)
    return max(1, min(MAX_BLOCK, round(BLOCK_MS / quickest))) if quickest > 0 else MAX_BLOCK
