"""Judge the queries of one part after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from release_tool.core.finetune.filtering import WRITTEN, Copies, Doubles, Judged, Reason, length_reason
from release_tool.core.finetune.records import Dropped, Kept, Query
from release_tool.core.finetune.stages import Stage
from release_tool.core.words import words_of
from release_tool.part_files import part_path, parts, read_part, read_rows, write_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from release_tool.core.finetune.sections import FilterSection
    from release_tool.document_table import DocumentTable
    from release_tool.steps.finetune.round_trips import RoundTrip
    from release_tool.steps.finetune.running import Work
    from release_tool.text_lookup import TextLookup

AT_ONCE = 1000
"""Queries whose documents are held together."""


class Filtering:
    """What judges a query beside the round trip."""

    def __init__(self, work: Work, table: DocumentTable) -> None:
        """Look at all queries once: which of those with one text is kept."""
        self.keys: FilterSection = work.recipe.filter
        self.table = table
        self.queries = work.of(Stage.QUERIES)
        self.looks_for_copies = work.recipe.queries.provider in WRITTEN and self.keys.copy_ratio < 1
        self._doubles = Doubles()
        for number, query in enumerate(read_rows(self.queries, Query)):
            one = self._by_itself(number, query)
            if one.reason is None:
                self._doubles.see(number, query.text, one.split)

    def _by_itself(self, number: int, query: Query) -> Judged:
        place = self.table.place(query.document)
        if place is None:
            return Judged(number, query, -1, "", Reason.UNKNOWN)
        words = len(words_of(query.text))
        reason = length_reason(words, least=self.keys.min_words, most=self.keys.max_words)
        return Judged(number, query, place, self.table.split(place), reason)

    def part(self, path: Path, first: int, texts: TextLookup | None) -> list[Judged]:
        """Judge the queries of a part by all but the round trip.

        Args:
            path: of the part.
            first: number of its first query.
            texts: of the documents; null where no copies are looked for.
        """
        judged = [self._with_doubles(number, query) for number, query in enumerate(read_part(path, Query), first)]
        if texts is None:
            return judged
        return [
            one for at in range(0, len(judged), AT_ONCE) for one in self._with_copies(judged[at : at + AT_ONCE], texts)
        ]

    def _with_doubles(self, number: int, query: Query) -> Judged:
        one = self._by_itself(number, query)
        if one.reason is not None or self._doubles.keeps(number, query.text, one.split):
            return one
        return replace(one, reason=Reason.DOUBLE)

    def _with_copies(self, judged: Sequence[Judged], texts: TextLookup) -> Iterator[Judged]:
        asked = [one for one in judged if one.reason is None]
        names = list(dict.fromkeys(one.query.document for one in asked))
        documents = dict(zip(names, texts.many(names), strict=True))
        name, copies = "", Copies(())
        for one in judged:
            if one.reason is None:
                if one.query.document != name:
                    name = one.query.document
                    copies = Copies(words_of(documents[name]))
                if copies.ratio(words_of(one.query.text)) > self.keys.copy_ratio:
                    yield replace(one, reason=Reason.COPY)
                    continue
            yield one


def filter_parts(work: Work, stack: ExitStack) -> None:
    """Make the parts that are not there: a part of ``dropped``, then one of ``kept``, for each part of ``queries``.

    Args:
        work: of the stage.
        stack: closes what is opened.
    """
    from release_tool.steps.finetune.engines import open_table
    from release_tool.steps.finetune.round_trips import round_trip_of
    from release_tool.text_lookup import TextLookup

    queries = parts(work.of(Stage.QUERIES), Query.STEM)
    if all(part_path(work.folder, Kept.STEM, number).is_file() for number in range(len(queries))):
        return
    table = open_table(work)
    filtering = Filtering(work, table)
    texts = None
    if filtering.looks_for_copies:
        texts = stack.enter_context(TextLookup.open(work.of(Stage.CORPUS), work.scratch))

    def judged() -> Iterator[tuple[int, list[Judged]]]:
        first = 0
        for number, path in enumerate(queries):
            rows = filtering.part(path, first, texts)
            first += len(rows)
            yield number, rows

    trip = round_trip_of(work, table, stack, lambda: (one for _, rows in judged() for one in rows if not one.reason))
    for number, rows in judged():
        out = part_path(work.folder, Kept.STEM, number)
        if not out.is_file():
            _write(work.folder, number, rows, trip)


def _write(folder: Path, number: int, rows: Sequence[Judged], trip: RoundTrip | None) -> None:
    asked = [one for one in rows if one.reason is None]
    found = trip.found(asked) if trip is not None else [True] * len(asked)
    lost = {one.number for one, is_found in zip(asked, found, strict=True) if not is_found}
    reasons = [Reason.NOT_FOUND if one.number in lost else one.reason for one in rows]
    pairs = list(zip(rows, reasons, strict=True))
    write_part(
        part_path(folder, Dropped.STEM, number),
        (Dropped(query=one.query.id, reason=reason.value) for one, reason in pairs if reason is not None),
    )
    # Last: where it is there, the part is finished.
    write_part(
        part_path(folder, Kept.STEM, number),
        (
            Kept(query=one.query.id, document=one.query.document, split=one.split)
            for one, reason in pairs
            if reason is None
        ),
    )
