"""Which archives a release has, in which variants and under which names, or why one can't be made."""

from __future__ import annotations

from dataclasses import dataclass

from release_tool.core.kinds import MAX_ARCHIVE_BYTES, TRAITS, Format, ModelKind, PoolingMode
from release_tool.core.naming import MAX_KEY_BYTES, TOKENIZER_SUFFIX, derived_key, name_archive
from release_tool.core.plan import LeftOut, PlannedArtifact, SourceFacts
from release_tool.core.request import NAME_PATTERN, ReleaseRequest
from release_tool.core.serving import format_obstacle
from release_tool.core.variant_choice import fusion_obstacle, onnx_variants, torch_script_variant
from release_tool.core.variants import INT8_SUFFIX, Variant
from release_tool.errors import Fault

OVERHEAD_BYTES = 200_000
"""Bytes of an archive beside weights and tokenizer: code of the graph, licence, zip entries."""

HALF_TYPES = frozenset({"float16", "bfloat16"})
FP32_BYTES = 4
IDF_FACTOR = 8
"""Bytes of a token and its weight as JSON to the four of a float32: ``"token": 1.2345678901234567, ``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What is settled before artifacts are named."""

    kinds: tuple[ModelKind, ...]
    targets: tuple[str, ...]
    attention: str
    prefix: str
    name: str
    pooling: PoolingMode | None
    normalize: bool
    server_pools: str | None
    """Why the server can't pool; null when it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifacts:
    """What will be made, what will not, and what is wrong with what was asked for."""

    made: tuple[PlannedArtifact, ...]
    left_out: tuple[LeftOut, ...]
    faults: tuple[Fault, ...]


def plan_artifacts(request: ReleaseRequest, source: SourceFacts, decided: Decisions) -> Artifacts:
    """Return every archive of a release, with its names.

    Args:
        request: with its kinds settled.
        source: the pinned source.
        decided: what holds for all of them.
    """
    made: list[PlannedArtifact] = []
    left_out: list[LeftOut] = []
    faults: list[Fault] = []
    for kind in decided.kinds:
        size = expected_bytes(kind, source)
        if size > MAX_ARCHIVE_BYTES:
            problem = f"about {size:,} bytes as fp32, more than the {MAX_ARCHIVE_BYTES:,} that ML Commons takes"
            faults.append(Fault("MODEL", problem))
            continue
        asked = [fmt for fmt in request.formats if fmt in TRAITS[kind].formats] or list(TRAITS[kind].formats)
        for fmt in Format:
            artifact_id = "tokenizer" if kind is ModelKind.SPARSE_TOKENIZER else fmt.value
            reason = format_obstacle(
                kind, fmt, targets=decided.targets, pooling=decided.server_pools, expected_bytes=size
            )
            if fmt in asked and reason is None:
                variants = _variants(request, source, decided, kind, fmt)
                made += [_artifact(request, source, decided, kind, fmt, variant) for variant in variants]
                if not set(variants) - {Variant.INT8}:
                    left_out.append(LeftOut(id=artifact_id, reason="not asked for (--variant)"))
            elif fmt in asked and fmt in request.formats:
                faults.append(Fault("--format", f"{fmt} can't be made: {reason}", "leave --format out to get what can"))
            elif kind is not ModelKind.SPARSE_TOKENIZER:
                left_out.append(LeftOut(id=artifact_id, reason=reason or "not asked for (--format)"))
    if decided.kinds and not made and not faults:
        first = TRAITS[decided.kinds[0]]
        reason = left_out[0].reason if left_out else f"{first.function_name} is not served by any target"
        faults.append(Fault("--target-versions", f"nothing can be made: {reason}"))
    if ModelKind.SPARSE in decided.kinds and ModelKind.SPARSE_TOKENIZER not in decided.kinds and source.model.idf_path:
        left_out.append(
            LeftOut(id="tokenizer", reason="not asked for: --kind sparse --kind sparse-tokenizer releases both")
        )
    faults += [*_variant_faults(request, source, made, left_out), *_key_faults(made, request.version)]
    return Artifacts(made=tuple(made), left_out=tuple(left_out), faults=tuple(faults))


def _variants(
    request: ReleaseRequest, source: SourceFacts, decided: Decisions, kind: ModelKind, fmt: Format
) -> tuple[Variant, ...]:
    if not TRAITS[kind].model_file or kind is ModelKind.METRICS_CORRELATION:
        return (Variant.FP32,)
    if fmt is Format.TORCH_SCRIPT:
        return (torch_script_variant(decided.attention, cpu_only=bool(request.cpu_only)),)
    return onnx_variants(request.variants or (), source)


def _variant_faults(
    request: ReleaseRequest, source: SourceFacts, made: list[PlannedArtifact], left_out: list[LeftOut]
) -> list[Fault]:
    """Return what is wrong with ``--variant`` and ``--cpu-only``, by what would be made of them."""
    faults = []
    asked = request.variants or ()
    if {Variant.FP32, Variant.FUSED} <= set(asked):
        problem = "fp32 and fused would be the same model, name and key"
        faults.append(Fault("--variant", problem, "choose one; int8 can stand beside either"))
    obstacle = fusion_obstacle(source)
    if Variant.FUSED in asked and obstacle:
        faults.append(Fault("--variant", f"fused can't be made: {obstacle}", "leave --variant out to get fp32"))
    if request.kinds and asked and not any(item.format is Format.ONNX for item in made):
        reason = next((item.reason for item in left_out if item.id == Format.ONNX.value), None)
        problem = f"{', '.join(asked)} can't be made of ONNX"
        faults.append(Fault("--variant", f"{problem}: {reason}" if reason else problem, "leave --variant out"))
    traced = any(item.format is Format.TORCH_SCRIPT and item.variant is not Variant.FP32 for item in made)
    if request.kinds and request.cpu_only and not traced:
        problem = "means nothing here: no model is traced to TorchScript"
        faults.append(Fault("--cpu-only", problem, "leave it out: an ONNX file serves every node"))
    return faults


def _artifact(
    request: ReleaseRequest, source: SourceFacts, decided: Decisions, kind: ModelKind, fmt: Format, variant: Variant, /
) -> PlannedArtifact:
    together = kind is ModelKind.SPARSE_TOKENIZER and len(decided.kinds) > 1
    artifact_id = "tokenizer" if kind is ModelKind.SPARSE_TOKENIZER else fmt.value
    suffix = INT8_SUFFIX if variant is Variant.INT8 else ""
    model_name = decided.name + (TOKENIZER_SUFFIX if together else "") + suffix
    names = name_archive(
        model_source=request.model_source,
        prefix=decided.prefix,
        model_name=model_name,
        version=request.version,
        fmt=fmt,
    )
    return PlannedArtifact(
        id=artifact_id + suffix,
        kind=kind,
        format=fmt,
        variant=variant,
        model_name=model_name,
        registered_name=names.registered_name,
        file_name=names.file_name,
        key=names.key,
        config_key=names.config_key,
        expected_bytes=expected_bytes(kind, source, variant),
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
    faults += [
        Fault("--name", f"{artifact.model_name!r} is too long for a model's name", "choose a shorter name")
        for artifact in artifacts
        if artifact.variant is Variant.INT8 and not NAME_PATTERN.fullmatch(artifact.model_name)
    ]
    # fp32 and fused share a key by design, and are refused as --variant.
    keys = [artifact.key for artifact in artifacts if artifact.variant is not Variant.FUSED]
    faults += [Fault("--name", f"two artifacts would have the key {key}") for key in keys if keys.count(key) > 1]
    return faults


def expected_bytes(kind: ModelKind, source: SourceFacts, variant: Variant = Variant.FP32) -> int:
    """Return about how many bytes an archive will have: weights, tokenizer, graph.

    Of int8 as if every number took one byte; a layer that is kept in float32 adds three a number.
    """
    facts = source.model
    tokenizer = facts.tokenizer_bytes or 0
    if not TRAITS[kind].model_file:
        weights = next((file.size for file in source.files if file.path == facts.idf_path), 0)
        return tokenizer + weights * (IDF_FACTOR if (facts.idf_path or "").endswith(".safetensors") else 1)
    if facts.parameters is not None:
        weights = facts.parameters * FP32_BYTES
    else:
        weights = facts.weight_bytes * (2 if facts.weights_dtype in HALF_TYPES else 1)
    return (weights // FP32_BYTES if variant is Variant.INT8 else weights) + tokenizer + OVERHEAD_BYTES
