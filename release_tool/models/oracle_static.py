"""The oracle of a query tokenizer whose weights are a module: sentence-transformers' own ``encode_query``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from release_tool.errors import UnsupportedModel
from release_tool.models.answers import pack_rows
from release_tool.models.oracle_inputs import Answered, Question, loading, model_keywords, shared_keywords
from release_tool.models.sparse_rows import special_ids_of, spoken_of, without

if TYPE_CHECKING:
    from collections.abc import Iterator


def answer_static(question: Question) -> Answered:
    """Return the query side's answer as CSR: ``indptr``, ``ids``, ``weights`` (ids ascending, weights not zero).

    What OpenSearch adds is applied to the answer: special tokens and those that read as nothing weigh nothing.

    Raises:
        UnsupportedModel: the library can't load the model, or its query side is no SparseStaticEmbedding.
    """
    from sentence_transformers import SparseEncoder

    plan = question.plan
    with loading(question.kind):
        model = SparseEncoder(
            str(question.snapshot), device="cpu", model_kwargs=model_keywords(plan), **shared_keywords(plan)
        )
    model = model.float().eval()
    tokenizer = _shortened(model, plan.max_length)
    special = special_ids_of(tokenizer)
    texts = [probe.text for probe in question.probes]
    dense: np.ndarray = model.encode_query(
        texts, batch_size=len(texts), convert_to_sparse_tensor=False, show_progress_bar=False
    ).numpy()
    rows = [without(row, special) for row in dense]
    spoken = spoken_of(tokenizer, {int(index) for row in rows for index in np.flatnonzero(row)})
    ids = [np.asarray([index for index in np.flatnonzero(row) if int(index) in spoken]) for row in rows]
    indptr, packed = pack_rows(ids, np.int32)
    weights = pack_rows([row[chosen.astype(np.int64)] for row, chosen in zip(rows, ids, strict=True)], np.float32)[1]
    # The server's tokenizer adds special tokens and the module's does not: neither weighs them, both leave room.
    inputs = [list(tokenizer(text, truncation=True, max_length=plan.max_length)["input_ids"]) for text in texts]
    question.advance(len(texts))
    arrays = {"indptr": indptr, "ids": packed, "weights": weights}
    return Answered(arrays=arrays, inputs=inputs, batching="padded", special_ids=special)


def _shortened(model: Any, max_length: int) -> Any:
    """Return the query side's tokenizer, set to the tokens that the plan's length leaves beside special ones."""
    found = next(_static(model), None)
    if found is None:
        raise UnsupportedModel(
            "The model's query side is no SparseStaticEmbedding of sentence-transformers.",
            hint="Give the token weights with --idf FILE.",
        )
    tokenizer = found.tokenizer
    tokenizer.model_max_length = max_length - tokenizer.num_special_tokens_to_add(pair=False)
    return tokenizer


def _static(model: Any) -> Iterator[Any]:
    from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

    return (module for module in model.modules() if isinstance(module, SparseStaticEmbedding))
