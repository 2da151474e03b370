"""Turn a request and what was seen of the source into a plan, or list everything that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from release_tool.core import assertions, plan_warnings
from release_tool.core.descriptions import describe
from release_tool.core.detect import pooling_or_default
from release_tool.core.kinds import (
    MAX_ARCHIVE_BYTES,
    MAX_ONNX_BYTES,
    SERVER_MAX_LENGTH,
    TRAITS,
    Activation,
    Format,
    ModelKind,
    PoolingMode,
)
from release_tool.core.naming import (
    MAX_KEY_BYTES,
    TOKENIZER_SUFFIX,
    default_name,
    default_prefix,
    derived_key,
    name_archive,
)
from release_tool.core.opensearch import KNOWN_VERSIONS, any_below, number
from release_tool.core.plan import LeftOut, PlannedArtifact, ReleasePlan, SourceFacts, Tolerances
from release_tool.core.request import NAME_PATTERN, ReleaseRequest, check
from release_tool.core.serving import able, format_obstacle, pooling_obstacle
from release_tool.errors import Fault, RequestError

OVERHEAD_BYTES = 200_000
"""Bytes of an archive beside weights and tokenizer: code of the graph, licence, zip entries."""

HALF_TYPES = frozenset({"float16", "bfloat16"})
SDPA_SINCE = "3.0"
"""First OpenSearch with libtorch 2.5.1, which knows scaled_dot_product_attention."""

FP32 = "fp32"
FP32_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decisions:
    """What is settled before artifacts are named."""

    kinds: tuple[ModelKind, ...]
    targets: tuple[str, ...]
    prefix: str
    name: str
    pooling: PoolingMode | None
    normalize: bool
    server_pools: str | None
    """Why the server can't pool; null when it can."""


def make_plan(
    request: ReleaseRequest,
    source: SourceFacts,
    *,
    tool_version: str,
    lineage: dict[str, Any] | None = None,
    to: str | None = None,
) -> ReleasePlan:
    """Return the plan of a release.

    Args:
        request: as the person gave it.
        source: the pinned source.
        tool_version: of release-tool; recorded.
        lineage: how the model was fine-tuned, when it brings a record of it.
        to: address of the bucket that the request's target means.

    Raises:
        RequestError: the request can't be met; every fault is listed.
    """
    kinds = request.kinds or source.kinds
    settled = replace(request, kinds=kinds)
    faults = list(check(settled, is_folder=source.origin == "folder"))
    if not kinds:
        faults.append(_unknown_kind(source))
    faults += assertions.model_faults(settled, source)
    faults += assertions.code_faults(settled, source)
    decided = _decide(settled, source)
    faults += _name_faults(decided)
    artifacts, left_out, format_faults = _artifacts(settled, source, decided)
    faults += format_faults
    if faults:
        raise RequestError(tuple(dict.fromkeys(faults)))
    plan = _fold(
        request, source, decided, artifacts=artifacts, left_out=left_out, tool_version=tool_version, lineage=lineage
    )
    return replace(plan, to=to)


def _unknown_kind(source: SourceFacts) -> Fault:
    kinds = ", ".join(kind.value for kind in ModelKind)
    return Fault("--kind", f"can't be told from the model (seen: {source.kind_reason})", f"name it: {kinds}")


def _decide(request: ReleaseRequest, source: SourceFacts) -> _Decisions:
    facts = source.model
    known = tuple(dict.fromkeys(version for version in request.target_versions if version in KNOWN_VERSIONS))
    targets = tuple(
        sorted(
            (v for v in known if any(able(kind, fmt, (v,)) for kind in request.kinds for fmt in TRAITS[kind].formats)),
            key=number,
        )
    )
    pooling = pooling_or_default(facts, request.pooling_mode)
    normalize = facts.normalize if facts.normalize is not None else bool(request.normalize_result)
    return _Decisions(
        kinds=request.kinds,
        targets=targets,
        prefix=_default_prefix(request, source) if request.prefix is None else request.prefix,
        name=default_name(source.model_id) if request.name is None else request.name,
        pooling=pooling,
        normalize=normalize,
        server_pools=pooling_obstacle(facts, pooling, normalize=normalize, targets=targets),
    )


def _default_prefix(request: ReleaseRequest, source: SourceFacts) -> str:
    """Return the organisation; none for metrics correlation: the catalogue's own is amazon/metrics_correlation."""
    alone = ModelKind.METRICS_CORRELATION in request.kinds
    return "" if alone else default_prefix(source.model_id)


def _name_faults(decided: _Decisions) -> list[Fault]:
    faults = []
    if not NAME_PATTERN.fullmatch(decided.name):
        faults.append(Fault("--name", f"{decided.name!r} can't stand in an object key", "give a name with --name"))
    if decided.prefix and not NAME_PATTERN.fullmatch(decided.prefix):
        faults.append(
            Fault("--prefix", f"{decided.prefix!r} can't stand in an object key", "give a prefix with --prefix")
        )
    return faults


# --- artifacts -----------------------------------------------------------------------------------------------------


