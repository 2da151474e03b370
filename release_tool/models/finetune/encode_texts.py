"""Encode with a model folder: ``python -m release_tool.models.finetune.encode_texts --jobs FILE``.

By sentence-transformers, block by block: each one file that is whole or absent, under a name made of its content; what
is there is not encoded again. Sparse weights are those that OpenSearch serves: special tokens weigh nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from release_tool.core.kinds import ModelKind
from release_tool.core.probes import Role
from release_tool.errors import IntegrityError, UnsupportedModel
from release_tool.held_out import document_probes
from release_tool.models.batches import TOKENS_PER_BATCH, make_batches
from release_tool.models.encoded import read_block, write_block
from release_tool.models.oracle_sparse import LOGITS_BYTES
from release_tool.models.sparse_rows import special_ids_of
from release_tool.models.starting import no_collection
from release_tool.sets import blocks, open_set, query_probes
from release_tool.workers import report, run_child

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from release_tool.core.probes import Probe

DENSE, SPARSE = "dense", "sparse"
TOKENS_ON_GPU = 65_536


def block_path(out: Path, name: str) -> Path:
    """Return the file of a block."""
    return out / f"{name}.npz"


def kind_of(kind: str) -> ModelKind:
    """Return which arrays the blocks of a kind hold."""
    return ModelKind.SPARSE if kind == SPARSE else ModelKind.DENSE


def probes_of(job: dict[str, Any]) -> Iterator[Probe]:
    """Yield what a job has encoded: ``documents`` or ``queries`` of a run, or both of a judged set.

    Raises:
        IntegrityError: the set has changed.
    """
    if "documents" in job:
        yield from document_probes(Path(job["documents"]))
    elif "queries" in job:
        yield from query_probes(job["queries"])
    else:
        judged = open_set(Path(job["set"]), job["name"])
        if judged.sha256 != job["sha256"]:
            raise IntegrityError(f"The set {judged.name} was changed while it was measured.", hint="Run it again.")
        yield from judged.document_probes() if job["part"] == "documents" else judged.query_probes()


class Encoder:
    """A model of either kind, loaded once."""

    def __init__(self, folder: Path, kind: str, max_length: int) -> None:
        import torch

        from release_tool.models.finetune.students import load_dense

        self.kind = kind
        device = "cuda" if torch.cuda.is_available() else "cpu"
        with no_collection():
            load = load_served if kind == SPARSE else load_dense
            self.model: Any = load(folder, max_length, device).eval()
        self.special = np.asarray(special_ids_of(self.model.tokenizer) if kind == SPARSE else ())
        self.budget = TOKENS_ON_GPU if device == "cuda" else TOKENS_PER_BATCH
        if kind == SPARSE:
            width = int(self.model.get_embedding_dimension() or 1)
            self.budget = max(1, min(self.budget, LOGITS_BYTES // (4 * width)))

    def encode(self, texts: Sequence[str], role: Role | None) -> dict[str, np.ndarray]:
        """Return the arrays of some texts, in their order."""
        ask = self.model.encode_query if role is Role.QUERY else self.model.encode_document
        lengths = [len(ids) for ids in self._tokens(texts)]
        if self.kind == DENSE:
            found = np.zeros((len(texts), int(self.model.get_embedding_dimension())), np.float32)
            for batch in make_batches(lengths, budget=self.budget):
                chosen = [texts[index] for index in batch]
                found[batch] = ask(chosen, batch_size=len(chosen), show_progress_bar=False)
            return {"embedding": found}
        rows: list[tuple[np.ndarray, np.ndarray]] = [(np.zeros(0, np.int32), np.zeros(0, np.float32))] * len(texts)
        for batch in make_batches(lengths, budget=self.budget):
            chosen = [texts[index] for index in batch]
            weights = ask(chosen, batch_size=len(chosen), show_progress_bar=False, save_to_cpu=True).coalesce()
            for index, row in zip(batch, self._sparse_rows(weights, len(batch)), strict=True):
                rows[index] = row
        return packed(rows)

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        limit = self.model.max_seq_length
        found: list[list[int]] = self.model.tokenizer(list(texts), truncation=True, max_length=limit)["input_ids"]
        return found

    def _sparse_rows(self, weights: Any, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        (at, ids), values = weights.indices().numpy(), weights.values().float().numpy()
        kept = (values > 0) & ~np.isin(ids, self.special)
        at, ids, values = at[kept], ids[kept].astype(np.int32), values[kept].astype(np.float32)
        ends = np.searchsorted(at, np.arange(count + 1))
        for start, end in pairwise(ends):
            yield ids[start:end], values[start:end]


def load_served(folder: Path, max_length: int, device: str) -> Any:
    """Load a sparse model as it is served: queries by fixed weights where it has such, else by the encoder, too.

    Raises:
        UnsupportedModel: the libraries can't load it.
    """
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    from release_tool.core.modules import read_layout
    from release_tool.models.finetune.query_weights import base_weights
    from release_tool.models.finetune.students import activation_of, inference_free, load_masked, load_start, reader

    if read_layout(reader(folder)).query_modules:
        model: Any = load_start(folder, device)
        model.max_seq_length = min(max_length, model.max_seq_length or max_length)
        return model
    transformer, missing = load_masked(folder, max_length)
    if missing:
        raise UnsupportedModel(f"The base is no sparse encoder: it has no weights for {missing[0]!r}.")
    if (folder / "idf.json").is_file():
        return inference_free(transformer, activation_of(folder), base_weights(folder, transformer.tokenizer), device)
    width = transformer.auto_model.get_output_embeddings().weight.shape[0]
    pooling = SpladePooling(
        pooling_strategy="max", activation_function=activation_of(folder), embedding_dimension=width
    )
    return SparseEncoder(modules=[transformer, pooling], similarity_fn_name="dot", device=device)


def packed(rows: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return rows of (ids, weights) as CSR arrays."""
    indptr = np.cumsum([0, *(len(ids) for ids, _ in rows)]).astype(np.int64)
    return {
        "indptr": indptr,
        "ids": np.concatenate([ids for ids, _ in rows]) if rows else np.zeros(0, np.int32),
        "weights": np.concatenate([weights for _, weights in rows]) if rows else np.zeros(0, np.float32),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Encode what the file of jobs names; exit with the error's own code."""
    parser = argparse.ArgumentParser(prog="python -m release_tool.models.finetune.encode_texts")
    parser.add_argument("--jobs", type=Path, required=True)
    options = parser.parse_args(argv)
    return run_child(lambda: _run(json.loads(options.jobs.read_text(encoding="utf-8"))))


def _run(asked: dict[str, Any]) -> None:
    out, kind = Path(asked["out"]), asked["kind"]
    encoder: Encoder | None = None
    done = 0
    for job in asked["jobs"]:
        for block in blocks(probes_of(job)):
            path = block_path(out, block.name)
            if read_block(path, kind_of(kind), len(block.probes)) is None:
                if encoder is None:
                    with no_collection():
                        from transformers.utils import logging

                    logging.disable_progress_bar()
                    encoder = Encoder(Path(asked["folder"]), kind, asked["max_length"])
                write_block(path, encoder.encode([one.text for one in block.probes], block.probes[0].role))
            done += len(block.probes)
            report("progress", done=done, total=asked["total"])


if __name__ == "__main__":
    sys.exit(main())
