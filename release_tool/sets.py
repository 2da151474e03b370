"""A judged set on disk, read as a stream: a million documents are never in memory at once.

``open_set`` looks at every line once, so that what is wrong with a set is said before anything is encoded; the digest
over its files says later what was measured on.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.bounded import NotReadable, open_regular
from release_tool.core.beir import CORPUS, QRELS, QUERIES, Entry, choose_qrels, parse_entry, parse_judgement, wrong
from release_tool.core.digest import sha256_bytes
from release_tool.core.probes import Probe, Role
from release_tool.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

MAX_LINE = 4 << 20
"""Bytes: 100,000 characters of any script, escaped, and what stands beside them."""
MOST_EMPTY = 0.01
"""Share of documents without a text: collections have one or two (Cranfield has), a broken conversion has many."""
BLOCK_TEXTS = 1024
"""Texts that are encoded together: half a minute of work, 12 MB of tokens; what a killed run loses at most."""
BLOCK_CHARACTERS = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSet:
    """A set that was looked through."""

    name: str
    folder: Path
    files: dict[str, str]
    """Path in the set → sha256."""
    documents: int
    """That have a text."""
    empty: tuple[str, ...]
    """Ids of those that have none: nobody can find them, also where they are judged relevant."""
    queries: dict[str, str]
    """Id → text of every query that somebody judged, in the order of queries.jsonl."""
    grades: dict[str, dict[str, int]]
    """Query → document → grade; every query has a document above 0."""
    unjudged: int
    """Queries that are not asked."""

    @property
    def sha256(self) -> str:
        """The digest over the digests of its files."""
        return sha256_bytes(json.dumps(self.files, sort_keys=True).encode())

    def entries(self) -> Iterator[Entry]:
        """Yield every document that has a text, in the order of the file.

        Raises:
            IntegrityError: the file is not the one that was looked through.
        """
        digest = hashlib.sha256()
        for number, line in _lines(self.folder, CORPUS, digest):
            entry = parse_entry(line, f"{self.name}/{CORPUS}, line {number}")
            if entry.text:
                yield entry
        if digest.hexdigest() != self.files[CORPUS]:
            raise IntegrityError(f"{CORPUS} of {self.name} was changed while it was read.", hint="Run it again.")

    def texts(self) -> Iterator[str]:
        """Yield the documents' texts."""
        for entry in self.entries():
            yield entry.text

    def document_probes(self) -> Iterator[Probe]:
        """Yield the documents as what is asked."""
        for index, entry in enumerate(self.entries()):
            yield Probe(id=str(index), shape="document", text=entry.text, role=Role.PASSAGE)

    def query_probes(self) -> Iterator[Probe]:
        """Yield the judged queries as what is asked."""
        return query_probes(self.queries.values())


def query_probes(texts: Iterable[str]) -> Iterator[Probe]:
    """Yield queries as what is asked."""
    for index, text in enumerate(texts):
        yield Probe(id=str(index), shape="query", text=text, role=Role.QUERY)


def own_texts(entries: Iterable[Entry], queries: Mapping[str, str]) -> dict[str, str]:
    """Return the queries that are documents of the set themselves, under the same id: nobody searches what they have.

    The id alone says nothing: many sets count queries and documents from 1.
    """
    return {
        entry.id: entry.id
        for entry in entries
        if (text := queries.get(entry.id)) is not None and entry.text.endswith(text)
    }


@dataclass(frozen=True, slots=True)
class Block:
    """Some texts or pairs that are encoded together."""

    probes: tuple[Probe, ...]

    @property
    def name(self) -> str:
        """Name by content: what was encoded once is found again."""
        rows = [[probe.text, probe.second, probe.role] for probe in self.probes]
        return sha256_bytes(json.dumps(rows, ensure_ascii=False).encode())[:40]


def blocks(probes: Iterable[Probe]) -> Iterator[Block]:
    """Cut a stream into blocks of bounded size."""
    held: list[Probe] = []
    size = 0
    for probe in probes:
        length = len(probe.text) + len(probe.second or "")
        if held and (len(held) == BLOCK_TEXTS or size + length > BLOCK_CHARACTERS):
            yield Block(tuple(held))
            held, size = [], 0
        held.append(probe)
        size += length
    if held:
        yield Block(tuple(held))


