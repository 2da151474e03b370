"""From a published release to its rows: one an archive.

What a row says about the model is what was measured and proven, as certificate and bundle hold it; what a person
asked for is no source. About the run it says what the run said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from release_tool.core import ledger_columns as column
from release_tool.core.certificate import certificate_name
from release_tool.core.kinds import ModelKind
from release_tool.core.proof import RUNTIME
from release_tool.core.publication import RELEASES, marker_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.core.certificate import Certificate
    from release_tool.core.plan import PlannedArtifact
    from release_tool.core.quality import Quality
    from release_tool.core.receipt import Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the job ended that carries the archives on."""

    result: str | None = None
    """``SUCCESS``, ``FAILURE``, …"""
    number: int | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A release as the documents of its work folder tell it."""

    receipt: Receipt
    certificates: Mapping[str, Certificate]
    """Artifact id → certificate: each holds plan, source and bundle."""
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    """Folder of a model in the bucket → how its build ended; nothing for a folder without one."""
    uploader: str | None = None
    """``@login``."""
    run_id: str | None = None
    run_url: str | None = None


def time_text(stamp: str) -> str:
    """Return a time of our documents (``YYYY-MM-DDTHH:MM:SSZ``) as the ledger writes it: a space where the T stands."""
    return stamp.replace("T", " ")


def rows_of(release: Published) -> tuple[dict[str, Any], ...]:
    """Return a release's rows, in the order of its plan."""
    artifacts = [
        (certificate.plan.artifact(artifact), certificate) for artifact, certificate in release.certificates.items()
    ]
    return tuple(_row(release, artifact, certificate) for artifact, certificate in artifacts)


def _row(release: Published, artifact: PlannedArtifact, certificate: Certificate) -> dict[str, Any]:
    plan, bundle, receipt = certificate.plan, certificate.bundle, release.receipt
    pooling = plan.pooling_mode if bundle.kind is ModelKind.DENSE else None
    measured = dimension(certificate)
    outcome = release.outcomes.get(folder_of(artifact.key), Outcome())
    return {
        column.UPLOADER: release.uploader,
        column.TIME: time_text(receipt.released_at),
        column.MODEL_ID: plan.source.model_id,
        column.VERSION: plan.request.version,
        column.FORMAT: bundle.format.value.upper(),
        column.DIMENSION: None if measured is None else str(measured),
        column.POOLING: None if pooling is None else pooling.value.upper(),
        column.RUN_ID: release.run_id,
        column.RUN_URL: release.run_url,
        column.KIND: bundle.kind.value,
        column.DESCRIPTION: plan.description,
        column.REVISION: certificate.source.revision,
        column.LICENCE: plan.source.licence.accepted or plan.source.licence.declared,
        column.ARTIFACT: artifact.id,
        column.ARCHIVE: certificate.archive_sha256,
        column.SIZE: bundle.archive.size,
        column.APPROVED: receipt.approved,
        column.KEY: artifact.key,
        column.CERTIFICATE: f"{RELEASES}{receipt.approved}/{certificate_name(artifact.id)}",
        column.RECEIPT: marker_key(receipt.approved),
        column.REPLACES: (plan.replaces or {}).get(artifact.key),
        column.BUILD_RESULT: outcome.result,
        column.BUILD_NUMBER: outcome.number,
        column.BUILD_URL: outcome.url,
        column.LINEAGE: certificate.lineage,
        column.TUNING_RUN: plan.request.tune_run_id,
        column.QUALITY: quality_cell(certificate.quality),
        column.VARIANT: artifact.variant.value,
    }


def quality_cell(quality: Quality | None) -> dict[str, str] | None:
    """Return how the archive searches, by set, in words; null where it was not measured.

    The numbers are in the certificate, which the row names: a ledger is read whole at every release.
    """
    if quality is None:
        return None
    return {
        judged.name: f"nDCG@10 {judged.archive.ndcg_10:.4f} of {judged.source.ndcg_10:.4f}, {judged.queries} queries"
        for judged in quality.sets
    }


def dimension(certificate: Certificate) -> int | None:
    """Return the size of the vector: measured on the archive itself, else on the model when the archive was made."""
    measured = (proof.embedding_dimension for proof in certificate.proofs if proof.ring == RUNTIME)
    return next((value for value in measured if value is not None), certificate.bundle.embedding_dimension)


def folder_of(key: str) -> str:
    """Return the folder of a model in the bucket, above version, format and file: what a build is asked for by."""
    return "/".join(key.split("/")[:-3])
