"""A true random sample of ids that come one after another, and which of them have come before, in bounded memory.

Every id gets a number from a keyed hash; the ids with the smallest numbers are the sample. So it depends on the ids and
the key alone: not on their order, nor on how often one of them comes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HASH_BYTES = 8
"""Of 10,000,000 ids, two have the same number by chance with a probability of 0.000003; one would be taken for the
other's double."""
SPARE = 1.5
"""The sample is cut back when it has so many times its size: numbers are sorted seldom."""
MIN_SPARE = 65_536
MERGED = 2.0
"""Two sorted runs become one when the older is less than so many times as long: there are few runs to look into."""


def numbers_of(ids: Sequence[str], key: bytes) -> NDArray[np.uint64]:
    """Return the number of each id.

    Args:
        ids: texts that UTF-8 can hold.
        key: of the hash, up to 64 bytes.
    """
    made = b"".join(hashlib.blake2b(one.encode(), digest_size=HASH_BYTES, key=key).digest() for one in ids)
    return np.frombuffer(made, dtype="<u8").astype(np.uint64)


def key_of(seed: int) -> bytes:
    """Return the key of the sample with a seed."""
    return f"release-tool corpus {seed}".encode()


class Sample:
    """Takes the numbers of ids; tells which are new and may be among the ``size`` smallest."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.limit: int | None = None
        """Numbers above it are out for good; null while there are no more ids than the sample may have."""
        self._runs: list[NDArray[np.uint64]] = []

    def add(self, numbers: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Take a batch; return which of them are out by their number, and which of the others have come before.

        The first of equal ids is the one that stays. Whether one that is out has come before is not known.
        """
        out = np.zeros(len(numbers), dtype=bool) if self.limit is None else numbers > np.uint64(self.limit)
        known = np.ones(len(numbers), dtype=bool)
        _, first = np.unique(numbers, return_index=True)
        known[first] = False
        for run in self._runs:
            place = np.searchsorted(run, numbers)
            known |= (place < len(run)) & (run[np.minimum(place, len(run) - 1)] == numbers)
        self._keep(np.sort(numbers[~out & ~known]))
        return out, known & ~out

    @property
    def count(self) -> int:
        """How many different ids are kept."""
        return sum(len(run) for run in self._runs)

    def settle(self) -> int | None:
        """Return the greatest number of the sample, or null where it holds every id that came."""
        if self.count > self.size or self.limit is not None:
            self._cut()
        return self.limit

    def _keep(self, run: NDArray[np.uint64]) -> None:
        while self._runs and len(self._runs[-1]) < MERGED * len(run):
            run = np.concatenate((self._runs.pop(), run))
            run.sort(kind="stable")
        if len(run):
            self._runs.append(run)
        if self.count > self.size + max(int(self.size * (SPARE - 1)), MIN_SPARE):
            self._cut()

    def _cut(self) -> None:
        whole = np.concatenate(self._runs)
        whole.sort(kind="stable")
        whole = whole[: self.size].copy()
        self._runs, self.limit = [whole], int(whole[-1])
