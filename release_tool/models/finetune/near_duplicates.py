"""Groups of documents that are duplicates of each other, directly or through others (connected components).

One band of the sketches is in memory at a time; pairs that it brings together are compared by their triples, and only
where they are not in one group already. Numbers of documents are those of their order in the corpus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from release_tool.models.finetune.sketches import KEPT, Pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from release_tool.models.finetune.sketches import SketchFiles

    Places = NDArray[np.int64]

WINDOW = 64
"""Documents of one bucket that each is compared with: two that are alike meet in eight buckets of other neighbours."""
MAX_UNLIKE = 1_000_000
"""Pairs that are remembered not to be alike: they meet again in other bands."""


class Components:
    """Union-find over the numbers 0 to n - 1; the smallest number of a component stands for it."""

    def __init__(self, count: int) -> None:
        self.parent = np.arange(count, dtype=np.int64)

    def roots(self, places: Places) -> Places:
        """Return who stands for each of these."""
        found: Places = self.parent[places]
        while True:
            above = self.parent[found]
            if np.array_equal(above, found):
                return found
            found = above

    def root(self, place: int) -> int:
        """Return who stands for one; the way there is made shorter."""
        parent = self.parent
        while (above := int(parent[place])) != place:
            parent[place] = parent[above]
            place = above
        return place

    def join(self, one: int, other: int) -> None:
        """Make one component of two."""
        first, second = self.root(one), self.root(other)
        self.parent[max(first, second)] = min(first, second)


class Triples(Pieces):
    """The kept triples of every document."""

    def __init__(self, files: SketchFiles) -> None:
        super().__init__(files, "triples", "counts", 4)

    def hashes(self, place: int) -> frozenset[int]:
        """Return those of one document."""
        return frozenset(np.frombuffer(self.of(place), dtype=np.uint32).tolist())

    def similarity(self, one: int, other: int) -> float:
        """Return the share of common triples of two documents: exact up to ``KEPT`` of them, else estimated."""
        first, second = self.hashes(one), self.hashes(other)
        if len(first) < KEPT and len(second) < KEPT:
            return len(first & second) / len(first | second)
        # Of the smallest hashes of the union both sets are known; it is a random sample of the union.
        smallest = sorted(first | second)[:KEPT]
        return sum(one in first and one in second for one in smallest) / len(smallest)


def group(files: SketchFiles, advance: Callable[[], None] = lambda: None) -> Places:
    """Return for each document the number of the one that its group is named after.

    That is the member whose id has the smallest hash, wherever it stands in the corpus.

    Args:
        files: sketches of all documents.
        advance: called after each band.
    """
    names = files.read("names")
    count = len(names)
    components = Components(count)
    firsts, others = equal_pairs(files.read("exact"))
    components.parent[others] = firsts
    if files.similarity is not None:
        _join_near(files, components, files.similarity, advance)
    roots = components.roots(np.arange(count, dtype=np.int64))
    order = np.lexsort((names, roots))
    sorted_roots = roots[order]
    is_first = np.ones(count, dtype=bool)
    is_first[1:] = sorted_roots[1:] != sorted_roots[:-1]
    named = np.empty(count, dtype=np.int64)
    named[order] = order[is_first][np.cumsum(is_first) - 1]
    return named


def equal_pairs(keys: NDArray[np.uint64]) -> tuple[Places, Places]:
    """Return the first place of a key beside each further place of the same key.

    Args:
        keys: one a place.
    """
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    starts = np.ones(len(keys), dtype=bool)
    starts[1:] = ranked[1:] != ranked[:-1]
    owners = order[starts][np.cumsum(starts) - 1]
    return owners[~starts], order[~starts]


def bucket_pairs(keys: NDArray[np.uint64], places: Places) -> Iterator[tuple[Places, Places]]:
    """Yield pairs of places with equal keys that are less than ``WINDOW`` apart in their bucket: the closest first.

    Args:
        keys: one a place.
        places: in rising order.
    """
    order = np.argsort(keys, kind="stable")
    ranked, members = keys[order], places[order]
    starts = np.flatnonzero(ranked[1:] == ranked[:-1])
    for distance in range(1, WINDOW):
        starts = starts[starts + distance < len(ranked)]
        starts = starts[ranked[starts] == ranked[starts + distance]]
        if not len(starts):
            return
        yield members[starts], members[starts + distance]


def _join_near(files: SketchFiles, components: Components, similarity: float, advance: Callable[[], None]) -> None:
    # Of exact duplicates one is enough: the others have the same triples.
    places = np.flatnonzero(components.parent == np.arange(len(components.parent)))
    unlike: set[int] = set()
    with Triples(files) as triples:
        for band in range(files.bands):
            keys = files.read(f"band-{band:03}")[places]
            for ones, others in bucket_pairs(keys, places):
                apart = components.roots(ones) != components.roots(others)
                for one, other in zip(ones[apart].tolist(), others[apart].tolist(), strict=True):
                    pair = one << 32 | other
                    if pair in unlike or components.root(one) == components.root(other):
                        continue
                    if triples.similarity(one, other) >= similarity:
                        components.join(one, other)
                    elif len(unlike) < MAX_UNLIKE:
                        unlike.add(pair)
            advance()
