"""One valid document of each type, changed by keyword: ``make_plan(max_length=128)``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from release_tool.core.bundle import Bundle, ExportFacts, FileDigest
from release_tool.core.comparison import Comparison
from release_tool.core.config import all_config_text
from release_tool.core.digest import sha256_bytes
from release_tool.core.kinds import TRAITS, Format, Framework, ModelKind, PoolingMode
from release_tool.core.plan import (
    LicenceFacts,
    ModelFacts,
    PlannedArtifact,
    PlannedFile,
    ReleasePlan,
    SourceFacts,
    Tolerances,
)
from release_tool.core.proof import Proof
from release_tool.core.quality import Budget, Interval, Judged, Measures, Quality
from release_tool.core.request import ReleaseRequest
from release_tool.core.source import SourceFile, SourceSnapshot
from release_tool.core.speed import Beside, Measured, Speed, Times
from release_tool.core.speed_ratio import Ratio
from release_tool.core.variants import Variant

COMMIT = "c" * 40
SHA = "0" * 63
MODEL_CONFIG = {"model_type": "bert"}
"""The config.json of the model that the plan is about."""

VARIANT = {Format.TORCH_SCRIPT: Variant.EAGER, Format.ONNX: Variant.FUSED}
ARTIFACT_ID = {Format.TORCH_SCRIPT: "torch_script", Format.ONNX: "onnx"}


def sha(digit: str) -> str:
    """Return a well-formed sha256 that differs by its last digit."""
    return SHA + digit


def make_request(**over: Any) -> ReleaseRequest:
    """Return a request for a small dense model."""
    return ReleaseRequest(**{"model": "acme/tiny", "version": "1.0.0", **over})


def make_model_facts(**over: Any) -> ModelFacts:
    """Return what plan read of a small BERT with mean pooling."""
    facts = {
        "architecture": "BertModel",
        "model_type": "bert",
        "modules": ("Transformer", "Pooling", "Normalize"),
        "pooling_mode": PoolingMode.MEAN,
        "normalize": True,
        "embedding_dimension": 32,
        "max_length": 512,
        "weights_dtype": "float32",
        "weight_bytes": 180_000,
        "config_sha256": sha256_bytes(all_config_text(MODEL_CONFIG).encode()),
    }
    return ModelFacts(**{**facts, **over})


def make_facts(**over: Any) -> SourceFacts:
    """Return the facts of a model on the hub; ``model`` replaces the model's own."""
    facts = {
        "origin": "hub",
        "model_id": "acme/tiny",
        "revision": COMMIT,
        "requested_revision": None,
        "files": (PlannedFile(path="model.safetensors", size=180_000, digest=f"sha256:{sha('1')}"),),
        "licence": LicenceFacts(declared="apache-2.0", listed=True),
        "model": make_model_facts(),
        "description": "A tiny model.",
        "kinds": (ModelKind.DENSE,),
        "kind_reason": "modules.json",
    }
    return SourceFacts(**{**facts, **over})


def make_artifact(kind: ModelKind = ModelKind.DENSE, fmt: Format = Format.TORCH_SCRIPT, **over: Any) -> PlannedArtifact:
    """Return a planned artifact with all its names."""
    folder = f"ml-models/huggingface/acme/tiny/1.0.0/{fmt}"
    name = f"acme_tiny-1.0.0-{fmt}.zip"
    facts = {
        "id": "tokenizer" if kind is ModelKind.SPARSE_TOKENIZER else ARTIFACT_ID[fmt],
        "kind": kind,
        "format": fmt,
        "variant": VARIANT[fmt] if TRAITS[kind].model_file else Variant.FP32,
        "model_name": "tiny",
        "registered_name": "huggingface/acme/tiny",
        "file_name": name,
        "key": f"{folder}/{name}",
        "config_key": f"{folder}/config.json",
        "expected_bytes": 200_000,
    }
    return PlannedArtifact(**{**facts, **over})


def make_plan(kind: ModelKind = ModelKind.DENSE, **over: Any) -> ReleasePlan:
    """Return a plan with every format of the kind; ``model`` changes the facts about the model."""
    dense = kind is ModelKind.DENSE
    model = over.pop("model", {})
    facts = {
        "tool_version": "0.1.0",
        "request": make_request(kinds=(kind,)),
        "source": make_facts(kinds=(kind,), model=make_model_facts(**model)),
        "kinds": (kind,),
        "prefix": "acme",
        "target_versions": ("2.19", "3.6"),
        "attention": "eager",
        "max_length": 512,
        "pooling_mode": PoolingMode.MEAN if dense else None,
        "normalize_result": True if dense else None,
        "framework": Framework.SENTENCE_TRANSFORMERS,
        "prune_ratio": 0.0,
        "activation": "log1p",
        "description": "A tiny model.",
        "artifacts": tuple(make_artifact(kind, fmt) for fmt in TRAITS[kind].formats),
        "left_out": (),
        "warnings": (),
        "tolerances": Tolerances(),
        "limits": {"archive_bytes": 4 * 1024**3 - 1, "onnx_bytes": 2 * 1024**3 - 1, "max_length": 512},
    }
    return ReleasePlan(**{**facts, **over})


def make_source(**over: Any) -> SourceSnapshot:
    """Return a snapshot of one file."""
    file = SourceFile(path="model.safetensors", size=180_000, sha256=sha("1"), hub_digest=f"sha256:{sha('1')}")
    facts = {"uses": {"plan.json": sha("2")}, "model_id": "acme/tiny", "revision": COMMIT, "files": (file,)}
    return SourceSnapshot(**{**facts, **over})