def _artifacts(
    request: ReleaseRequest, source: SourceFacts, decided: _Decisions
) -> tuple[list[PlannedArtifact], list[LeftOut], list[Fault]]:
    artifacts: list[PlannedArtifact] = []
    left_out: list[LeftOut] = []
    faults: list[Fault] = []
    for kind in decided.kinds:
        size = expected_bytes(kind, source)
        if size > MAX_ARCHIVE_BYTES:
            faults.append(
                Fault(
                    "MODEL",
                    f"about {size:,} bytes as {FP32}, more than the {MAX_ARCHIVE_BYTES:,} that ML Commons takes",
                )
            )
            continue
        asked = [fmt for fmt in request.formats if fmt in TRAITS[kind].formats] or list(TRAITS[kind].formats)
        for fmt in Format:
            artifact_id = "tokenizer" if kind is ModelKind.SPARSE_TOKENIZER else fmt.value
            reason = format_obstacle(
                kind, fmt, targets=decided.targets, pooling=decided.server_pools, expected_bytes=size
            )
            if fmt in asked and reason is None:
                artifacts.append(_artifact(request, decided, kind, fmt, id_=artifact_id, size=size))
            elif fmt in asked and fmt in request.formats:
                faults.append(Fault("--format", f"{fmt} can't be made: {reason}", "leave --format out to get what can"))
            elif kind is not ModelKind.SPARSE_TOKENIZER:
                left_out.append(LeftOut(id=artifact_id, reason=reason or "not asked for (--format)"))
    if decided.kinds and not artifacts and not faults:
        first = TRAITS[decided.kinds[0]]
        reason = left_out[0].reason if left_out else f"{first.function_name} is not served by any target"
        faults.append(Fault("--target-versions", f"nothing can be made: {reason}"))
    if ModelKind.SPARSE in decided.kinds and ModelKind.SPARSE_TOKENIZER not in decided.kinds and source.model.idf_path:
        left_out.append(
            LeftOut(id="tokenizer", reason="not asked for: --kind sparse --kind sparse-tokenizer releases both")
        )
    return artifacts, left_out, faults + _key_faults(artifacts, request.version)


def _artifact(
    request: ReleaseRequest, decided: _Decisions, kind: ModelKind, fmt: Format, *, id_: str, size: int
) -> PlannedArtifact:
    together = kind is ModelKind.SPARSE_TOKENIZER and len(decided.kinds) > 1
    model_name = decided.name + (TOKENIZER_SUFFIX if together else "")
    names = name_archive(
        model_source=request.model_source,
        prefix=decided.prefix,
        model_name=model_name,
        version=request.version,
        fmt=fmt,
    )
    return PlannedArtifact(
        id=id_,
        kind=kind,
        format=fmt,
        variant=FP32,
        model_name=model_name,
        registered_name=names.registered_name,
        file_name=names.file_name,
        key=names.key,
        config_key=names.config_key,
        expected_bytes=size,
    )


def _key_faults(artifacts: list[PlannedArtifact], version: str) -> list[Fault]:
    """Hold every key against the one that ML Commons will ask for, and against each other."""
    faults = [
        Fault("--name", f"{artifact.key} is not what ML Commons derives from {artifact.registered_name}")
        for artifact in artifacts
        if artifact.key != derived_key(artifact.registered_name, version, artifact.format)
    ]
    faults += [
        Fault("--name", f"the key of {artifact.id} is longer than {MAX_KEY_BYTES} bytes", "choose a shorter name")
        for artifact in artifacts
        if len(artifact.key.encode()) > MAX_KEY_BYTES
    ]
    keys = [artifact.key for artifact in artifacts]
    faults += [Fault("--name", f"two artifacts would have the key {key}") for key in keys if keys.count(key) > 1]
    return faults


IDF_FACTOR = 8
"""Bytes of a token and its weight as JSON to the four of a float32: ``"token": 1.2345678901234567, ``."""


def expected_bytes(kind: ModelKind, source: SourceFacts) -> int:
    """Return about how many bytes an archive will have: weights in float32, tokenizer, graph."""
    facts = source.model
    tokenizer = facts.tokenizer_bytes or 0
    if not TRAITS[kind].model_file:
        weights = next((file.size for file in source.files if file.path == facts.idf_path), 0)
        return tokenizer + weights * (IDF_FACTOR if (facts.idf_path or "").endswith(".safetensors") else 1)
    if facts.parameters is not None:
        return facts.parameters * FP32_BYTES + tokenizer + OVERHEAD_BYTES
    factor = 2 if facts.weights_dtype in HALF_TYPES else 1
    return facts.weight_bytes * factor + tokenizer + OVERHEAD_BYTES


# --- the document --------------------------------------------------------------------------------------------------


def _fold(
    request: ReleaseRequest,
    source: SourceFacts,
    decided: _Decisions,
    *,
    artifacts: list[PlannedArtifact],
    left_out: list[LeftOut],
    tool_version: str,
    lineage: dict[str, Any] | None,
) -> ReleasePlan:
    settled = replace(request, kinds=decided.kinds)
    dense = ModelKind.DENSE in decided.kinds
    facts = source.model
    return ReleasePlan(
        tool_version=tool_version,
        request=request,
        source=source,
        kinds=decided.kinds,
        prefix=decided.prefix,
        target_versions=decided.targets,
        attention="eager" if any_below(decided.targets, SDPA_SINCE) else "sdpa",
        max_length=facts.max_length or SERVER_MAX_LENGTH,
        pooling_mode=decided.pooling if dense else None,
        normalize_result=decided.normalize if dense else None,
        framework=request.framework,
        prune_ratio=request.prune_ratio or 0.0,
        activation=request.activation or facts.activation or Activation.LOG1P,
        description=describe(request.description, source.description, decided.kinds[0]),
        artifacts=tuple(artifacts),
        left_out=tuple(left_out),
        warnings=plan_warnings.collect(settled, source, decided.targets, tuple(artifacts)),
        tolerances=Tolerances(),
        limits={"archive_bytes": MAX_ARCHIVE_BYTES, "onnx_bytes": MAX_ONNX_BYTES, "max_length": SERVER_MAX_LENGTH},
        lineage=lineage,
    )
