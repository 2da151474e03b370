"""Look which queries find their document again by a model's own embeddings.

    python -m release_tool.models.finetune.round_trip --job FILE

Queries, then the documents that they were made of, then all documents are encoded, block by block. Nothing is kept of a
document but how many queries it comes before: for each query the documents of other groups are counted that score more
than its own. A killed run goes on at its last finished block.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from release_tool.core.finetune.records import Document
from release_tool.core.probes import Role
from release_tool.models.ranking import settled, unit
from release_tool.models.starting import no_collection
from release_tool.part_files import read_rows, whole_file
from release_tool.workers import report, run_child

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BLOCK = 1024
"""Texts that are encoded together; where the blocks end decides nothing but the last bits of a score."""
SAVED_EVERY = 8
"""Blocks of documents."""
DOTS = ("dot", "dot_product", "dot_score")


class Vectors:
    """What an encoder gave, on disk, block by block."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    def _path(self, first: int) -> Path:
        return self._folder / f"{self._name}-{first:010}.npz"

    def add(self, first: int, arrays: dict[str, np.ndarray]) -> None:
        """Keep the block of rows that begins at ``first``, whole or not at all."""
        with whole_file(self._path(first)) as stream:
            np.savez(stream, allow_pickle=False, **arrays)

    def has(self, first: int) -> bool:
        """Tell whether a block is there."""
        return self._path(first).is_file()

    def rows(self, first: int) -> Any:
        """Return a block: float32 [rows, dim], or a sparse matrix of scipy."""
        with np.load(self._path(first)) as arrays:
            return matrix(arrays)


def matrix(arrays: Any) -> Any:
    """Return what an encoder gave as a matrix [texts, dimensions]."""
    if "embedding" in arrays:
        return arrays["embedding"]
    from scipy.sparse import csr_array

    width = int(arrays["ids"].max(initial=-1)) + 1
    return csr_array(
        (arrays["weights"].astype(np.float64), arrays["ids"], arrays["indptr"]),
        shape=(len(arrays["indptr"]) - 1, max(width, 1)),
    )


def products(left: Any, right: Any) -> np.ndarray:
    """Return the inner products of all rows, float32 [rows of left, rows of right], rounded as ranks are."""
    if isinstance(left, np.ndarray):
        return settled(left @ right.T)
    width = max(left.shape[1], right.shape[1])
    left.resize((left.shape[0], width))
    right.resize((right.shape[0], width))
    return settled((left @ right.T).toarray().astype(np.float32))


def own_products(left: Any, right: Any) -> np.ndarray:
    """Return the inner product of each row with the one beside it, float32 [rows], rounded as ``products`` are."""
    if isinstance(left, np.ndarray):
        return settled(np.einsum("ij,ij->i", left, right))
    width = max(left.shape[1], right.shape[1])
    left.resize((left.shape[0], width))
    right.resize((right.shape[0], width))
    return settled(np.asarray(left.multiply(right).sum(axis=1), np.float32))


def blocks(items: Iterator[Any], size: int = BLOCK) -> Iterator[tuple[int, list[Any]]]:
    """Yield (number of the first one, items) in blocks."""
    first = 0
    while block := list(islice(items, size)):
        yield first, block
        first += len(block)


def lines(path: str) -> Iterator[str]:
    """Yield the texts of a file, one JSON string a line."""
    with Path(path).open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


class Trip:
    """One run."""

    def __init__(self, job: dict[str, Any]) -> None:
        from release_tool.models.finetune.encode_texts import SPARSE, Encoder

        self.job, self.out = job, Path(job["out"])
        self.out.mkdir(parents=True, exist_ok=True)
        with no_collection():
            from transformers.utils import logging

        logging.disable_progress_bar()
        self.encoder = Encoder(Path(job["folder"]), job["kind"], job["max_length"])
        self.scaled = job["kind"] != SPARSE and self.encoder.model.similarity_fn_name not in DOTS
        self.places = np.load(job["places"])
        """int64 [queries]: places of the documents that they were made of."""
        self.groups = np.load(job["groups"], mmap_mode="r")
        self.done = 0

    def _arrays(self, texts: Sequence[str], role: Role) -> dict[str, np.ndarray]:
        arrays = self.encoder.encode(texts, role)
        return {"embedding": unit(arrays["embedding"])} if self.scaled else arrays

    def _tell(self, count: int) -> None:
        self.done += count
        report("progress", done=self.done, total=2 * len(self.places) + self.job["documents"])

    def run(self) -> None:
        """Count, and write ``before.npy``: int64 [queries]."""
        queries = Vectors(self.out, "queries")
        self._encode(queries, lines(self.job["queries"]), Role.QUERY)
        own = self._own(queries)
        before = self._count(queries, own)
        with whole_file(self.out / "before.npy") as stream:
            np.save(stream, before)

    def _encode(self, vectors: Vectors, texts: Iterator[str], role: Role) -> None:
        for first, block in blocks(texts):
            if not vectors.has(first):
                vectors.add(first, self._arrays(block, role))
            self._tell(len(block))

    def _own(self, queries: Vectors) -> np.ndarray:
        """Return the score of each query's own document, float32 [queries]."""
        sources = Vectors(self.out, "sources")
        self._encode(sources, self._sources(), Role.PASSAGE)
        firsts = range(0, len(self.places), BLOCK)
        return np.concatenate([own_products(queries.rows(first), sources.rows(first)) for first in firsts])

    def _sources(self) -> Iterator[str]:
        from release_tool.text_lookup import TextLookup

        with TextLookup.open(Path(self.job["corpus"]), self.out) as texts:
            for _, block in blocks(lines(self.job["names"])):
                yield from texts.many(block)

    def _count(self, queries: Vectors, own: np.ndarray) -> np.ndarray:
        state = self.out / "state.npz"
        before, begun = np.zeros(len(own), np.int64), 0
        if state.is_file():
            with np.load(state) as kept:
                before, begun = kept["before"], int(kept["done"])
        texts = (document.whole for document in read_rows(Path(self.job["corpus"]), Document))
        for number, (first, block) in enumerate(blocks(texts), 1):
            if first >= begun:
                self._add(before, queries, own, matrix(self._arrays(block, Role.PASSAGE)), first)
                if number % SAVED_EVERY == 0:
                    with whole_file(state) as stream:
                        np.savez(stream, before=before, done=first + len(block))
            self._tell(len(block))
        return before

    def _add(self, before: np.ndarray, queries: Vectors, own: np.ndarray, rows: Any, first: int) -> None:
        """Count documents in."""
        groups = np.asarray(self.groups[first : first + rows.shape[0]])
        for at in range(0, len(own), BLOCK):
            mine = slice(at, at + BLOCK)
            better = products(queries.rows(at), rows) > own[mine, None]
            others = groups[None, :] != np.asarray(self.groups[self.places[mine]])[:, None]
            before[mine] += (better & others).sum(axis=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Do the job of a file; exit with the error's own code."""
    parser = argparse.ArgumentParser(prog="python -m release_tool.models.finetune.round_trip")
    parser.add_argument("--job", type=Path, required=True)
    options = parser.parse_args(argv)
    return run_child(lambda: Trip(json.loads(options.job.read_text(encoding="utf-8"))).run())


if __name__ == "__main__":
    sys.exit(main())
