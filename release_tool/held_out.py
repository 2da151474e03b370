"""The held-out queries of a run over its own documents, read as a stream like a judged set on disk.

A query counts where every row that the filter kept of it belongs to split ``test``. Relevant are the document that it
was made of and the near duplicates of that one, which answer as well; own queries are judged by their own grades.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.core.beir import Entry
from release_tool.core.finetune.dividing import TEST
from release_tool.core.finetune.records import Document, Grouped, Judgement, Kept, Query
from release_tool.core.probes import Probe, Role
from release_tool.part_files import PartWriter, read_rows
from release_tool.sets import query_probes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "held-out"
HASH_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Documents to search, queries, judgements; the same questions as of ``sets.JudgedSet``."""

    folder: Path
    """Of the parts of documents that are searched."""
    documents: int
    queries: dict[str, str]
    """Id → text, in the order of the filter."""
    grades: dict[str, dict[str, int]]
    """Query → document → grade; every query has a document above 0."""
    sha256: str
    name: str = NAME

    def entries(self) -> Iterator[Entry]:
        """Yield every document that is searched, in the order of the corpus."""
        for row in read_rows(self.folder, Document):
            yield Entry(row.id, row.whole)

    def texts(self) -> Iterator[str]:
        """Yield the documents' texts."""
        for entry in self.entries():
            yield entry.text

    def document_probes(self) -> Iterator[Probe]:
        """Yield the documents as what is encoded."""
        return document_probes(self.folder)

    def query_probes(self) -> Iterator[Probe]:
        """Yield the queries as what is encoded."""
        return query_probes(self.queries.values())


def document_probes(folder: Path) -> Iterator[Probe]:
    """Yield the documents of some parts as what is encoded."""
    for index, row in enumerate(read_rows(folder, Document)):
        yield Probe(id=str(index), shape="document", text=row.whole, role=Role.PASSAGE)


def open_held_out(corpus: Path, queries: Path, kept: Path, sample: Path, *, limit: int, seed: int) -> HeldOut | None:
    """Return what is held out; null where no query is.

    Args:
        corpus: folder of documents and groups.
        queries: folder of the queries and, of own ones, their judgements.
        kept: folder of what the filter kept.
        sample: folder that the documents are copied into where there are more than ``limit``.
        limit: documents that are searched at most, the judged ones besides; a sample by hash.
        seed: of the sample.
    """
    wanted = _wanted(kept)
    texts = {row.id: row.text for row in read_rows(queries, Query) if row.id in wanted}
    grades = _grades(corpus, queries, {query: wanted[query] for query in wanted if query in texts})
    judged = {name for of in grades.values() for name in of}
    below, known = _look(corpus, limit, seed, judged)
    grades = {query: {name: of[name] for name in of if name in known} for query, of in grades.items()}
    grades = {query: of for query, of in grades.items() if max(of.values(), default=0) > 0}
    if not grades:
        return None
    asked = {query: texts[query] for query in grades}
    digest = hashlib.sha256(json.dumps([asked, grades], ensure_ascii=False, sort_keys=True).encode())
    documents = 0
    with PartWriter(sample, Document.STEM) if below is not None else nullcontext() as writer:
        for row in read_rows(corpus, Document):
            if below is not None and row.id not in judged and place_of(row.id, seed) >= below:
                continue
            digest.update(json.dumps([row.id, row.whole], ensure_ascii=False).encode())
            documents += 1
            if writer is not None:
                writer.add(row)
    folder = corpus if below is None else sample
    return HeldOut(folder=folder, documents=documents, queries=asked, grades=grades, sha256=digest.hexdigest())


def place_of(name: str, seed: int) -> int:
    """Return the place of a document in the order by hash, from 0 to 2**64 - 1."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=HASH_BYTES).digest(), "big")


def _wanted(kept: Path) -> dict[str, dict[str, None]]:
    """Return query → its documents, for queries of which nothing was trained or chosen on."""
    found: dict[str, dict[str, None]] = {}
    other = set()
    for row in read_rows(kept, Kept):
        if row.split == TEST:
            found.setdefault(row.query, {})[row.document] = None
        else:
            other.add(row.query)
    return {query: documents for query, documents in found.items() if query not in other}


def _grades(corpus: Path, queries: Path, wanted: dict[str, dict[str, None]]) -> dict[str, dict[str, int]]:
    judged: dict[str, dict[str, int]] = {}
    for row in read_rows(queries, Judgement):
        if row.query in wanted:
            judged.setdefault(row.query, {})[row.document] = row.grade
    made = {query: documents for query, documents in wanted.items() if query not in judged}
    sources = {name for documents in made.values() for name in documents}
    group_of = {row.id: row.group for row in read_rows(corpus, Grouped) if row.id in sources}
    groups = set(group_of.values())
    members: dict[str, list[str]] = {}
    for one in read_rows(corpus, Grouped):
        if one.group in groups:
            members.setdefault(one.group, []).append(one.id)
    for query, documents in made.items():
        for name in documents:
            for other in members.get(group_of.get(name, name), [name]):
                judged.setdefault(query, {})[other] = 1
    return {query: judged[query] for query in wanted}


def _look(corpus: Path, limit: int, seed: int, judged: set[str]) -> tuple[int | None, set[str]]:
    """Return below which hash documents are taken, null for all; and which of the judged ones exist."""
    places, known = array("Q"), set()
    for row in read_rows(corpus, Document):
        places.append(place_of(row.id, seed))
        if row.id in judged:
            known.add(row.id)
    if len(places) <= limit:
        return None, known
    import numpy as np

    return int(np.partition(np.frombuffer(places, np.uint64), limit)[limit]), known
