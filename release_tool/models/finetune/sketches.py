"""What of documents is kept to find their near duplicates: numbers of fixed size, appended to flat files.

A killed run goes on after the last batch that was noted: what the files hold beyond it is cut off.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np

from release_tool.core.finetune.shingles import PERMUTATIONS, WORDS_TOGETHER, bands_of, words_of
from release_tool.documents import disk_error, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from release_tool.core.finetune.records import Document

    Numbers = NDArray[np.uint64]

KEPT = 256
"""Smallest hashes of triples that are kept of a document: of up to so many triples the similarity is exact, of more it
is estimated from them, with an error of at most 1 / (2 √256) = 0.031."""
BATCH_CHARACTERS = 4 << 20
"""Texts that are worked on together."""
SEED = 20_261_122
"""Of the signatures. It is no key of the recipe: who is like whom has nothing to do with chance."""
NOTED = "noted.json"
FILES = ("exact", "names", "triples", "counts", "ids", "id-sizes")
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketches:
    """Of a batch of n documents."""

    exact: Numbers
    """[n]: equal where the words are."""
    names: Numbers
    """[n]: hashes of the ids."""
    bands: Numbers
    """[bands, n]: equal in one of them where two documents should be compared; [0, n] where none are."""
    triples: NDArray[np.uint32]
    """The kept hashes of all documents, sorted in each."""
    counts: NDArray[np.int64]
    """[n]: how many they are."""


def sketch(documents: Sequence[Document], similarity: float | None) -> Sketches:
    """Return the sketches of documents.

    Args:
        documents: of which the title counts, too.
        similarity: the threshold; null where only exact duplicates matter.
    """
    words = [words_of(document.whole) for document in documents]
    exact = _hashes("\0".join(one).encode() for one in words)
    names = _hashes(document.id.encode() for document in documents)
    if similarity is None:
        none = np.zeros((0, len(words)), dtype=np.uint64)
        nothing, zeros = np.zeros(0, dtype=np.uint32), np.zeros(len(words), dtype=np.int64)
        return Sketches(exact=exact, names=names, bands=none, triples=nothing, counts=zeros)
    hashes, rows = _triples(words)
    bands = _bands(hashes, rows, len(words), similarity)
    triples, counts = _smallest(hashes, rows, len(words))
    return Sketches(exact=exact, names=names, bands=bands, triples=triples, counts=counts)


def _hashes(data: Iterator[bytes]) -> Numbers:
    made = b"".join(hashlib.blake2b(one, digest_size=8).digest() for one in data)
    return np.frombuffer(made, dtype="<u8").astype(np.uint64)


def mixed(numbers: Numbers) -> Numbers:
    """Return numbers in which every bit depends on every bit of the given ones (splitmix64's finaliser)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * _MIX[0]
    numbers = (numbers ^ (numbers >> np.uint64(27))) * _MIX[1]
    return numbers ^ (numbers >> np.uint64(31))


def _triples(words: Sequence[list[str]]) -> tuple[Numbers, NDArray[np.int64]]:
    """Return the hashes of all triples, in order, and the number of the document that each one is of."""
    from rensa import RMinHash

    padded = [one + [""] * (WORDS_TOGETHER - len(one)) for one in words]
    lengths = np.array([len(one) for one in padded], dtype=np.int64)
    flat = np.fromiter(chain.from_iterable(RMinHash.hash_token_sets(padded)), dtype=np.uint64, count=lengths.sum())
    flat = mixed(flat)
    rows = np.repeat(np.arange(len(words)), lengths)
    inside = rows[: len(rows) - 2] == rows[2:]
    made = flat[:-2]
    for later in (flat[1:-1], flat[2:]):
        made = mixed(made + _STEP) + later
    return mixed(made)[inside], rows[:-2][inside]


def _bands(hashes: Numbers, rows: NDArray[np.int64], count: int, similarity: float) -> Numbers:
    from rensa import RMinHash

    starts = np.searchsorted(rows, np.arange(count + 1)).astype(np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, starts, PERMUTATIONS, SEED)
    signatures = np.array(matrix.to_rows(), dtype=np.uint64).reshape(count, PERMUTATIONS)
    bands, depth = bands_of(similarity)
    keys = np.zeros((bands, count), dtype=np.uint64)
    for band in range(bands):
        for column in signatures[:, band * depth : (band + 1) * depth].T:
            keys[band] = mixed(keys[band] + _STEP) + column
    return mixed(keys)


def _smallest(hashes: Numbers, rows: NDArray[np.int64], count: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the smallest different hashes of each document, by their upper 32 bits."""
    both = np.sort((rows.astype(np.uint64) << np.uint64(32)) | (hashes >> np.uint64(32)))
    both = both[np.append(True, both[1:] != both[:-1])]  # np.unique takes ten times as long for many
    owners = (both >> np.uint64(32)).astype(np.int64)
    starts = np.searchsorted(owners, np.arange(count))
    kept = np.arange(len(both)) - starts[owners] < KEPT
    triples = (both[kept] & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return triples, np.bincount(owners[kept], minlength=count).astype(np.int64)


class SketchFiles:
    """The sketches of a corpus in one folder: see ``Sketches``; and the ids themselves, ``ids`` with ``id-sizes``."""

    def __init__(self, folder: Path, similarity: float | None) -> None:
        self.folder = folder
        self.similarity = similarity
        self.bands = 0 if similarity is None else bands_of(similarity)[0]
        self.parts = 0
        """Of the documents' part files, that are in."""
        self._streams: dict[str, IO[bytes]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Open the files where the last run stopped, or new ones."""
        self.folder.mkdir(parents=True, exist_ok=True)
        noted = self._noted()
        self.parts = noted.get("parts", 0)
        for name in (*FILES, *(f"band-{one:03}" for one in range(self.bands))):
            path = self.folder / name
            stream = self._stack.enter_context(path.open("r+b" if path.is_file() else "w+b"))
            stream.truncate(noted.get(name, 0))
            stream.seek(0, 2)
            self._streams[name] = stream
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _noted(self) -> dict[str, int]:
        """Return parts and lengths of the files; nothing where a file lost what had been noted, by a power cut."""
        path = self.folder / NOTED
        if not path.is_file():
            return {}
        noted: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
        files = {name: size for name, size in noted.items() if name != "parts"}
        whole = all((self.folder / one).is_file() and (self.folder / one).stat().st_size >= files[one] for one in files)
        return noted if whole else {}

    def add_part(self, documents: Iterator[Document]) -> int:
        """Append the sketches of one part file, and return of how many documents.

        Raises:
            MachineError: the disk is full.
        """
        count = 0
        try:
            for batch in batches(documents):
                count += len(batch)
                for name, array in _arrays(batch, self.similarity):
                    self._streams[name].write(array.tobytes())
            for stream in self._streams.values():
                stream.flush()
        except OSError as error:
            raise disk_error(error, self.folder) from error
        self.parts += 1
        lengths = {name: stream.tell() for name, stream in self._streams.items()}
        write_atomic(self.folder / NOTED, json.dumps({"parts": self.parts, **lengths}))
        return count

    def read(self, name: str, kind: type[np.generic] = np.uint64) -> NDArray[Any]:
        """Return a whole file as an array."""
        return np.fromfile(self.folder / name, dtype=kind)


def _arrays(batch: Sequence[Document], similarity: float | None) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the name of each file with what a batch adds to it."""
    found = sketch(batch, similarity)
    ids = [document.id.encode() for document in batch]
    yield "ids", np.frombuffer(b"".join(ids), dtype=np.uint8)
    yield "id-sizes", np.array([len(one) for one in ids], dtype=np.int64)
    yield "exact", found.exact
    yield "names", found.names
    yield "triples", found.triples
    yield "counts", found.counts
    for number, keys in enumerate(found.bands):
        yield f"band-{number:03}", keys


class Pieces:
    """What is of different size for each document, read from disk: the ids, or the triples. Use it in a ``with``."""

    def __init__(self, files: SketchFiles, name: str, sizes: str, width: int) -> None:
        """Open it.

        Args:
            files: of the corpus.
            name: of the file.
            sizes: of the file with how many each document has.
            width: bytes of one of them.
        """
        self.ends = np.cumsum(files.read(sizes, np.int64)) * width
        self._stream = (files.folder / name).open("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def of(self, place: int) -> bytes:
        """Return those of one document."""
        start = int(self.ends[place - 1]) if place else 0
        return os.pread(self._stream.fileno(), int(self.ends[place]) - start, start)


def batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Yield documents together, as many as have so many characters."""
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text) + len(document.title or "")
        if characters > BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
