"""What is done once before the first step: the start of a sparse model, and what is measured of any start.

It lies in the scratch folder, so that a run that goes on, and every process that takes part, takes the same numbers.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from release_tool.core.codec import decode_text, encode_text
from release_tool.core.finetune.flops_control import aim
from release_tool.core.finetune.training_job import Start, TrainJob
from release_tool.core.kinds import ModelKind
from release_tool.documents import write_atomic
from release_tool.errors import UsageError
from release_tool.models.finetune.dev_measure import FLOPS, encode, measure, sample_of, share, similarity
from release_tool.models.finetune.mlm_head import fit_head, is_without_head
from release_tool.models.finetune.query_weights import base_weights, counted_weights, ones
from release_tool.models.finetune.saving import save_model_folder
from release_tool.models.finetune.students import (
    activation_of,
    check_base,
    inference_free,
    is_sparse_base,
    load_dense,
    load_masked,
    load_start,
)
from release_tool.models.finetune.training_rows import LABEL, Texts, first_rows, has_rows, load_rows
from release_tool.workers import report

if TYPE_CHECKING:
    from datasets import Dataset

    from release_tool.models.finetune.dev_measure import Sample

START = "start.json"
FOLDER = "start"
MEASURED_ROWS = 32
HEAD_ROWS = 500
WAIT_SECONDS = 0.2
NEW_HEAD = (
    "The base has no head of a masked language model: one was fitted to its own tokens. It begins as a lexical model, "
    "and what is measured before the training is measured of that."
)


def student(job: TrainJob, device: str) -> Any:
    """Return the model that is trained, as it is before the first step."""
    if job.kind is ModelKind.SPARSE:
        return load_start(Path(job.scratch) / FOLDER, device)
    return load_dense(Path(job.base), job.max_length, device)


def prepare(job: TrainJob, texts: Texts, *, first: bool, device: str) -> Start:
    """Return what was measured of the start; the first process makes it where it is not there, the others wait.

    Raises:
        UnsupportedModel: no model of this kind can start from the base.
        UsageError: there is nothing to train on.
    """
    path = Path(job.scratch) / START
    if not path.is_file():
        if first:
            write_atomic(path, encode_text(_prepare(job, texts, device)))
        while not path.is_file():
            time.sleep(WAIT_SECONDS)
    return decode_text(Start, path.read_text(encoding="utf-8"))


def dev_sample(job: TrainJob, texts: Texts, count: int) -> Sample | None:
    """Return a sample of the rows of dev; null where there are none."""
    folder = Path(job.rows)
    return sample_of(first_rows(load_rows(folder, "dev"), texts, count)) if has_rows(folder, "dev") else None


def _prepare(job: TrainJob, texts: Texts, device: str) -> Start:
    from release_tool.models.finetune.dev_measure import MAX_ROWS

    check_base(Path(job.base), job.kind)
    rows = load_rows(Path(job.rows), "train")
    if job.train.loss == "mnrl" and LABEL in rows.column_names:
        rows = rows.remove_columns(LABEL)  # that they may be all alike is in nobody's way
    sample = dev_sample(job, texts, MAX_ROWS)
    start = Start(row_tokens=0, label_spread=0, score_spread=0)
    if job.kind is ModelKind.SPARSE:
        start = _sparse_start(job, texts, rows, sample)
    model = student(job, device)
    measures = measure(model, sample or sample_of(first_rows(rows, texts, MEASURED_ROWS)))
    label_spread, score_spread = _spreads(model, rows, texts)
    return replace(
        start,
        row_tokens=_row_tokens(model, rows, texts),
        label_spread=label_spread,
        score_spread=score_spread,
        measures=measures if sample else {},
        flops=measures.get(FLOPS, 0.0),
        weights=_weights_a_token(model, job),
    )


def _weights_a_token(model: Any, job: TrainJob) -> float:
    """Return the weights that multiply a token: those of the layers, and a sparse model's decoder."""
    sparse = job.kind is ModelKind.SPARSE
    encoder = model[0].sub_modules["document"][0] if sparse else model[0]
    embeddings = encoder.auto_model.get_input_embeddings().weight.numel()
    whole = sum(weight.numel() for weight in encoder.parameters() if weight.requires_grad)
    return float(whole - embeddings + (embeddings if sparse else 0))


def _sparse_start(job: TrainJob, texts: Texts, rows: Dataset, sample: Sample | None) -> Start:
    """Write the start of a sparse model, from a sparse encoder, a masked language model or a bare encoder.

    Where the base encodes nothing sparse by itself, the start lies beside the trained model, too: evaluate compares
    with it.
    """
    base = Path(job.base)
    transformer, missing = load_masked(base, job.max_length)
    tokenizer = transformer.tokenizer
    made_head = is_without_head(missing, transformer.auto_model)
    weights = _weights(job, tokenizer)
    activation = activation_of(base)
    model = inference_free(transformer, activation, weights, "cpu")
    if made_head:
        report("warning", text=NEW_HEAD)
        queries = share(encode(model, (sample or sample_of(first_rows(rows, texts, 250))).queries, query=True))
        documents = [found[0] for _, found, _ in first_rows(rows, texts, HEAD_ROWS)]
        fit_head(
            transformer.auto_model,
            tokenizer,
            list(dict.fromkeys(documents)),
            job.max_length,
            lambda having: float((queries * having).sum()),
            aim(job.train.target_flops, 0.0),
        )
    if made_head or not is_sparse_base(base):
        save_model_folder(model, Path(job.out) / FOLDER, base=base, scratch=Path(job.scratch), weights=weights)
    save_model_folder(model, Path(job.scratch) / FOLDER, base=base, scratch=Path(job.scratch), weights=weights)
    return Start(row_tokens=0, label_spread=0, score_spread=0, made_head=made_head)


def _weights(job: TrainJob, tokenizer: Any) -> list[float]:
    match job.train.idf:
        case "corpus":
            report("note", text="count the tokens of the documents")
            return counted_weights(Path(job.documents), Path(job.places), tokenizer)
        case "base":
            return base_weights(Path(job.base), tokenizer)
        case _:
            return ones(tokenizer)


def _spreads(model: Any, rows: Dataset, texts: Texts) -> tuple[float, float]:
    """Return the median spread of a row's labels and of the model's own scores."""
    labels, scores = [], []
    for query, documents, label in first_rows(rows, texts, MEASURED_ROWS):
        found = similarity(model, encode(model, [query], query=True), encode(model, documents))
        scores.append(float(found.max() - found.min()))
        if label is not None:
            labels.append(max(label) - min(label))
    if labels and max(labels) == 0:
        raise UsageError(
            "The teachers give every document of a row the same score: there is nothing to learn from them.",
            hint='Name other teachers (teach.models), or train without: train.loss = "mnrl".',
        )
    return _median(labels), _median(scores)


def _median(values: list[float]) -> float:
    return float(torch.tensor(values).median()) if values else 0.0


def _row_tokens(model: Any, rows: Dataset, texts: Texts) -> float:
    """Return the tokens that a model reads of a row, in the mean."""
    counts = []
    for query, documents, _ in first_rows(rows, texts, MEASURED_ROWS):
        read = model.preprocess(documents, task="document")["attention_mask"].sum()
        counts.append(float(read + model.preprocess([query], task="query")["attention_mask"].sum()))
    return sum(counts) / max(1, len(counts))


def flops_target(job: TrainJob, start: Start) -> float:
    """Return the FLOPS that a sparse model is steered to."""
    return aim(job.train.target_flops, start.flops)


def threads(processes: int) -> int:
    """Return the threads of a process: all cores of this machine, divided."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // processes)
