"""Which split a group of near duplicates is in: a keyed hash of its name, and nothing else.

What holds:

- A group's split depends on its name, the key and the shares. Documents that are added or removed elsewhere, and the
  order of the corpus, change nothing; a larger ``dev`` takes from train and leaves test as it is.
- A group is named after the member whose hash is the smallest. One that joins n others changes the name, and with it
  perhaps the split of all, with a chance of 1 / (n + 1); where two groups become one, one of them moves to the other.
- Small corpora are the exception: of three groups or more, at least one is in each split whose share is above zero,
  and one in train. Where the hash gives a split none, it takes the group that is next to it by its hash. Such a group
  goes back as soon as the hash gives the split one of its own.
- Fewer than three groups are all in train: there is nothing to hold out.
"""

from __future__ import annotations

import hashlib
import hmac
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any, Protocol


class Places(Protocol):
    """Whole numbers that can be indexed: a list, or an array of numpy."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> Any: ...


TEST, DEV, TRAIN = "test", "dev", "train"
SPLITS = (TRAIN, DEV, TEST)
"""As people name them; arrays of documents hold places in it."""
POSITION_BITS = 53
"""As many as a float holds exactly: a share times two to the power of it is a whole number."""
WHOLE = 1 << POSITION_BITS
MIN_GROUPS = 3


def position(key: str, group: str) -> int:
    """Return the place of a group from 0 to 2^53: evenly spread, and the same on every machine."""
    digest = hmac.digest(key.encode(), group.encode(), hashlib.sha256)
    return int.from_bytes(digest[:8], "big") >> (64 - POSITION_BITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """Where the splits end on the line of positions: test lies first, then dev, then train."""

    first_dev: int
    first_train: int

    def split_of(self, place: int) -> str:
        """Return the split of a group's place."""
        return TEST if place < self.first_dev else DEV if place < self.first_train else TRAIN


def divide(places: Places, *, dev: float, test: float) -> Division:
    """Return the division of a corpus.

    Args:
        places: of all groups, sorted, each once.
        dev: share of the groups, from 0 on; together with test below 1.
        test: share of the groups.
    """
    groups = len(places)
    if groups < MIN_GROUPS:
        return Division(first_dev=0, first_train=0)
    test_end, dev_end = int(test * WHOLE), int((test + dev) * WHOLE)
    in_test, to_dev = bisect_left(places, test_end), bisect_left(places, dev_end)
    # Counts from the left; at least one for each that wants one, and one is left for train.
    wanted_test = max(in_test, int(test > 0))
    wanted_dev = max(to_dev, wanted_test + int(dev > 0))
    last = min(wanted_dev, groups - 1)
    first = min(wanted_test, last - int(dev > 0))
    return Division(
        first_dev=test_end if first == in_test else int(places[first]),
        first_train=dev_end if last == to_dev else int(places[last]),
    )
