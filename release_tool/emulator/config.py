"""The register request's fields that decide how the server feeds a model and reads its answers.

Source: ``MLRegisterModelInput``, ``BaseModelConfig`` and ``TextEmbeddingModelConfig`` of ML Commons 3.6.0.0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .faults import ContractFault, Refused

if TYPE_CHECKING:
    from pathlib import Path

FRAMEWORKS = ("HUGGINGFACE_TRANSFORMERS", "SENTENCE_TRANSFORMERS", "HUGGINGFACE_TRANSFORMERS_NEURON")
POOLING = ("MEAN", "MEAN_SQRT_LEN", "MAX", "WEIGHTED_MEAN", "CLS", "LAST_TOKEN", "NONE")
WITHOUT_CONFIG = frozenset({"SPARSE_ENCODING", "SPARSE_TOKENIZE"})
KINDS = {
    "TEXT_EMBEDDING": "dense",
    "SPARSE_ENCODING": "sparse",
    "SPARSE_TOKENIZE": "sparse-tokenizer",
    "TEXT_SIMILARITY": "cross-encoder",
    "QUESTION_ANSWERING": "question-answering",
    "METRICS_CORRELATION": "metrics-correlation",
}
FORMATS = {"METRICS_CORRELATION": ("TORCH_SCRIPT",)}
HIGHLIGHTING = "sentence_highlighting"


@dataclass(frozen=True)
class ServedConfig:
    """What the server knows about a model beside its archive."""

    function: str
    model_format: str
    model_type: str | None = None
    framework: str = "SENTENCE_TRANSFORMERS"
    pooling: str = "MEAN"
    normalize: bool = False
    model_max_length: int | None = None
    query_prefix: str | None = None
    passage_prefix: str | None = None
    all_config: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The kind of model, in this project's words."""
        if self.function == "QUESTION_ANSWERING" and (self.model_type or "").lower() == HIGHLIGHTING:
            return "highlighter"
        return KINDS[self.function]

    @property
    def wants_token_types(self) -> bool:
        """Whether model_type makes the dense translators feed token_type_ids."""
        return (self.model_type or "").lower() in {"bert", "albert"}

    def prefix(self, role: str | None) -> str:
        """Return what the server puts before a text of this role."""
        return (self.query_prefix if role == "query" else self.passage_prefix) or ""


def read_config(path: Path, server: tuple[int, ...]) -> ServedConfig:
    """Read config.json as a register request of a server of this version.

    Raises:
        Refused: the server refuses the request, or the deployment that follows.
    """
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"config.json is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise Refused("config.json is no object")
    function = str(data.get("function_name") or "TEXT_EMBEDDING").upper()
    if function not in KINDS:
        raise Refused(f"Wrong function name: no emulation of {function}")
    model_format = str(data.get("model_format") or "").upper()
    if not model_format:
        raise Refused("model format is null")
    if model_format not in FORMATS.get(function, ("TORCH_SCRIPT", "ONNX")):
        raise Refused("unsupported engine" if model_format == "ONNX" else "Wrong model format")
    model = data.get("model_config")
    if model is None:
        if function not in WITHOUT_CONFIG:
            raise Refused("model config is null")
        return ServedConfig(function=function, model_format=model_format)
    if function == "SPARSE_ENCODING" and server >= (3, 1):
        # Parsed as a BaseModelConfig, then cast by the warm-up (seen in the source up to 3.9).
        raise Refused("class BaseModelConfig cannot be cast to class TextEmbeddingModelConfig")
    keys = list(data)
    if function == "TEXT_EMBEDDING" and server >= (3, 1) and keys.index("model_config") < _place(keys):
        raise Refused("embedding dimension is null: function_name stands after model_config")
    return _model_config(model, function, model_format)


def _place(keys: list[str]) -> int:
    return keys.index("function_name") if "function_name" in keys else len(keys)


def _model_config(model: dict[str, Any], function: str, model_format: str) -> ServedConfig:
    model_type = model.get("model_type")
    framework = str(model.get("framework_type") or "").upper()
    pooling = str(model.get("pooling_mode") or "MEAN").upper()
    if model_type is None:
        raise Refused("model type is null")
    if function == "TEXT_EMBEDDING" and model.get("embedding_dimension") is None:
        raise Refused("embedding dimension is null")
    if function in {"TEXT_EMBEDDING", "QUESTION_ANSWERING"} and not framework:
        raise Refused("framework type is null")
    if framework and framework not in FRAMEWORKS:
        raise Refused("Wrong framework type")
    if pooling not in POOLING:
        raise Refused("Wrong pooling method")
    length = model.get("model_max_length")
    return ServedConfig(
        function=function,
        model_format=model_format,
        model_type=str(model_type),
        framework=framework or "SENTENCE_TRANSFORMERS",
        pooling=pooling,
        normalize=bool(model.get("normalize_result") or False),
        model_max_length=None if length is None else int(length),
        query_prefix=model.get("query_prefix"),
        passage_prefix=model.get("passage_prefix"),
        all_config=_all_config(model),
    )


def _all_config(model: dict[str, Any]) -> dict[str, Any]:
    text = model.get("all_config")
    if text is None:
        return {}
    try:
        table = json.loads(text)
    except (TypeError, json.JSONDecodeError) as error:
        raise ContractFault(f"all_config is no JSON text: {error}") from error
    if not isinstance(table, dict):
        raise ContractFault("all_config is no JSON object")
    repeated = sorted(set(table) & set(model.get("additional_config") or {}))
    if repeated:
        raise Refused(f"Duplicate keys found in both all_config and additional_config: {', '.join(repeated)}")
    return table
