"""Who must find a query's document again: BM25 over the whole corpus, or the base model's own embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from release_tool.core.finetune.filtering import JUDGED
from release_tool.services.finetune.searching import search_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import ExitStack

    from release_tool.core.finetune.filtering import Judged
    from release_tool.core.finetune.mining import Hit
    from release_tool.document_table import DocumentTable
    from release_tool.services.finetune.searching import Engine
    from release_tool.steps.finetune.running import Work

AT_ONCE = 2000
"""Queries that are searched together."""
SLACK = 16


class RoundTrip(Protocol):
    """Searches the document that a query was made of."""

    def found(self, asked: Sequence[Judged]) -> list[bool]:
        """Tell of each query whether its document is found again."""
        ...


def round_trip_of(
    work: Work, table: DocumentTable, stack: ExitStack, asked: Callable[[], Iterator[Judged]]
) -> RoundTrip | None:
    """Return who searches; null where nobody must.

    Args:
        work: of the stage.
        table: of its documents.
        stack: closes what is opened.
        asked: gives all queries that will be asked, in order.
    """
    keys = work.recipe.filter
    if keys.round_trip == "none" or work.recipe.queries.provider in JUDGED:
        return None
    if keys.round_trip == "model":
        from release_tool.steps.finetune.model_trip import ModelTrip

        return ModelTrip(work, table, asked())
    from release_tool.steps.finetune.engines import open_engine

    engine = open_engine(work, table)
    stack.callback(engine.close)
    return WordTrip(engine, table, keys.round_trip_depth)


class WordTrip:
    """BM25: the document must be among the first; near duplicates of it take no place."""

    def __init__(self, engine: Engine, table: DocumentTable, depth: int) -> None:
        """Take an engine over the whole corpus, and how many places there are."""
        self._engine, self._table, self._depth = engine, table, depth

    def found(self, asked: Sequence[Judged]) -> list[bool]:
        """See ``RoundTrip``."""
        return [is_found for at in range(0, len(asked), AT_ONCE) for is_found in self._block(asked[at : at + AT_ONCE])]

    def _block(self, asked: Sequence[Judged]) -> list[bool]:
        def places(number: int, hits: Sequence[Hit]) -> list[int]:
            source, groups = asked[number].place, self._table.groups
            others = (place for place, _ in hits if place == source or groups[place] != groups[source])
            return [place for place, _ in zip(others, range(self._depth), strict=False)]

        def enough(number: int, hits: list[Hit]) -> bool:
            first = places(number, hits)
            return len(first) == self._depth or asked[number].place in first

        texts = [one.query.text for one in asked]
        ranks = search_until(self._engine, texts, self._depth + SLACK, enough)
        return [one.place in places(number, hits) for number, (one, hits) in enumerate(zip(asked, ranks, strict=True))]