def open_set(folder: Path, name: str) -> JudgedSet:
    """Look through a set.

    Raises:
        UsageError: a file is missing or says what it can't; the file and the line are named.
    """
    digests: dict[str, str] = {}
    known, empty = _ids(folder, name, CORPUS, digests)
    queries, blank = _queries(folder, name, digests)
    try:
        names = sorted(path.name for path in (folder / QRELS).iterdir() if path.suffix == ".tsv")
    except OSError as error:
        raise wrong(f"{name}/{QRELS}", f"it can't be read ({error.strerror})") from error
    chosen = f"{QRELS}/{choose_qrels(names, name)}"
    digest = hashlib.sha256()
    grades: dict[str, dict[str, int]] = {}
    for number, line in _lines(folder, chosen, digest):
        where = f"{name}/{chosen}, line {number}"
        found = parse_judgement(line, where)
        if found is None:
            continue
        if found.query not in queries and found.query not in blank:
            raise wrong(where, f"{QUERIES} has no query {found.query[:80]!r}")
        if found.document not in known:
            raise wrong(where, f"{CORPUS} has no document {found.document[:80]!r}")
        if found.query in blank:
            raise wrong(where, f"it judges for the query {found.query[:80]!r}, which is empty")
        of_query = grades.setdefault(found.query, {})
        if of_query.setdefault(found.document, found.grade) != found.grade:
            raise wrong(where, f"it judges {found.document[:80]!r} another time and in another way")
    digests[chosen] = digest.hexdigest()
    judged = {query: text for query, text in queries.items() if max(grades.get(query, {}).values(), default=0) > 0}
    if not judged:
        raise wrong(f"{name}/{chosen}", "it judges no document relevant to any query")
    return JudgedSet(
        name=name,
        folder=folder,
        files=dict(sorted(digests.items())),
        documents=len(known) - len(empty),
        empty=tuple(sorted(empty)),
        queries=judged,
        grades={query: grades[query] for query in judged},
        unjudged=len(queries) + len(blank) - len(judged),
    )


def _ids(folder: Path, name: str, file: str, digests: dict[str, str]) -> tuple[set[str], set[str]]:
    digest = hashlib.sha256()
    known: set[str] = set()
    empty: set[str] = set()
    for number, line in _lines(folder, file, digest):
        where = f"{name}/{file}, line {number}"
        entry = parse_entry(line, where)
        if entry.id in known:
            raise wrong(where, f"the id {entry.id[:80]!r} is given twice")
        known.add(entry.id)
        if not entry.text:
            empty.add(entry.id)
    if not known:
        raise wrong(f"{name}/{file}", "it has no document")
    if len(empty) > MOST_EMPTY * len(known):
        raise wrong(f"{name}/{file}", f"{len(empty)} of {len(known)} documents have no text, such as {min(empty)!r}")
    digests[file] = digest.hexdigest()
    return known, empty


def read_queries(folder: Path, name: str) -> dict[str, str]:
    """Return id → text of all queries of a set, judged or not.

    Raises:
        UsageError: the file is missing or says what it can't.
    """
    return _queries(folder, name, {})[0]


def _queries(folder: Path, name: str, digests: dict[str, str]) -> tuple[dict[str, str], set[str]]:
    digest = hashlib.sha256()
    found: dict[str, str] = {}
    blank: set[str] = set()
    for number, line in _lines(folder, QUERIES, digest):
        where = f"{name}/{QUERIES}, line {number}"
        entry = parse_entry(line, where)
        if entry.id in found or entry.id in blank:
            raise wrong(where, f"the id {entry.id[:80]!r} is given twice")
        if entry.text:
            found[entry.id] = entry.text
        else:
            blank.add(entry.id)
    if not found:
        raise wrong(f"{name}/{QUERIES}", "it has no query with a text")
    digests[QUERIES] = digest.hexdigest()
    return found, blank


def _lines(folder: Path, file: str, digest: hashlib._Hash) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, line) of the lines that hold something; all bytes go into the digest."""
    try:
        with open_regular(folder / file) as stream:
            number = 0
            while line := stream.readline(MAX_LINE + 1):
                number += 1
                digest.update(line)
                if len(line) > MAX_LINE:
                    raise wrong(f"{folder.name}/{file}, line {number}", f"it is longer than {MAX_LINE >> 20} MiB")
                if line.strip():
                    yield number, line
    except (OSError, NotReadable) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(
            f"The judged set {folder.name} has no {file} that can be read: {said}.",
            hint="Name a folder in BEIR's layout with --set: corpus.jsonl, queries.jsonl, qrels/test.tsv.",
        ) from error


def pair_probes(judged: JudgedSet, candidates: dict[str, list[int]]) -> Iterator[Probe]:
    """Yield (query, candidate) as pairs, query by query; only the candidates' texts are kept in memory."""
    wanted = {place for places in candidates.values() for place in places}
    texts = {place: entry.text for place, entry in enumerate(judged.entries()) if place in wanted}
    number = 0
    for query, text in judged.queries.items():
        for place in candidates[query]:
            yield Probe(id=str(number), shape="pair", text=text, second=texts[place])
            number += 1
