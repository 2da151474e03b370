"""A whole release in a work folder: every document, the archives, the chain of digests, as the steps write them."""

from __future__ import annotations

import functools
import io
import math
import zipfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from factories import (
    MODEL_CONFIG,
    make_bundle,
    make_comparison,
    make_plan,
    make_proof,
    make_quality,
    make_source,
    make_speed,
)

from release_tool.core.bundle import Bundle, FileDigest, bundle_name
from release_tool.core.certificate import Certificate, certificate_name, fold
from release_tool.core.config import config_text, register_request
from release_tool.core.digest import sha256_bytes
from release_tool.core.kinds import ModelKind
from release_tool.core.proof import Proof, proof_name
from release_tool.core.quality import QUALITY_KINDS, quality_name
from release_tool.core.speed import speed_name
from release_tool.documents import WorkFolder, write_atomic
from release_tool.packaged import packaged_probes

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.plan import PlannedArtifact, ReleasePlan
    from release_tool.core.source import SourceSnapshot

SHIPPED = functools.cache(packaged_probes)
VERSIONS = {
    "runtime": {"onnxruntime": "1.16.3", "tokenizers": "0.20.3", "torch": "2.13.0"},
    "node": {"opensearch": "3.6.0", "ml-commons": "3.6.0.0"},
    "legacy": {"torch": "1.13.1"},
}


@dataclass
class Release:
    """The documents, and where they lie."""

    folder: Path
    plan: ReleasePlan
    source: SourceSnapshot
    bundles: dict[str, Bundle] = field(default_factory=dict)
    certificates: dict[str, Certificate] = field(default_factory=dict)


def spread(index: int, low: float, high: float) -> float:
    """Return numbers that look like rounding errors, the same in every run."""
    share = (math.sin(index * 12.9898 + 1) * 43758.5453) % 1.0
    return low * (high / low) ** share


