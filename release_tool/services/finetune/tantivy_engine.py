"""The embedded search engine: an index on disk, built as a stream, mapped into memory to be searched.

The same documents give the same segments. One thread writes; it commits after every block of texts that fits into the
writer's memory, and merges end before the next block begins; every segment, merged or not, has its documents in the
order of the corpus. A killed build leaves nothing that is taken for an index.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, Self

from release_tool.documents import disk_error, write_atomic
from release_tool.errors import MachineError
from release_tool.services.finetune.analysis import AT_ONCE, in_blocks
from release_tool.services.finetune.analysis import engine as library
from release_tool.services.finetune.common_terms import (
    FEWEST_DOCUMENTS,
    MOST_FOUND,
    TIMES,
    Divided,
    divide,
    to_complete,
)
from release_tool.services.finetune.searching import K1, Found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from release_tool.core.finetune.mining import Hit
    from release_tool.services.finetune.analysis import Analysis

TEXT, PLACE, ANALYZER = "text", "place", "ours"
MADE_OF = "made-of.json"
TEXT_SHARE = 0.3
"""Share of the writer's memory that a block of texts has in bytes. The writer holds two to three bytes for one of text,
and would cut a segment by itself if it were full."""
QUERIES_AT_ONCE = 64
PLACES_AT_ONCE = 64
"""Twice as many take more than twice the time."""
KNOWN_TERMS = 1 << 16


def build(
    folder: Path, texts: Iterable[str], analysis: Analysis, *, memory: int, made_of: str, told: Callable[[int], None]
) -> None:
    """Build an index whole or not at all; one that was made of the same things is kept.

    Args:
        folder: where it will lie.
        texts: of all documents, in order; read once, some hundred at a time.
        analysis: how they are cut.
        memory: of the writer, in bytes.
        made_of: describes documents and analysis.
        told: is told how many documents were added since it was told last.

    Raises:
        MachineError: the disk is full.
    """
    if is_built(folder, made_of):
        return
    aside = folder.with_name(f"{folder.name}.part{os.getpid()}")
    for left in folder.parent.glob(f"{folder.name}.part*"):
        shutil.rmtree(left, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        _write(aside, texts, analysis, memory, told)
        write_atomic(aside / MADE_OF, made_of)
        aside.rename(folder)
    except OSError as error:
        raise disk_error(error, folder) from error
    except ValueError as error:  # all that its writer raises, a full disk included
        raise MachineError(f"The index can't be written: {error}", hint="Check the disk's free space.") from error


def is_built(folder: Path, made_of: str) -> bool:
    """Tell whether a whole index of the same things is there."""
    known = folder / MADE_OF
    return known.is_file() and known.read_text(encoding="utf-8") == made_of


def _write(folder: Path, texts: Iterable[str], analysis: Analysis, memory: int, told: Callable[[int], None]) -> None:
    tantivy = library()
    fields = tantivy.SchemaBuilder()
    fields.add_text_field(TEXT, tokenizer_name=ANALYZER, index_option="freq")
    fields.add_unsigned_field(PLACE, indexed=True, fast=True)
    index = tantivy.Index(fields.build(), str(folder), sort_by_field=PLACE)
    index.register_tokenizer(ANALYZER, analysis.analyzer)
    writer, size, place = None, 0, 0
    for block in in_blocks(texts, AT_ONCE):
        if writer is None:
            writer, size = index.writer(memory, 1), 0
        for text in analysis.prepared(block):
            document = tantivy.Document()
            document.add_text(TEXT, text)
            document.add_unsigned(PLACE, place)
            writer.add_document(document)
            size += len(text)
            place += 1
        told(len(block))
        if size > memory * TEXT_SHARE:
            _end(writer)
            writer = None
    if writer is not None:
        _end(writer)


def _end(writer: Any) -> None:
    writer.commit()
    writer.wait_merging_threads()


class TantivyEngine:
    """Searches an index that was built."""

    def __init__(self, folder: Path, analysis: Analysis, *, threads: int = 1) -> None:
        """Open an index.

        Args:
            folder: where it was built.
            analysis: as it was built with.
            threads: queries that are searched side by side; what they find is the same.
        """
        tantivy = library()
        self._index = tantivy.Index.open(str(folder))
        self._searcher = self._index.searcher()
        self._query: Any = tantivy.Query
        self._should, self._must = tantivy.Occur.Should, tantivy.Occur.Must
        self._analysis = analysis
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self.most = max(1, self._searcher.num_docs)
        # Of a term, once: frequent ones are in every other query, and the highest score takes a search.
        self._held = lru_cache(KNOWN_TERMS)(partial(self._searcher.doc_freq, TEXT))
        self._given = cache(self._highest)

    def search(self, texts: Sequence[str], limit: int) -> list[Found]:
        """See ``Engine``."""
        blocks = [texts[at : at + QUERIES_AT_ONCE] for at in range(0, len(texts), QUERIES_AT_ONCE)]
        found = (self._pool.map if self._pool else map)(lambda block: self._block(block, limit), blocks)
        return [one for block in found for one in block]

    def _block(self, texts: Sequence[str], limit: int) -> list[Found]:
        return [self._found(terms, limit) for terms in self._analysis.terms(texts)]

    def _found(self, terms: Sequence[str], limit: int) -> Found:
        if self.most >= FEWEST_DOCUMENTS and limit * TIMES <= MOST_FOUND:
            divided = divide(terms, self.most, self._held, self._given)
            if divided.common:
                return self._found_twice(divided, limit)
        hits = self._hits(self._any_of(terms), limit)
        return Found(hits, hits[-1][1] if len(hits) == limit else 0.0)

    def _found_twice(self, divided: Divided, limit: int) -> Found:
        most = limit * TIMES
        scores, addresses = self._best(self._any_of(divided.others), most)
        count, least = to_complete(scores, limit, most, divided.given)
        if not count:
            return Found([], least)
        places = self._places(addresses[:count])
        added = self._adds(divided.common, places)
        whole = [(place, score + more) for place, score, more in zip(places, scores[:count], added, strict=True)]
        return Found([hit for hit in whole if hit[1] > least], least)

    def _adds(self, terms: Sequence[str], places: list[int]) -> Iterator[float]:
        """Yield what the terms add to the score of the document at each place."""
        for block in in_blocks(places, PLACES_AT_ONCE):
            again = self._any_place(block)
            # One inside of the other: each term looks at these places alone, where a list of terms would be merged.
            for term in terms:
                again = self._query.boolean_query([(self._must, again), (self._should, self._term(term))])
            added = dict(self._hits(again, len(block)))
            yield from (added[place] for place in block)

    def _highest(self, term: str) -> float:
        """Return the highest score that a document has for a term."""
        return max(self._best(self._term(term), 1)[0], default=0.0)

    def _any_place(self, places: Iterable[int]) -> Any:
        """Return the query for documents at these places, which scores nothing."""
        any_of = self._query.boolean_query([(self._should, self._place(place)) for place in places])
        return self._query.const_score_query(any_of, 0.0)

    def _place(self, place: int) -> Any:
        return self._query.term_query(self._index.schema, PLACE, place, index_option="basic")

    def _hits(self, query: Any, limit: int) -> list[Hit]:
        scores, addresses = self._best(query, limit)
        return list(zip(self._places(addresses), scores, strict=True))

    def _best(self, query: Any, limit: int) -> tuple[list[float], list[Any]]:
        # Counting all that match would mean to look at each of them.
        hits = self._searcher.search(query, limit, count=False).hits
        return [score / (K1 + 1) for score, _ in hits], [address for _, address in hits]

    def _places(self, addresses: list[Any]) -> list[int]:
        places: list[int] = self._searcher.fast_field_values(PLACE, addresses)
        return places

    def _any_of(self, terms: Sequence[str]) -> Any:
        """Return the query for documents with any of the terms; its parser is never asked, which has a syntax."""
        return self._query.boolean_query([(self._should, self._term(term)) for term in terms])

    def _term(self, term: str) -> Any:
        return self._query.term_query(self._index.schema, TEXT, term, index_option="freq")

    def score(self, text: str, place: int) -> float:
        """See ``Engine``."""
        (terms,) = self._analysis.terms([text])
        both = self._query.boolean_query([(self._must, self._any_place([place])), (self._must, self._any_of(terms))])
        return next((score for _, score in self._hits(both, 1)), 0.0)

    def close(self) -> None:
        """See ``Engine``."""
        if self._pool is not None:
            self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
