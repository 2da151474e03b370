"""Run the prepared rows through an engine and gather the answers of a kind as flat arrays.

``tokens`` int32 [n] always; dense ``embedding`` float32 [n, dim]; sparse ``indptr`` int64 [n+1], ``ids`` int32,
``weights`` float32; cross-encoder ``logit`` float32 [n]; question answering ``indptr``, ``start``, ``end``;
highlighter ``indptr``, ``selected`` int32. A refused probe is a row of NaN or an empty row, and an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from . import feeds, results
from .faults import ContractFault, Refused
from .prepare import MAX_MESSAGE, WARM_UP, Prepared

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .config import ServedConfig
    from .results import Outputs


class Engine(Protocol):
    """A loaded model."""

    inputs: list[str] | None
    versions: dict[str, str]

    def run(self, feed: feeds.Feed) -> Outputs:
        """Return the outputs in order."""


class Collector:
    """Answers of one archive, filled row by row in the order of the probes."""

    def __init__(self, config: ServedConfig, prepared: Prepared, probe_ids: list[str], server: tuple[int, ...]) -> None:
        self.config = config
        self.prepared = prepared
        self.probe_ids = probe_ids
        self.server = server
        self.errors = dict(prepared.errors)
        self.found: dict[int, Any] = {}
        self.texts: list[str | None] = [None] * len(probe_ids)
        self.outputs: list[dict[str, Any]] = []
        self.dimension: int | None = None
        self.notes: list[str] = []

    def run(self, engine: Engine, advance: Callable[[int], None]) -> None:
        """Answer the warm-up, then every probe.

        Raises:
            Refused: the warm-up fails: the server would not deploy the model.
            ContractFault: the answer is not what clients read.
        """
        for row, owner in zip(self.prepared.rows, self.prepared.owner, strict=True):
            if owner == WARM_UP:
                self._answer_warm_up(engine, row)
                continue
            probe = self.probe_ids[owner]
            if probe in self.errors:
                continue
            try:
                outputs = engine.run(feeds.feed(self.config, row))
                self._take(owner, outputs, row)
            except Refused as refusal:
                self.errors[probe] = str(refusal)[:MAX_MESSAGE]
                self.found.pop(owner, None)
            advance(owner + 1)

    def warm_up(self, engine: Engine) -> None:
        """Answer what the server asks when it deploys; errors as in ``run``."""
        for row, owner in zip(self.prepared.rows, self.prepared.owner, strict=True):
            if owner == WARM_UP:
                self._answer_warm_up(engine, row)

    def answer(self, engine: Engine, place: int) -> None:
        """Answer one row once more; errors as in ``run``."""
        row = self.prepared.rows[place]
        self._take(self.prepared.owner[place], engine.run(feeds.feed(self.config, row)), row)

    def _answer_warm_up(self, engine: Engine, row: dict[str, NDArray[np.int64]]) -> None:
        outputs = engine.run(feeds.feed(self.config, row))
        self.outputs = [
            {"name": name, "dtype": array.dtype.name, "rank": array.ndim, "shape": list(array.shape)}
            for name, array in outputs
        ]
        kind = self.config.kind
        if kind == "highlighter":
            # predict() takes the first of the batch: a model that selects nothing here can't be deployed.
            results.highlighted(outputs, sentences=1 << 30)
            results.first_example(outputs)
        elif kind == "dense":
            self.dimension = int(self._dense(outputs, row).size)
        elif kind == "sparse":
            results.sparse(self.config, outputs)
            note = results.check_vocabulary(self.prepared, outputs[0][1].shape[1])
            self.notes += [note] if note else []
        elif kind == "cross-encoder":
            results.similarity(outputs)
        else:
            results.answer(outputs, [""] * len(row[feeds.IDS]))

    def _dense(self, outputs: Outputs, row: dict[str, NDArray[np.int64]]) -> NDArray[Any]:
        return results.dense(self.config, outputs, row[feeds.MASK].tolist(), self.server)

    def _take(self, owner: int, outputs: Outputs, row: dict[str, NDArray[np.int64]]) -> None:
        kind = self.config.kind
        if kind == "dense":
            embedding = self._dense(outputs, row)
            if embedding.size != self.dimension:
                raise ContractFault(
                    f"the embedding has {embedding.size} numbers here and {self.dimension} for the warm-up text; "
                    f"pooling is {self.config.pooling}"
                )
            self.found[owner] = embedding
        elif kind == "sparse":
            self.found[owner] = results.sparse(self.config, outputs)
        elif kind == "cross-encoder":
            self.found[owner] = results.similarity(outputs)
        elif kind == "question-answering":
            *logits, self.texts[owner] = results.answer(outputs, self.prepared.tokens[owner])
            self.found[owner] = tuple(logits)
        else:
            chosen = results.highlighted(outputs, self.prepared.sentence_counts[owner])
            self.found[owner] = self.found.get(owner, set()) | chosen

    def tokenize(self, idf: dict[str, float] | None) -> None:
        """Answer as the sparse tokenizer, which has no model."""
        for row, owner in zip(self.prepared.rows, self.prepared.owner, strict=True):
            if owner != WARM_UP:
                self.found[owner] = results.tokenized(row[feeds.IDS], self.prepared.words, idf)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of this kind, see the module."""
        arrays: dict[str, NDArray[Any]] = {"tokens": np.asarray(self.prepared.lengths, np.int32)}
        kind = self.config.kind
        count = len(self.probe_ids)
        if kind == "dense":
            nothing = np.full(self.dimension or 0, np.nan, np.float32)
            arrays["embedding"] = np.stack([self.found.get(i, nothing) for i in range(count)]).astype(np.float32)
        elif kind == "cross-encoder":
            arrays["logit"] = np.asarray([self.found.get(i, np.nan) for i in range(count)], np.float32)
        elif kind == "highlighter":
            rows: list[tuple[NDArray[Any], ...]] = [
                (np.asarray(sorted(self.found.get(i, ())), np.int32),) for i in range(count)
            ]
            arrays |= flat(rows, ("selected",), (np.int32,))
        else:
            names, types = (
                (("start", "end"), (np.float32, np.float32))
                if kind == "question-answering"
                else (("ids", "weights"), (np.int32, np.float32))
            )
            empty = tuple(np.zeros(0, kind_) for kind_ in types)
            arrays |= flat([self.found.get(i, empty) for i in range(count)], names, types)
        return arrays

    def collisions(self) -> dict[str, dict[str, int]]:
        """Return, of the probes where WORD format loses something, how many tokens share a word or are special."""
        if self.config.kind not in {"sparse", "sparse-tokenizer"}:
            return {}
        lost = {}
        for index, (ids, _) in self.found.items():
            shared, special = results.collisions(ids, self.prepared.words)
            if shared or special:
                lost[self.probe_ids[index]] = {"shared": shared, "special": special}
        return lost


def flat(
    rows: list[tuple[NDArray[Any], ...]], names: tuple[str, ...], types: tuple[Any, ...]
) -> dict[str, NDArray[Any]]:
    """Join rows of different lengths: ``indptr`` int64 [n+1] and one array a name."""
    lengths = [row[0].shape[0] for row in rows]
    arrays: dict[str, NDArray[Any]] = {"indptr": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)}
    for place, (name, dtype) in enumerate(zip(names, types, strict=True)):
        arrays[name] = np.concatenate([row[place] for row in rows]).astype(dtype)
    return arrays
