"""The sparse oracles: sentence-transformers' SpladePooling, and the tokenizer with its weights.

What OpenSearch adds to both is applied to the library's answer: see ``sparse_rows``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from release_tool.core.kinds import Activation
from release_tool.errors import UnsupportedModel
from release_tool.models.answers import pack_rows
from release_tool.models.batches import TOKENS_PER_BATCH, array_difference, in_batches
from release_tool.models.oracle_inputs import (
    Answered,
    Question,
    load_tokenizer,
    loading,
    lowered,
    model_keywords,
    shared_keywords,
    transformer_folder,
    unpadded,
)
from release_tool.models.oracle_static import answer_static
from release_tool.models.sparse_rows import prune, special_ids_of, spoken_of, without

if TYPE_CHECKING:
    from collections.abc import Callable

LOGITS_BYTES = 128 << 20
"""Bytes of logits a forward pass may make: tokens x vocabulary x 4."""

ABSENT_WEIGHT = 1.0
"""What SparseTokenizerModel gives a token that idf.json does not name."""

ACTIVATIONS = {Activation.LOG1P: "relu", Activation.L0: "log1p_relu"}
"""SpladePooling names the function inside its own log1p."""


def answer(question: Question) -> Answered:
    """Return the encoder's answer as CSR: ``indptr``, ``ids``, ``weights`` (ids ascending, weights > 0)."""
    has_modules = bool(question.plan.source.model.modules)
    tokenize, encode, tokenizer, width = _own_modules(question) if has_modules else _bare_model(question)
    inputs = [unpadded(tokenize([probe.text]))[0] for probe in question.probes]
    special = special_ids_of(tokenizer)

    def rows_of(indices: list[int]) -> list[np.ndarray]:
        dense = encode([question.probes[index].text for index in indices])
        return [prune(without(row, special), question.plan.prune_ratio) for row in dense]

    budget = max(1, min(TOKENS_PER_BATCH, LOGITS_BYTES // (4 * max(1, width))))
    rows, batching = in_batches(
        [len(ids) for ids in inputs], rows_of, array_difference, budget=budget, advance=question.advance
    )
    ids = [np.flatnonzero(row) for row in rows]
    indptr, packed = pack_rows(ids, np.int32)
    weights = pack_rows([row[chosen] for row, chosen in zip(rows, ids, strict=True)], np.float32)[1]
    arrays = {"indptr": indptr, "ids": packed, "weights": weights}
    return Answered(arrays=arrays, inputs=inputs, batching=batching, special_ids=special)


Loaded = tuple["Callable[[list[str]], Any]", "Callable[[list[str]], np.ndarray]", Any, int]


def _own_modules(question: Question) -> Loaded:
    """Load the model's own modules: a Transformer with SpladePooling, or a Router with such a document route."""
    from sentence_transformers import SparseEncoder

    plan = question.plan
    with loading(question.kind):
        model = SparseEncoder(
            str(question.snapshot), device="cpu", model_kwargs=model_keywords(plan), **shared_keywords(plan)
        )
    model = model.float().eval()
    model.max_seq_length = plan.max_length

    def encode(texts: list[str]) -> np.ndarray:
        found = model.encode_document(
            texts, batch_size=len(texts), convert_to_sparse_tensor=False, show_progress_bar=False
        )
        dense: np.ndarray = found.numpy()
        return dense

    def tokenize(texts: list[str]) -> Any:
        return model.preprocess(texts, task="document")

    return tokenize, encode, model.tokenizer, int(model.get_embedding_dimension() or 0)


def _bare_model(question: Question) -> Loaded:
    """Load a masked language model of transformers and put sentence-transformers' SpladePooling behind it."""
    import torch
    import transformers
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    plan = question.plan
    tokenizer = load_tokenizer(question)
    with loading(question.kind):
        model, info = transformers.AutoModelForMaskedLM.from_pretrained(
            transformer_folder(question), output_loading_info=True, **shared_keywords(plan), **model_keywords(plan)
        )
    _refuse_invented(info, "a masked language model")
    model.eval()
    pooling = SpladePooling(pooling_strategy="max", activation_function=ACTIVATIONS[Activation(plan.activation)]).eval()

    def tokenize(texts: list[str]) -> Any:
        return tokenizer(
            [lowered(question, text) for text in texts],
            padding=True,
            truncation=True,
            max_length=plan.max_length,
            return_tensors="pt",
        )

    def encode(texts: list[str]) -> np.ndarray:
        features = tokenize(texts)
        with torch.inference_mode():
            logits = model(**features).logits
            pooled = pooling({"token_embeddings": logits, "attention_mask": features["attention_mask"]})
        dense: np.ndarray = pooled["sentence_embedding"].numpy()
        return dense

    return tokenize, encode, tokenizer, int(model.config.vocab_size)


def _refuse_invented(info: dict[str, Any], what: str) -> None:
    """Refuse a head whose weights transformers had to invent; tied weights are reported as found."""
    missing = sorted(info["missing_keys"])
    if missing:
        raise UnsupportedModel(
            f"The snapshot is not {what}: it has no weights for {missing[0]!r} and {len(missing) - 1} more.",
            hint="Name the right --kind.",
        )


def answer_tokenizer(question: Question) -> Answered:
    """Return each text's distinct tokens with their weights as CSR; a model with a module for them answers itself."""
    own = question.plan.source.model.idf_path
    if question.idf is None and own is not None and own.endswith(".safetensors"):
        return answer_static(question)
    tokenizer = load_tokenizer(question)
    special = special_ids_of(tokenizer)
    weights = _token_weights(question, tokenizer)
    inputs = [
        list(tokenizer(lowered(question, p.text), truncation=True, max_length=question.plan.max_length)["input_ids"])
        for p in question.probes
    ]
    spoken = spoken_of(tokenizer, {index for row in inputs for index in row} - set(special))
    ids = [sorted(spoken.intersection(row)) for row in inputs]
    indptr, packed = pack_rows([np.asarray(row) for row in ids], np.int32)
    values = [np.asarray([weights.get(index, ABSENT_WEIGHT) for index in row]) for row in ids]
    arrays = {"indptr": indptr, "ids": packed, "weights": pack_rows(values, np.float32)[1]}
    return Answered(arrays=arrays, inputs=inputs, batching="single", special_ids=special)


def _token_weights(question: Question, tokenizer: Any) -> dict[int, float]:
    """Return token id → weight from --idf or the model's idf.json; empty without one."""
    own = question.plan.source.model.idf_path
    path = question.idf or (question.snapshot / own if own else None)
    if path is None:
        return {}
    with loading(question.kind):
        named = json.loads(path.read_text(encoding="utf-8"))
        vocabulary = tokenizer.get_vocab()
        return {vocabulary[token]: float(weight) for token, weight in named.items() if token in vocabulary}
