"""The register request: config.json beside an archive, exactly what ML Commons' ``_register`` takes.

Key order matters since 3.1 (function_name decides how model_config is parsed), so the request is built front to back
as ordered dictionaries. Rules: ML Commons' MLRegisterModelInput and the model configs of 3.6.0.0.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from release_tool.core.kinds import TRAITS, Format, ModelKind, PoolingMode

if TYPE_CHECKING:
    from release_tool.core.plan import PlannedArtifact, ReleasePlan

WITH_MODEL_CONFIG = frozenset({ModelKind.DENSE, ModelKind.CROSS_ENCODER, ModelKind.QUESTION_ANSWERING})
"""Kinds whose request carries the transformer's config.json, as ``all_config``."""

SPACE_TYPES = {"cosine": "cosinesimil", "dot": "innerproduct", "euclidean": "l2"}
"""sentence-transformers' similarity_fn_name → OpenSearch's space_type."""


def register_request(
    plan: ReleasePlan,
    artifact: PlannedArtifact,
    *,
    model_config: dict[str, Any],
    similarity: str | None,
    embedding_dimension: int | None,
    size: int,
    sha256: str,
) -> dict[str, Any]:
    """Return the register request of one archive.

    Args:
        plan: names, description, pooling.
        artifact: the artifact of the plan.
        model_config: the transformer's config.json.
        similarity: the model's own similarity function, null where it names none.
        embedding_dimension: measured, null where the kind has none.
        size: bytes of the archive.
        sha256: of the archive.
    """
    request: dict[str, Any] = {
        "name": artifact.registered_name,
        "version": plan.request.version,
        "description": plan.description,
        "model_format": artifact.format.value.upper(),
        "function_name": TRAITS[artifact.kind].function_name,
    }
    inner = _model_config(plan, artifact, model_config, similarity, embedding_dimension)
    if inner is not None:
        request["model_config"] = inner
    request["model_content_size_in_bytes"] = size
    request["model_content_hash_value"] = sha256
    return request


def _model_config(
    plan: ReleasePlan,
    artifact: PlannedArtifact,
    model_config: dict[str, Any],
    similarity: str | None,
    embedding_dimension: int | None,
) -> dict[str, Any] | None:
    model_type = str(model_config.get("model_type", ""))
    all_config = all_config_text(model_config)
    match artifact.kind:
        case ModelKind.DENSE:
            return _dense(plan, artifact, model_type, all_config, similarity, embedding_dimension)
        case ModelKind.SPARSE | ModelKind.SPARSE_TOKENIZER:
            # Present, it is parsed as a base config since 3.1 and fails to cast at deploy; absent is always legal.
            return None
        case ModelKind.CROSS_ENCODER:
            # Only model_type is read since 3.1; up to 3.0 the dense config's three fields are demanded.
            return {
                "model_type": model_type,
                "embedding_dimension": 1,
                "framework_type": "huggingface_transformers",
                "all_config": all_config,
            }
        case ModelKind.QUESTION_ANSWERING:
            return {"model_type": model_type, "framework_type": "huggingface_transformers", "all_config": all_config}
        case ModelKind.HIGHLIGHTER:
            # The translator reads its chunking options from all_config; the model's config.json has none to give.
            return {"model_type": "sentence_highlighting", "framework_type": "huggingface_transformers"}
        case ModelKind.METRICS_CORRELATION:
            # Only model_type is kept; registered by name, and by address up to 3.0, the dense config's are demanded.
            return {
                "model_type": "metrics_correlation",
                "embedding_dimension": 1,
                "framework_type": "huggingface_transformers",
            }


def _dense(
    plan: ReleasePlan,
    artifact: PlannedArtifact,
    model_type: str,
    all_config: str,
    similarity: str | None,
    embedding_dimension: int | None,
) -> dict[str, Any]:
    pooling = plan.pooling_mode or PoolingMode.MEAN
    normalize = bool(plan.normalize_result)
    result: dict[str, Any] = {
        "model_type": model_type,
        "embedding_dimension": embedding_dimension,
        "framework_type": plan.framework.value,
        "pooling_mode": pooling.value.upper(),
        "normalize_result": normalize,
    }
    facts = plan.source.model
    if facts.query_prefix:
        result["query_prefix"] = facts.query_prefix
    if facts.passage_prefix:
        result["passage_prefix"] = facts.passage_prefix
    result["all_config"] = all_config
    result["additional_config"] = {"space_type": space_type(similarity, normalize=normalize)}
    if artifact.format is Format.TORCH_SCRIPT and plan.framework.value == "huggingface_transformers":
        # Only this path of the server takes its limit from here instead of 512.
        result["model_max_length"] = plan.max_length
    return result


def all_config_text(model_config: dict[str, Any]) -> str:
    """Return ``all_config``: the transformer's config.json on one line, its keys sorted."""
    return json.dumps(model_config, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def space_type(similarity: str | None, *, normalize: bool) -> str:
    """Return the k-NN space: the model's own similarity, else l2 for unit vectors (ranks as cosine does)."""
    if similarity in SPACE_TYPES:
        return SPACE_TYPES[similarity]
    return "l2" if normalize else "cosinesimil"


def config_text(request: dict[str, Any]) -> str:
    """Return config.json: four spaces as the released catalogue has it, a final newline."""
    return json.dumps(request, indent=4, ensure_ascii=False) + "\n"
