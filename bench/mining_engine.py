"""Index synthetic documents with one engine and search them; one process, measured from outside by ``mining.py``.

    PYTHON bench/mining_engine.py --engine tantivy|bm25s --documents N --queries N --threads N --folder DIR --out FILE

The documents are made while they are read, so that neither side pays for holding their texts. Ours is the stage's own
code; bm25s is used as its documentation has it: its own tokenizer as a stream, no stop words, no stemmer (the words are
numbers, which no stemmer changes), its fastest backend, numba.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20_261_122
TOKENS = 100
VOCABULARY = 500_000
FIRST_WORD = 100_000
BLOCK = 1000
QUERY_WORDS = 8
DEPTH = 50
"""Candidates a query, as the recipe has it."""
SHOWN = 10
ROUNDS = 5
"""Of other queries each; the median counts: seconds in which the machine is slow do not."""
K1, B = 1.2, 0.75
CUMULATED = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
"""Zipf's law: the n-th word is 1 / n as frequent as the first."""


def block(number: int) -> np.ndarray:
    """Return the words of a thousand documents, int [1000, 100]."""
    draws = np.random.default_rng([SEED, number]).random((BLOCK, TOKENS))
    return FIRST_WORD + np.searchsorted(CUMULATED, draws * CUMULATED[-1])


def documents(count: int) -> Iterator[str]:
    """Yield the texts of all documents."""
    for number in range(count // BLOCK):
        for words in block(number).tolist():
            yield " ".join(map(str, words))


def queries(count: int, asked: int) -> list[str]:
    """Return queries: words of a document, anywhere in it."""
    draw = np.random.default_rng([SEED, 1 << 40])
    found = []
    for _ in range(asked):
        number, row = int(draw.integers(count // BLOCK)), int(draw.integers(BLOCK))
        found.append(" ".join(map(str, draw.choice(block(number)[row], QUERY_WORDS, replace=False))))
    return found


class Ours:
    """The embedded engine as filter and mine use it."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.folder, self.threads = folder / "index", threads

    def index(self, texts: Iterator[str], _: int) -> None:
        """Index texts, of which there are so many."""
        from release_tool.core.finetune.sections import MineSection
        from release_tool.services.finetune.analysis import analysis_of
        from release_tool.services.finetune.tantivy_engine import TantivyEngine, build

        keys = MineSection()
        analysis = analysis_of(keys.analysis, Path)
        build(self.folder, texts, analysis, memory=keys.memory_mb << 20, made_of="bench", told=lambda _: None)
        self.engine = TantivyEngine(self.folder, analysis, threads=self.threads)

    def search(self, asked: list[str]) -> list[list[int]]:
        """Return the places of the first documents of each query."""
        from release_tool.services.finetune.searching import search_until

        found = search_until(self.engine, asked, DEPTH + 16, lambda _, hits: len(hits) >= DEPTH)
        return [[place for place, _ in hits[:SHOWN]] for hits in found]

    def versions(self) -> dict[str, str]:
        """Return what was measured."""
        return {"tantivy": version("tantivy")}


class Peer:
    """bm25s."""

    def __init__(self, _: Path, threads: int) -> None:
        self.threads = threads

    def index(self, texts: Iterator[str], count: int) -> None:
        """Index texts, of which there are so many."""
        import bm25s

        self.tokenizer = bm25s.tokenization.Tokenizer(stemmer=None, stopwords=[])
        tokens = self.tokenizer.tokenize(texts, length=count, update_vocab=True, return_as="tuple", show_progress=False)
        self.bm25: Any = bm25s.BM25(method="lucene", k1=K1, b=B, backend="numba")
        self.bm25.index(tokens, show_progress=False)

    def search(self, asked: list[str]) -> list[list[int]]:
        """Return the places of the first documents of each query."""
        tokens = self.tokenizer.tokenize(asked, update_vocab=False, return_as="tuple", show_progress=False)
        found, _ = self.bm25.retrieve(tokens, k=DEPTH + 16, show_progress=False, n_threads=self.threads)
        return [[int(place) for place in row[:SHOWN]] for row in found]

    def versions(self) -> dict[str, str]:
        """Return what was measured."""
        return {name: version(name) for name in ("bm25s", "numba", "numpy")}


def main() -> int:
    """Index, search, and write what it took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--engine", choices=("tantivy", "bm25s"), required=True)
    parser.add_argument("--documents", type=int, required=True)
    parser.add_argument("--queries", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    asked = queries(options.documents, ROUNDS * options.queries)
    engine: Any = (Ours if options.engine == "tantivy" else Peer)(options.folder, options.threads)
    times = [time.perf_counter()]
    engine.index(documents(options.documents), options.documents)
    times.append(time.perf_counter())
    # Compilers and page cache: what the first queries pay for is no matter of a hundred thousand.
    engine.search(asked[:20])
    times.append(time.perf_counter())
    rates, found = [], []
    for at in range(0, len(asked), options.queries):
        began = time.perf_counter()
        found += engine.search(asked[at : at + options.queries])
        rates.append(options.queries / (time.perf_counter() - began))
    times.append(time.perf_counter())
    part = max(BLOCK, options.documents // 10 // BLOCK * BLOCK)
    for _ in documents(part):
        pass
    times.append(time.perf_counter())
    made, warm, _, generated = (later - sooner for sooner, later in pairwise(times))
    said = {
        "index_s": made,
        "generate_s": generated * options.documents / part,
        "warm_s": warm,
        "queries_per_s": statistics.median(rates),
        "rates": rates,
        "disk": sum(path.stat().st_size for path in options.folder.rglob("*") if path.is_file()),
        "found": found,
        "versions": engine.versions(),
    }
    options.out.write_text(json.dumps(said) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
