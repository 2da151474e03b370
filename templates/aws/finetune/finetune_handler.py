"""Serve a model of sentence-transformers behind an endpoint of SageMaker, dense or sparse.

Asked is a JSON list of texts, or ``{"inputs": [...]}``; the answer is a list as long: vectors of a dense model, token
-> weight of a sparse one. An inference-free sparse model answers as for documents: queries need no endpoint.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

JSON = "application/json"
MAX_TEXTS = 1024
BATCH = 32
DIGITS = 6


def model_fn(model_dir: str) -> Any:
    """Load the model; no code of it is run."""
    import torch
    from sentence_transformers import SentenceTransformer, SparseEncoder

    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = SparseEncoder if is_sparse(Path(model_dir)) else SentenceTransformer
    model = kind(model_dir, device=device, trust_remote_code=False)
    model.eval()
    return model


def is_sparse(folder: Path) -> bool:
    """Tell whether a folder holds a sparse encoder, by the modules that it lists."""
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    types = " ".join(str(one.get("type")) for one in modules)
    config = folder / "config_sentence_transformers.json"
    named = json.loads(config.read_text(encoding="utf-8")).get("model_type") if config.is_file() else None
    return named == "SparseEncoder" or "sparse" in types.lower() or "Splade" in types


def facts(model: Any) -> dict[str, Any]:
    """Return kind and dimension of a loaded model."""
    from sentence_transformers import SparseEncoder

    sparse = isinstance(model, SparseEncoder)
    size = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
    return {"kind": "sparse" if sparse else "dense", "dimension": int(size())}


def input_fn(body: str | bytes, content_type: str) -> list[str]:
    """Read what is asked.

    Raises:
        ValueError: it is no list of texts; the server answers 400 with these words.
    """
    if content_type.partition(";")[0].strip().lower() != JSON:
        raise ValueError(f"send {JSON}")
    data = json.loads(body)
    texts = data.get("inputs") if isinstance(data, dict) else data
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, list) or not texts or not all(isinstance(one, str) for one in texts):
        raise ValueError("send a JSON list of texts")
    if len(texts) > MAX_TEXTS:
        raise ValueError(f"send at most {MAX_TEXTS} texts at once")
    return texts


def predict_fn(texts: list[str], model: Any) -> list[Any]:
    """Encode texts; longer ones than the model reads are cut, as in OpenSearch itself."""
    import torch

    with torch.inference_mode():
        if facts(model)["kind"] == "sparse":
            encoded = model.encode_document(texts, batch_size=BATCH, show_progress_bar=False)
            return [{token: round(float(weight), DIGITS) for token, weight in row} for row in model.decode(encoded)]
        found = model.encode(texts, batch_size=BATCH, show_progress_bar=False, convert_to_numpy=True)
    return [[float(value) for value in row] for row in found]


def output_fn(rows: list[Any], accept: str) -> tuple[str, str]:
    """Write the answer.

    Raises:
        ValueError: the client wants something else than JSON.
    """
    if accept and not any(one in accept.lower() for one in (JSON, "*/*", "application/*")):
        raise ValueError(f"take {JSON}")
    return json.dumps(rows), JSON
