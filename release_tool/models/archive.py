"""What goes into an archive beside the model file: tokenizer.json, idf.json, the licence; in one fixed order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.kinds import Format, ModelKind
from release_tool.models.blobs import Blob, from_bytes
from release_tool.models.stored_zip import stored_zip
from release_tool.models.token_weights import token_weights
from release_tool.models.tokenizer_json import ArchiveTokenizer, served_idf
from release_tool.packaged import read_packaged

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.plan import PlannedArtifact, ReleasePlan
    from release_tool.models.jobs import ModelFile

EXTENSIONS = {Format.TORCH_SCRIPT: ".pt", Format.ONNX: ".onnx"}
LICENCE_NAMES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt")
NO_TOKENIZER = b"{}\n"
"""Metrics correlation: register refuses an archive without a file of this name, and nothing ever opens it (3.6)."""
NO_IDF = "The tokenizer has no idf.json: every token weighs 1."


def archive_blob(
    plan: ReleasePlan,
    artifact: PlannedArtifact,
    made: ModelFile | None,
    tokenizer: ArchiveTokenizer | None,
    snapshot: Path,
    work: Path,
) -> tuple[Blob, tuple[str, ...]]:
    """Return the archive's bytes and warnings.

    Exactly one model file at the root (the server refuses a second one and does not look into folders), then
    tokenizer.json, then what else belongs to the kind, then the licence.
    """
    entries: list[tuple[str, Blob]] = []
    warnings: tuple[str, ...] = ()
    if made is not None:
        entries.append((artifact.model_name + EXTENSIONS[artifact.format], made.blob))
    entries.append(("tokenizer.json", from_bytes(NO_TOKENIZER if tokenizer is None else tokenizer.data)))
    if tokenizer is not None and artifact.kind is ModelKind.SPARSE_TOKENIZER:
        weights = token_weights(plan, tokenizer.tokenizer, snapshot, work)
        if weights is None:
            warnings = (NO_IDF,)
        else:
            data, warnings = served_idf(tokenizer.tokenizer, weights)
            entries.append(("idf.json", from_bytes(data)))
    licence = licence_text(plan, snapshot)
    if licence is not None:
        entries.append(("LICENSE", from_bytes(licence)))
    return stored_zip(entries), warnings


def licence_text(plan: ReleasePlan, snapshot: Path) -> bytes | None:
    """Return the licence file of the archive: the model's own, else the packaged text of the licence it declares."""
    for name in LICENCE_NAMES:
        if (snapshot / name).is_file():
            return (snapshot / name).read_bytes()
    declared = (plan.source.licence.declared or "").lower()
    return read_packaged("LICENSE-Apache-2.0.txt") if declared == "apache-2.0" else None