def make_bundle(kind: ModelKind = ModelKind.DENSE, fmt: Format = Format.TORCH_SCRIPT, **over: Any) -> Bundle:
    """Return the bundle of one archive."""
    artifact = make_artifact(kind, fmt)
    facts = {
        "uses": {"plan.json": sha("2"), "source.json": sha("3")},
        "artifact": artifact.id,
        "kind": kind,
        "format": fmt,
        "archive": FileDigest(path=f"archives/{artifact.file_name}", size=200_000, sha256=sha("a")),
        "config": FileDigest(path=f"archives/{artifact.id}.config.json", size=900, sha256=sha("b")),
        "embedding_dimension": 32 if kind is ModelKind.DENSE else None,
        "export": ExportFacts(versions={"python": "3.11", "torch": "2.13.0"}, attention="eager", parameters=45_000),
    }
    return Bundle(**{**facts, **over})


def make_comparison(kind: ModelKind = ModelKind.DENSE, **over: Any) -> Comparison:
    """Return a comparison that passes."""
    facts: dict[str, Any] = {"probe": "short-1", "shape": "short", "tokens": 6, "tokens_reference": 6}
    if kind is ModelKind.DENSE:
        facts |= {"max_abs": 1e-7, "scale": 0.4, "cosine": 1.0, "norm": 1.0, "norm_reference": 1.0}
    elif kind in (ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER):
        facts |= {"max_abs": 1e-6, "scale": 2.0, "missing": 0, "extra": 0, "active": 20}
    elif kind is ModelKind.METRICS_CORRELATION:
        facts |= {"max_abs": 1e-7, "scale": 0.4, "same_answer": True}
    elif kind is ModelKind.HIGHLIGHTER:
        facts |= {"same_answer": True, "margin": 0.2}
    else:
        facts |= {"max_abs": 1e-6, "scale": 1.0}
    return Comparison(**{**facts, **over})


def make_proof(kind: ModelKind = ModelKind.DENSE, ring: str = "runtime", **over: Any) -> Proof:
    """Return a green proof of one probe."""
    facts = {
        "uses": {"bundle-torch_script.json": sha("4")},
        "ring": ring,
        "artifact": "torch_script",
        "kind": kind,
        "archive_sha256": sha("a"),
        "answers_sha256": sha("5"),
        "probes_sha256": sha("6"),
        "versions": {"torch": "2.13.0", "tokenizers": "0.20.3"},
        "pinned": True,
        "embedding_dimension": 32 if kind is ModelKind.DENSE else None,
        "comparisons": (make_comparison(kind),),
    }
    return Proof(**{**facts, **over})


def make_judged(**over: Any) -> Judged:
    """Return a set on which nothing is lost."""
    means = Measures(ndcg_10=0.61, recall_100=0.99, mrr_10=0.64)
    facts: dict[str, Any] = {
        "name": "release-tool",
        "sha256": sha("7"),
        "files": {"corpus.jsonl": sha("8"), "qrels/test.tsv": sha("9"), "queries.jsonl": sha("a")},
        "documents": 314,
        "queries": 122,
        "judgements": 300,
        "empty": 0,
        "refused": 0,
        "source": means,
        "archive": means,
        "loss": Interval(low=0.0, high=0.0, level=0.95, resamples=10_000, seed=1),
        "losers": (),
    }
    return Judged(**{**facts, **over})


def make_quality(kind: ModelKind = ModelKind.DENSE, **over: Any) -> Quality:
    """Return a document of one set on which nothing is lost."""
    facts: dict[str, Any] = {
        "uses": {"bundle-torch_script.json": sha("4")},
        "artifact": "torch_script",
        "kind": kind,
        "variant": "eager",
        "archive_sha256": sha("a"),
        "budget": Budget(loss_points=0.1),
        "sets": (make_judged(),),
        "similarity": "dot",
        "versions": {"ir-measures": "0.4.3"},
    }
    return Quality(**{**facts, **over})


def make_speed(**over: Any) -> Speed:
    """Return a document of one run, a tenth slower than another archive of the same size."""
    beside = Beside(
        file_name="other.zip",
        sha256=sha("b"),
        size=1_000_000,
        times=(Times(tokens=64, p50_ms=10.0, p95_ms=12.0, answers=60),),
        ratios=(Ratio(tokens=64, ratio=1.1, low=1.05, high=1.15),),
    )
    measured = Measured(
        ring="runtime",
        times=(Times(tokens=64, p50_ms=11.0, p95_ms=13.0, answers=60),),
        load_seconds=0.25,
        loaded_bytes=200_000_000,
        peak_bytes=210_000_000,
        rounds=30,
        starts=3,
        versions={"onnxruntime": "1.16.3"},
        pinned=True,
        note=None,
        machine="a processor, 2 cores",
        beside=beside,
    )
    facts: dict[str, Any] = {
        "uses": {"bundle-torch_script.json": sha("4")},
        "artifact": "torch_script",
        "kind": ModelKind.DENSE,
        "variant": "eager",
        "archive_sha256": sha("a"),
        "size": 1_000_000,
        "budgets": {},
        "measured": (measured,),
    }
    return Speed(**{**facts, **over})


def with_comparisons(proof: Proof, *comparisons: Comparison) -> Proof:
    """Return the proof with other measurements."""
    return replace(proof, comparisons=comparisons)
