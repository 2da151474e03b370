"""A bundle: one archive, the config.json that register takes, and how the archive was made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from release_tool.core.kinds import Format, ModelKind

MAX_WARNINGS = 200
"""An export has a handful; a job that runs a model's code could write any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """A file of the work folder by path (POSIX, relative), size in bytes and sha256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedWeight:
    """One weight that could be quantised."""

    name: str
    """Of the initialiser, or of the layer."""
    sensitivity: float | None
    """How far the answers to the probes move when this weight alone is quantised, rounded; null where not measured."""
    kept: bool
    """Whether it stays in float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisationRound:
    """One round of the search for what stays in float32."""

    kept: int
    """How many weights were kept in float32."""
    figures: dict[str, float]
    """Name of a budget → what was measured, such as ``cosine`` or ``kept_per_cent``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantised:
    """How a model was quantised; with it ``rebuild`` makes the same bytes without measuring again."""

    weights: tuple[QuantisedWeight, ...]
    rounds: tuple[QuantisationRound, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFacts:
    """How the model file was made, as far as it explains its bytes."""

    versions: dict[str, str]
    """Package → version of everything that shaped the bytes (torch, transformers, tokenizers, python, ...)."""
    attention: str | None
    """``eager`` or ``sdpa``; null where there is no model file."""
    opset: int | None = None
    ir_version: int | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    weights_dtype: str | None = None
    """The dtype on disk before everything was loaded as float32."""
    parameters: int = 0
    fused_operators: dict[str, int] | None = None
    """Fused operator → how often the graph has it; null where nothing was fused."""
    quantised: Quantised | None = None
    """Null where weights are float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """bundle-<artifact id>.json."""

    SCHEMA: ClassVar[str] = "release-tool/bundle@1"

    schema: str = "release-tool/bundle@1"
    uses: dict[str, str] = field(default_factory=dict)
    artifact: str
    """The id in the plan."""
    kind: ModelKind
    format: Format
    archive: FileDigest
    config: FileDigest
    embedding_dimension: int | None
    """Measured on the model's own output; null where the kind has none."""
    export: ExportFacts
    warnings: tuple[str, ...] = ()


def bundle_name(artifact_id: str) -> str:
    """Return the document's file name."""
    return f"bundle-{artifact_id}.json"


Config = dict[str, Any]
"""The register request as config.json holds it; key order matters (function_name before model_config)."""