def comparisons(kind: ModelKind, low: float, high: float) -> tuple[Any, ...]:
    """Return one comparison a shipped probe, with differences between ``low`` and ``high``."""
    rows = []
    for index, probe in enumerate(SHIPPED().for_kind(kind)):
        tokens = min(512, 2 + max(1, len(probe.text) // 4))
        over: dict[str, Any] = {"probe": probe.id, "shape": probe.shape, "tokens": tokens, "tokens_reference": tokens}
        if kind is not ModelKind.HIGHLIGHTER:
            over["max_abs"] = spread(index, low, high)
        rows.append(make_comparison(kind, **over))
    return tuple(rows)


def write_release(
    folder: Path,
    kind: ModelKind = ModelKind.DENSE,
    *,
    plan: ReleasePlan | None = None,
    rings: tuple[str, ...] = ("runtime",),
    certified: bool = True,
    change_proof: Any = lambda proof: proof,
    change_bundle: Any = lambda bundle: bundle,
    change_source: Any = lambda source: source,
    change_config: Any = lambda data: data,
    change_quality: Any = lambda quality: quality,
    change_speed: Any = lambda _: None,
    archive_of: Any = None,
    model_config: dict[str, Any] | None = None,
) -> Release:
    """Write a release as plan, fetch, trace and validate would, and return it.

    Args:
        folder: the work folder.
        kind: of every artifact of the plan.
        plan: another plan than the factory's.
        rings: which proofs there are, for each artifact.
        certified: False leaves proofs and certificates out.
        change_proof: proof → proof, before it is written.
        change_bundle: bundle → bundle, before it is written.
        change_source: source → source, before it is written.
        change_config: bytes of config.json → bytes, before it is written.
        change_quality: quality → quality, before it is written; null leaves it out.
        change_speed: speed → speed, before it is written; as it is, nobody measured it.
        archive_of: artifact id → bytes of its archive; null for a small one that is always the same.
        model_config: the config.json of the planned model; null for that of the factory's plan.
    """
    work = WorkFolder(folder)
    plan = plan or make_plan(kind)
    work.write("plan.json", plan)
    source = change_source(make_source(uses=work.uses("plan.json"), model_id=plan.source.model_id))
    work.write("source.json", source)
    write_atomic(work.path(f"answers-{kind}.safetensors"), f"answers of {kind}".encode())
    release = Release(folder=folder, plan=plan, source=source)
    for artifact in plan.artifacts:
        archive = _file(work, f"archives/{artifact.file_name}", (archive_of or _zip)(artifact.id))
        config = _file(
            work, f"archives/{artifact.id}.config.json", change_config(config_of(plan, artifact, archive, model_config))
        )
        uses = work.uses("plan.json", "source.json")
        made = make_bundle(kind, artifact.format, artifact=artifact.id, archive=archive, config=config, uses=uses)
        bundle = change_bundle(made)
        work.write(bundle_name(artifact.id), bundle)
        release.bundles[artifact.id] = bundle
        if certified:
            release.certificates[artifact.id] = _certify(
                work,
                release,
                artifact.id,
                kind=kind,
                rings=rings,
                change=change_proof,
                change_quality=change_quality,
                change_speed=change_speed,
            )
    return release


def config_of(
    plan: ReleasePlan, artifact: PlannedArtifact, archive: FileDigest, model_config: dict[str, Any] | None = None
) -> bytes:
    """Return the config.json that trace would write for an archive."""
    request = register_request(
        plan,
        artifact,
        model_config=MODEL_CONFIG if model_config is None else model_config,
        similarity=plan.source.model.similarity,
        embedding_dimension=32,
        size=archive.size,
        sha256=archive.sha256,
    )
    return config_text(request).encode()


def _certify(
    work: WorkFolder,
    release: Release,
    artifact: str,
    *,
    kind: ModelKind,
    rings: tuple[str, ...],
    change: Any,
    change_quality: Any,
    change_speed: Any,
) -> Certificate:
    answers = f"answers-{kind}.safetensors"
    proofs: list[Proof] = []
    for ring in rings:
        span = (3e-6, 3e-5) if ring == "node" else (3e-8, 1.6e-7)
        proof = make_proof(
            kind,
            ring,
            artifact=artifact,
            archive_sha256=release.bundles[artifact].archive.sha256,
            answers_sha256=work.sha256(answers),
            probes_sha256=SHIPPED().sha256,
            versions=VERSIONS[ring],
            comparisons=comparisons(kind, *span),
            uses=work.uses("plan.json", bundle_name(artifact), answers),
        )
        proofs.append(change(proof))
        work.write(proof_name(ring, artifact), proofs[-1])
    names = ["plan.json", "source.json", bundle_name(artifact), answers, *(proof_name(r, artifact) for r in rings)]
    bundle, quality = release.bundles[artifact], None
    if bundle.kind in QUALITY_KINDS:
        uses = work.uses("plan.json", "source.json", bundle_name(artifact))
        variant = release.plan.artifact(artifact).variant
        made = make_quality(kind, artifact=artifact, variant=variant, archive_sha256=bundle.archive.sha256, uses=uses)
        quality = change_quality(made)
    if quality is not None:
        work.write(quality_name(artifact), quality)
        names.append(quality_name(artifact))
    uses = work.uses("plan.json", "source.json", bundle_name(artifact))
    archive = bundle.archive
    variant = release.plan.artifact(artifact).variant
    of = make_speed(
        artifact=artifact, archive_sha256=archive.sha256, size=archive.size, kind=kind, variant=variant, uses=uses
    )
    speed = change_speed(of)
    if speed is not None:
        work.write(speed_name(artifact), speed)
        names.append(speed_name(artifact))
    certificate = fold(release.plan, release.source, bundle, tuple(proofs), work.uses(*names), quality, speed=speed)
    work.write(certificate_name(artifact), certificate)
    return certificate


def _file(work: WorkFolder, path: str, data: bytes) -> FileDigest:
    write_atomic(work.path(path), data)
    return FileDigest(path=path, size=len(data), sha256=sha256_bytes(data))


def _zip(name: str) -> bytes:
    """Return an archive without a model in it: whole, and nothing that a server would deploy."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo("LICENSE"), f"of {name}\n" * 1000)
    return stream.getvalue()


def one_changed(proof: Proof, index: int, **over: Any) -> Proof:
    """Return the proof with one comparison changed."""
    items = list(proof.comparisons)
    items[index] = replace(items[index], **over)
    return replace(proof, comparisons=tuple(items))
