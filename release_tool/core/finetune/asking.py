"""Which documents queries are made of: a sample by hash, divided over train, dev and test in their proportion."""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from release_tool.core.finetune.dividing import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterable

FEW = 10
"""Documents of a split that are asked about at least, where it has them and the sample is no smaller than ten times
as many."""


@dataclass
class _Drawn:
    """The documents of one split with the lowest hashes."""

    size: int
    count: int = 0
    heap: list[tuple[int, int]] = field(default_factory=list)
    """(-hash, row): the highest hash first, so that it goes out first."""

    def add(self, order: int, row: int) -> None:
        self.count += 1
        if len(self.heap) < self.size:
            heapq.heappush(self.heap, (-order, row))
        else:
            heapq.heappushpop(self.heap, (-order, row))

    def lowest(self, count: int) -> list[int]:
        return [row for _, row in heapq.nlargest(count, self.heap)]


def draw(rows: Iterable[tuple[int, str, str]], size: int, seed: int) -> list[int]:
    """Return the rows of the documents that are asked about, in the order of the corpus.

    Adding documents to a corpus changes few of those that are drawn. Memory: at most ``size`` rows a split.

    Args:
        rows: (row in the corpus, id, split) of every document that may be drawn.
        size: documents at most.
        seed: of the hash.
    """
    drawn = {split: _Drawn(size) for split in SPLITS}
    for row, name, split in rows:
        drawn[split].add(_order(name, seed), row)
    shares = share_out({split: one.count for split, one in drawn.items()}, size)
    return sorted(row for split, one in drawn.items() for row in one.lowest(shares[split]))


def _order(name: str, seed: int) -> int:
    data = f"queries:{seed}:{name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")


def share_out(counts: dict[str, int], size: int) -> dict[str, int]:
    """Divide a sample in proportion to some counts, whole numbers, none of them left without a few.

    Args:
        counts: name → how many there are.
        size: how many are wanted of all; less where there are not as many.
    """
    total = sum(counts.values())
    if size >= total:
        return dict(counts)
    few = min(FEW, max(1, size // FEW))
    exact = {name: size * count / total for name, count in counts.items()}
    shares = {name: min(count, max(int(exact[name]), few)) for name, count in counts.items()}
    order = list(counts)
    while sum(shares.values()) < size:
        room = [name for name in order if shares[name] < counts[name]]
        shares[max(room, key=lambda name: exact[name] - shares[name])] += 1
    while sum(shares.values()) > size:
        shares[max(order, key=lambda name: (shares[name], order.index(name)))] -= 1
    return shares
