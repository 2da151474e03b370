"""Search candidates for the queries of one part after the other."""

from __future__ import annotations

import math
from array import array
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Self

from release_tool.core.finetune.dividing import DEV, SPLITS, TRAIN
from release_tool.core.finetune.filtering import normal
from release_tool.core.finetune.mining import ALLOWED, Hit, Rules, choose
from release_tool.core.finetune.records import Judgement, Kept, Mined, Query
from release_tool.core.finetune.stages import Stage
from release_tool.errors import IntegrityError
from release_tool.part_files import make_part, read_part, read_rows
from release_tool.services.finetune.searching import search_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np

    from release_tool.document_table import DocumentTable
    from release_tool.services.finetune.searching import Engine
    from release_tool.steps.finetune.running import Work

AT_ONCE = 2000
"""Queries that are searched together."""
SEARCHED = 10_000
"""Hits that are looked at for a query at most: what a cluster's index returns, too."""
SLACK = 16
"""Hits more than are needed: near duplicates and ties."""


class Answers:
    """Documents that answer something, by the hash of what they answer: 12 bytes each."""

    def __init__(self, pairs: Iterable[tuple[str, int | None]]) -> None:
        """Hold (what is asked, place of a document) pairs; a place that is null is left out."""
        import numpy as np

        keys, places = array("Q"), array("L")
        for asked, place in pairs:
            if place is not None:
                keys.append(_key(asked))
                places.append(place)
        found = np.array(keys, np.uint64)
        order = np.argsort(found, kind="stable")
        self._keys: np.ndarray = found[order]
        self._places: np.ndarray = np.array(places, np.uint32)[order]

    def of(self, asked: str) -> list[int]:
        """Return the places of documents that answer."""
        import numpy as np

        key = np.uint64(_key(asked))
        first, end = (int(self._keys.searchsorted(key, side)) for side in ("left", "right"))
        return [int(place) for place in self._places[first:end]]


def _key(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class Mining:
    """What the search for candidates needs beside the engine."""

    def __init__(self, work: Work, table: DocumentTable, engine: Engine) -> None:
        """Read which documents answer which queries: what is judged, and what the same text was written for."""
        from release_tool.text_lookup import TextLookup

        keys = work.recipe.mine
        self.rules = Rules(depth=keys.depth, skip=keys.skip, max_share=keys.max_share)
        self.table, self.engine = table, engine
        self._texts = TextLookup.open(work.of(Stage.QUERIES), work.scratch, Query)
        queries = work.of(Stage.QUERIES)
        self._judged = Answers(
            (row.query, table.place(row.document)) for row in read_rows(queries, Judgement) if row.grade > 0
        )
        self._written = Answers((normal(row.text), table.place(row.document)) for row in read_rows(queries, Query))
        self._limits = {split: self._limit(split) for split in ALLOWED}

    def _limit(self, split: str) -> int:
        """Return how many hits hold as many as are wanted of the splits that a query may have, as a rule."""
        import numpy as np

        counts = np.bincount(self.table.splits, minlength=len(SPLITS))
        share = sum(int(counts[SPLITS.index(one)]) for one in ALLOWED[split]) / max(len(self.table), 1)
        return math.ceil(1.1 * self.rules.wanted / max(share, 0.1)) + SLACK

    def part(self, path: Path) -> Iterator[Mined]:
        """Yield a row for each query of train and dev in a part of ``kept``, in order."""
        rows = [row for row in read_part(path, Kept) if row.split in ALLOWED]
        for at in range(0, len(rows), AT_ONCE):
            block = rows[at : at + AT_ONCE]
            texts = self._texts.many(row.query for row in block)
            found: dict[int, Mined] = {}
            for split in (TRAIN, DEV):
                numbers = [number for number, row in enumerate(block) if row.split == split]
                mined = self._search(split, [block[one] for one in numbers], [texts[one] for one in numbers])
                found |= zip(numbers, mined, strict=True)
            yield from (found[number] for number in range(len(block)))

    def _search(self, split: str, rows: Sequence[Kept], texts: Sequence[str]) -> list[Mined]:
        allowed = [self._allowed(row, text) for row, text in zip(rows, texts, strict=True)]
        own = [self._own(row, text) for row, text in zip(rows, texts, strict=True)]

        def chosen(number: int, hits: list[Hit]) -> tuple[Hit, ...]:
            return choose(hits, self.rules, is_allowed=allowed[number].allows, own=own[number])

        def enough(number: int, hits: list[Hit]) -> bool:
            return len(hits) >= SEARCHED or own[number] == 0 or len(chosen(number, hits)) == self.rules.depth

        found = search_until(self.engine, texts, self._limits[split], enough)
        return [
            self._mined(row, chosen(number, hits)) for number, (row, hits) in enumerate(zip(rows, found, strict=True))
        ]

    def _own(self, row: Kept, text: str) -> float | None:
        """Return the positive's own score; null where it decides nothing."""
        return self.engine.score(text, self._place(row)) if self.rules.max_share else None

    def _allowed(self, row: Kept, text: str) -> _Allowed:
        answers = {self._place(row), *self._judged.of(row.query), *self._written.of(normal(text))}
        return _Allowed(self.table, row.split, answers)

    def _place(self, row: Kept) -> int:
        place = self.table.place(row.document)
        if place is None:
            raise IntegrityError(
                "A query was kept whose document is not in the corpus.", hint="Run finetune filter --again."
            )
        return place

    def _mined(self, row: Kept, hits: Sequence[Hit]) -> Mined:
        return Mined(
            query=row.query,
            positive=row.document,
            split=row.split,
            documents=tuple(self.table.id(place) for place, _ in hits),
            scores=tuple(score for _, score in hits),
        )

    def close(self) -> None:
        """Close files and engine."""
        self._texts.close()
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Allowed:
    """The documents that may be candidates of one query."""

    __slots__ = ("_groups", "_splits", "_table")

    def __init__(self, table: DocumentTable, split: str, answers: Iterable[int]) -> None:
        self._table = table
        self._splits = {SPLITS.index(one) for one in ALLOWED[split]}
        self._groups = {int(table.groups[place]) for place in answers}

    def allows(self, place: int) -> bool:
        """Tell whether a document may be one."""
        return int(self._table.splits[place]) in self._splits and int(self._table.groups[place]) not in self._groups


def mine_parts(work: Work, missing: Sequence[tuple[Path, Path]]) -> None:
    """Make the parts that are not there.

    Args:
        work: of the stage.
        missing: a part of ``kept``, and the part to be made of it.
    """
    from release_tool.steps.finetune.engines import open_engine, open_table

    table = open_table(work)
    with (
        Mining(work, table, open_engine(work, table)) as mining,
        work.context.console.progress("Search", len(missing), "parts") as bar,
    ):
        for path, out in missing:
            make_part(out, partial(mining.part, path))
            bar.advance(1)
