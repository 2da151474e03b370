"""The fixed weights of a query tokenizer: --idf, the model's idf.json, or the vector of its SparseStaticEmbedding."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from release_tool.core.kinds import ModelKind
from release_tool.errors import ExportError, UnsupportedModel
from release_tool.models.loading import transformer_folder

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer

    from release_tool.core.plan import ReleasePlan

VECTOR = ".safetensors"
WEIGHT = "weight"
"""The one tensor that sentence-transformers' SparseStaticEmbedding saves, float [vocabulary], frozen or trained."""


def tokenizer_folder(plan: ReleasePlan, kind: ModelKind, snapshot: Path) -> Path:
    """Return where the tokenizer of an archive lies: a SparseStaticEmbedding has one of its own beside its weights."""
    own = plan.source.model.idf_path
    if kind is ModelKind.SPARSE_TOKENIZER and own is not None and own.endswith(VECTOR):
        return (snapshot / own).parent
    return transformer_folder(snapshot)[0]


def token_weights(plan: ReleasePlan, tokenizer: Tokenizer, snapshot: Path, work: Path) -> dict[str, float] | None:
    """Return token → weight: the file given with --idf, else the model's own, else none.

    Raises:
        UnsupportedModel: it is no flat map of tokens to finite numbers, and no vector of finite numbers.
        ExportError: the vector is not as long as the vocabulary.
    """
    own = plan.source.model.idf_path
    if plan.request.idf is None and own is not None and own.endswith(VECTOR):
        return _of_vector(snapshot / own, tokenizer)
    candidates = [work / "inputs" / "idf.json"] if plan.request.idf is not None else []
    candidates += [snapshot / "idf.json", *sorted(snapshot.glob("*/idf.json"))]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        return None
    try:
        weights = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UnsupportedModel(f"idf.json is not JSON: {error}") from error
    good = isinstance(weights, dict) and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        for value in weights.values()
    )
    if not good:
        raise UnsupportedModel("idf.json is no flat map of tokens to finite numbers.")
    return {str(token): float(value) for token, value in weights.items()}


def _of_vector(path: Path, tokenizer: Tokenizer) -> dict[str, float]:
    """Return the weight of every token; float32 exactly, so the server reads the same numbers."""
    import torch
    from safetensors import SafetensorError, safe_open

    name = f"{path.parent.name}/{path.name}"
    try:
        with safe_open(path, framework="pt") as file:
            vector = file.get_tensor(WEIGHT).to(torch.float32)
    except SafetensorError as error:
        raise UnsupportedModel(f"{name} holds no token weights: {error}", hint="Give them with --idf FILE.") from error
    if vector.dim() != 1 or not bool(torch.isfinite(vector).all()):
        raise UnsupportedModel(f"{name} is no vector of finite token weights.", hint="Give them with --idf FILE.")
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    largest = max(vocabulary.values(), default=-1)
    if largest >= len(vector):
        raise ExportError(
            f"{name} has {len(vector)} token weights, the tokenizer knows ids up to {largest}.",
            hint="The tokenizer belongs to another model.",
        )
    values = vector.tolist()
    return {token: values[index] for token, index in vocabulary.items()}
