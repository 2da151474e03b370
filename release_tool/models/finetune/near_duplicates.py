"""Groups of documents that are duplicates of each other, directly or through others (connected components).

One band of the sketches is in memory at a time; pairs that it brings together are compared by their triples, and only
where they are not in one group already. Numbers of documents are those of their order in the corpus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from release_tool.models.finetune.sketches import KEPT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from release_tool.models.finetune.sketches import SketchFiles

    Places = NDArray[np.int64]

WINDOW = 64
"""Documents of one bucket that each is compared with: two that are alike meet in eight buckets of other neighbours."""
MAX_UNLIKE = 4_000_000
"""Pairs that are remembered not to be alike: they meet again in other bands. Eight bytes each."""
MOST_FAILURES = 256
"""Documents that one is found not to be like, after which it is compared with no further ones of a bucket that has more
than ``WINDOW``: where a million are made of one form, they meet in every band. Who is like it has more than the form in
common with it, and meets it in small buckets, too."""
AT_ONCE = 2048
"""Pairs that are compared together: at most 512 numbers of 8 bytes each, sorted."""


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


class Triples:
    """The kept triples of every document, read where they lie."""

    def __init__(self, files: SketchFiles) -> None:
        """Open them."""
        self._ends = np.cumsum(files.read("counts", np.int64))
        path = files.folder / "triples"
        # An empty file can't be mapped.
        self._triples: NDArray[np.uint32] = (
            np.memmap(path, dtype=np.uint32, mode="r") if path.stat().st_size else np.zeros(0, np.uint32)
        )

    def similarities(self, ones: Places, others: Places) -> NDArray[np.float64]:
        """Return the share of common triples of pairs of documents: exact up to ``KEPT`` of them, else estimated.

        Of the smallest hashes of the union both sets are known; it is a random sample of the union.
        """
        sizes = np.concatenate((self._counts(ones), self._counts(others)))
        pairs = np.tile(np.arange(len(ones), dtype=np.uint64), 2)
        starts = self._ends[np.concatenate((ones, others))] - sizes
        inside = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        hashes = self._triples[np.repeat(starts, sizes) + inside].astype(np.uint64)
        both = np.sort(np.repeat(pairs, sizes) << np.uint64(32) | hashes)
        is_new = np.append(True, both[1:] != both[:-1])
        union = both[is_new]
        is_common = np.diff(np.append(np.flatnonzero(is_new), len(both))) > 1
        owners = (union >> np.uint64(32)).astype(np.int64)
        is_whole = (self._counts(ones) < KEPT) & (self._counts(others) < KEPT)
        rank = np.arange(len(union)) - np.searchsorted(owners, np.arange(len(ones)))[owners]
        kept = is_whole[owners] | (rank < KEPT)
        common = np.bincount(owners[kept], weights=is_common[kept], minlength=len(ones))
        found: NDArray[np.float64] = common / np.bincount(owners[kept], minlength=len(ones))
        return found

    def _counts(self, places: Places) -> Places:
        return self._ends[places] - np.where(places > 0, self._ends[places - 1], 0)


class Unlike:
    """What was found not to be alike: the pairs, up to a number of them, and how often each document was."""

    def __init__(self, count: int) -> None:
        self.failures = np.zeros(count, dtype=np.int32)
        self._pairs = np.zeros(0, dtype=np.int64)
        self._new: list[Places] = []

    def wanted(self, ones: Places, others: Places, is_large: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell which pairs are worth a comparison; see ``bucket_pairs`` for what they are."""
        failures = np.maximum(self.failures[ones], self.failures[others])
        found: NDArray[np.bool_] = ~is_large | (failures < MOST_FAILURES)
        if len(self._pairs):
            pairs = ones << 32 | others
            place = np.minimum(np.searchsorted(self._pairs, pairs), len(self._pairs) - 1)
            found &= self._pairs[place] != pairs
        return found

    def add(self, ones: Places, others: Places) -> None:
        """Remember pairs; in one band, none of them comes again."""
        np.add.at(self.failures, ones, 1)
        np.add.at(self.failures, others, 1)
        if len(self._pairs) + sum(map(len, self._new)) < MAX_UNLIKE:
            self._new.append(ones << 32 | others)

    def settle(self) -> None:
        """Make what was remembered of a band known to the next one."""
        self._pairs = np.sort(np.concatenate((self._pairs, *self._new)), kind="stable")
        self._new = []


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


def bucket_pairs(keys: NDArray[np.uint64], places: Places) -> Iterator[tuple[Places, Places, NDArray[np.bool_]]]:
    """Yield pairs of places with equal keys that are less than ``WINDOW`` apart in their bucket: the closest first.

    With them comes whether the bucket of each pair has more documents than that.

    Args:
        keys: one a place.
        places: in rising order.
    """
    order = np.argsort(keys, kind="stable")
    ranked, members = keys[order], places[order]
    sizes = np.diff(np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1], [True]))))
    is_large = np.repeat(sizes > WINDOW, sizes)
    starts = np.flatnonzero(ranked[1:] == ranked[:-1])
    for distance in range(1, WINDOW):
        starts = starts[starts + distance < len(ranked)]
        starts = starts[ranked[starts] == ranked[starts + distance]]
        if not len(starts):
            return
        yield members[starts], members[starts + distance], is_large[starts]


def _join_near(files: SketchFiles, components: Components, similarity: float, advance: Callable[[], None]) -> None:
    # Of exact duplicates one is enough: the others have the same triples.
    places = np.flatnonzero(components.parent == np.arange(len(components.parent)))
    unlike, triples = Unlike(len(components.parent)), Triples(files)
    for band in range(files.bands):
        keys = files.read(f"band-{band:03}")[places]
        for ones, others, is_large in bucket_pairs(keys, places):
            for at in range(0, len(ones), AT_ONCE):
                some = slice(at, at + AT_ONCE)
                asked = components.roots(ones[some]) != components.roots(others[some])
                asked &= unlike.wanted(ones[some], others[some], is_large[some])
                if asked.any():
                    _compare(ones[some][asked], others[some][asked], components, similarity, triples, unlike)
        unlike.settle()
        advance()


def _compare(
    ones: Places, others: Places, components: Components, similarity: float, triples: Triples, unlike: Unlike
) -> None:
    """Join those of some pairs that are alike, and remember the others."""
    is_alike = triples.similarities(ones, others) >= similarity
    for one, other in zip(ones[is_alike].tolist(), others[is_alike].tolist(), strict=True):
        components.join(one, other)
    unlike.add(ones[~is_alike], others[~is_alike])
