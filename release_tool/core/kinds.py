"""What kinds of model ML Commons serves, and what is fixed by the kind alone.

Source of the table: ML Commons' ``FunctionName`` and its translators, as of 3.6.0.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ModelKind(StrEnum):
    """What a model does; the same word in the form, the flags, the documents and the review page."""

    DENSE = "dense"
    SPARSE = "sparse"
    SPARSE_TOKENIZER = "sparse-tokenizer"
    CROSS_ENCODER = "cross-encoder"
    QUESTION_ANSWERING = "question-answering"
    HIGHLIGHTER = "highlighter"
    METRICS_CORRELATION = "metrics-correlation"


class Format(StrEnum):
    """Model formats of ML Commons, as they stand in object keys (register wants them in capitals)."""

    TORCH_SCRIPT = "torch_script"
    ONNX = "onnx"


class PoolingMode(StrEnum):
    """Values of ML Commons' PoolingMode enum; anything else is refused by the server."""

    MEAN = "mean"
    MEAN_SQRT_LEN = "mean_sqrt_len"
    MAX = "max"
    WEIGHTED_MEAN = "weighted_mean"
    CLS = "cls"
    LAST_TOKEN = "last_token"  # noqa: S105 - a pooling mode, no secret
    NONE = "none"


class Framework(StrEnum):
    """Who pools a TorchScript model: the graph (sentence_transformers) or the server (huggingface_transformers)."""

    SENTENCE_TRANSFORMERS = "sentence_transformers"
    HUGGINGFACE_TRANSFORMERS = "huggingface_transformers"


class Activation(StrEnum):
    """What a sparse encoder applies to its maxima: log1p(relu(x)) once (``log1p``), or log1p of that again (``l0``).

    sentence-transformers' SpladePooling names what stands inside its own log1p: its ``relu`` is ``log1p`` here, its
    ``log1p_relu`` is ``l0``.
    """

    LOG1P = "log1p"
    L0 = "l0"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindTraits:
    """What follows from the kind."""

    function_name: str
    """The register request's function_name."""
    formats: tuple[Format, ...]
    """Formats that ML Commons can serve for this kind, preferred first."""
    model_file: bool = True
    """False where the archive holds a tokenizer only."""
    unit: str = "token"
    """What the length of an input is counted in."""


TRAITS: dict[ModelKind, KindTraits] = {
    ModelKind.DENSE: KindTraits(function_name="TEXT_EMBEDDING", formats=(Format.TORCH_SCRIPT, Format.ONNX)),
    ModelKind.SPARSE: KindTraits(function_name="SPARSE_ENCODING", formats=(Format.TORCH_SCRIPT, Format.ONNX)),
    # Register demands a format even though there is no model file; torch_script is what ML Commons ships.
    ModelKind.SPARSE_TOKENIZER: KindTraits(
        function_name="SPARSE_TOKENIZE", formats=(Format.TORCH_SCRIPT,), model_file=False
    ),
    ModelKind.CROSS_ENCODER: KindTraits(function_name="TEXT_SIMILARITY", formats=(Format.TORCH_SCRIPT, Format.ONNX)),
    ModelKind.QUESTION_ANSWERING: KindTraits(function_name="QUESTION_ANSWERING", formats=(Format.TORCH_SCRIPT,)),
    ModelKind.HIGHLIGHTER: KindTraits(function_name="QUESTION_ANSWERING", formats=(Format.TORCH_SCRIPT,)),
    ModelKind.METRICS_CORRELATION: KindTraits(
        function_name="METRICS_CORRELATION", formats=(Format.TORCH_SCRIPT,), unit="number"
    ),
}

ASYMMETRIC_SINCE = "2.13"
"""First OpenSearch that knows query_prefix and passage_prefix."""

SERVER_MAX_LENGTH = 512
"""Tokens: ML Commons caps every tokenizer at modelMaxLength 512, whatever the model allows (ml-commons #3949)."""

MAX_ARCHIVE_BYTES = 4 * 1024**3 - 1
"""Bytes: ModelHelper refuses archives of 4 GiB and more."""

MAX_ONNX_BYTES = 2 * 1024**3 - 1
"""Bytes: one protobuf message; external data is not accepted."""
