"""The export process: ``python -m release_tool.models.export --work DIR [--artifact ID]...``.

Reads plan.json, source.json and the snapshot, loads the model once, and writes for each artifact its archive, its
config.json and its bundle document, in this order: a bundle exists only when what it names is whole.
"""

from __future__ import annotations

import argparse
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from release_tool.core.bundle import Bundle, ExportFacts, FileDigest, bundle_name
from release_tool.core.config import config_text, register_request
from release_tool.core.digest import sha256_bytes
from release_tool.core.kinds import TRAITS, ModelKind
from release_tool.core.plan import PlannedArtifact, ReleasePlan
from release_tool.core.source import SourceSnapshot
from release_tool.documents import WorkFolder, write_atomic
from release_tool.errors import ValidationFailed
from release_tool.models import blobs
from release_tool.models.archive import archive_blob
from release_tool.models.exporters import model_file
from release_tool.models.loading import Loaded, check_vocabulary, load, read_json
from release_tool.models.pinned_code import pinned_code
from release_tool.models.scripted import script_file
from release_tool.models.token_weights import tokenizer_folder
from release_tool.models.tokenizer_json import build
from release_tool.models.torchscript import Weights
from release_tool.workers import report, run_child

if TYPE_CHECKING:
    from collections.abc import Sequence

    from release_tool.models.jobs import ModelFile

PACKAGES = ("torch", "transformers", "onnx", "tokenizers")
"""What can change an archive's bytes; the oracle's packages can't."""


@dataclass
class Export:
    """One run: the plan, the snapshot, and what was loaded so far."""

    work: WorkFolder
    plan: ReleasePlan
    source: SourceSnapshot
    weights: Weights
    recorded: Bundle | None = None
    """Of an archive that is made again: how it was quantised is not searched."""
    loaded: Loaded | None = None
    loaded_kind: ModelKind | None = None

    @property
    def snapshot(self) -> Path:
        """The folder of the source's files."""
        return self.work.path(SourceSnapshot.FOLDER)

    def model(self, kind: ModelKind) -> Loaded:
        """Load the model, once for all artifacts of a kind."""
        if self.loaded is None or self.loaded_kind is not kind:
            self.loaded, self.loaded_kind = None, None
            self.loaded = load(self.plan, kind, self.snapshot)
            self.loaded_kind = kind
        return self.loaded

    def artifact(self, artifact: PlannedArtifact) -> Bundle:
        """Make one archive and return its bundle."""
        if artifact.kind is ModelKind.METRICS_CORRELATION:
            script = script_file(self.plan, self.snapshot, self.weights)
            blob, notes = archive_blob(self.plan, artifact, script, None, self.snapshot, self.work.folder)
            return self._write(artifact, blob, script, self.snapshot, notes)
        folder = tokenizer_folder(self.plan, artifact.kind, self.snapshot)
        tokenizer = build(folder, max_length=self.plan.max_length, target_versions=self.plan.target_versions)
        warnings = list(tokenizer.warnings)
        made: ModelFile | None = None
        if TRAITS[artifact.kind].model_file:
            loaded = self.model(artifact.kind)
            check_vocabulary(loaded, tokenizer.largest_id)
            quantised = self.recorded.export.quantised if self.recorded else None
            made = model_file(self.plan, artifact, loaded, tokenizer, self.weights, recorded=quantised)
            warnings += made.warnings
            self._check_dimension(made)
        blob, more = archive_blob(self.plan, artifact, made, tokenizer, self.snapshot, self.work.folder)
        return self._write(artifact, blob, made, folder, (*warnings, *more))

    def _check_dimension(self, made: ModelFile) -> None:
        asked = self.plan.request.embedding_dimension
        if asked is not None and made.embedding_dimension is not None and asked != made.embedding_dimension:
            raise ValidationFailed(
                f"The request says {asked} dimensions, the model answers with {made.embedding_dimension}.",
                hint="Correct --embedding-dimension or leave it out: the measured one is released.",
            )

    def _write(
        self,
        artifact: PlannedArtifact,
        blob: blobs.Blob,
        made: ModelFile | None,
        folder: Path,
        warnings: tuple[str, ...],
    ) -> Bundle:
        path = f"archives/{artifact.file_name}"
        written = 0

        def advance(count: int) -> None:
            nonlocal written
            written += count
            report("progress", artifact=artifact.id, done=written, total=blob.size)

        digest = blobs.write(blob, self.work.path(path), advance)
        archive = FileDigest(path=path, size=blob.size, sha256=digest)
        similarity = None
        about = self.snapshot / "config_sentence_transformers.json"
        if about.is_file():
            similarity = read_json(about).get("similarity_fn_name")
        dimension = made.embedding_dimension if made else None
        config_file = folder / "config.json"
        request = register_request(
            self.plan,
            artifact,
            model_config=read_json(config_file) if config_file.is_file() else {},
            similarity=similarity,
            embedding_dimension=dimension,
            size=archive.size,
            sha256=archive.sha256,
        )
        text = config_text(request).encode()
        config_path = f"archives/{artifact.id}.config.json"
        write_atomic(self.work.path(config_path), text)
        bundle = Bundle(
            uses=self.work.uses("plan.json", "source.json"),
            artifact=artifact.id,
            kind=artifact.kind,
            format=artifact.format,
            archive=archive,
            config=FileDigest(path=config_path, size=len(text), sha256=sha256_bytes(text)),
            embedding_dimension=dimension,
            export=self._facts(made),
            warnings=warnings,
        )
        self.work.write(bundle_name(artifact.id), bundle)
        return bundle

    def _facts(self, made: ModelFile | None) -> ExportFacts:
        versions = {name: version(name) for name in (PACKAGES if made else ("tokenizers",))}
        versions["python"] = platform.python_version()
        if made is None:
            return ExportFacts(versions=versions, attention=None)
        return ExportFacts(
            versions=versions,
            attention=made.attention or None,
            opset=made.opset,
            ir_version=made.ir_version,
            inputs=made.inputs,
            outputs=made.outputs,
            weights_dtype=self.plan.source.model.weights_dtype,
            parameters=made.parameters,
            fused_operators=made.fused_operators,
            quantised=made.quantised,
        )


def export(work: WorkFolder, wanted: Sequence[str], recorded: str | None = None) -> None:
    """Make the wanted artifacts (all when empty) in the plan's order.

    TorchScript comes first always: the names that torch gives to classes depend on what was traced before.

    Raises:
        ExportError: a file of the model is not what it should be.
        UnsafeModel: the model wants code that the plan does not name.
    """
    plan = work.read(ReleasePlan, "plan.json", made_by="plan")
    source = work.read(SourceSnapshot, "source.json", made_by="fetch")
    before = work.read(Bundle, recorded, made_by="rebuild") if recorded else None
    run = Export(work=work, plan=plan, source=source, weights=Weights(), recorded=before)
    with pinned_code(plan, source, run.snapshot):
        for artifact in sorted(
            plan.artifacts, key=lambda item: (item.kind is ModelKind.SPARSE_TOKENIZER, item.format == "onnx")
        ):
            if wanted and artifact.id not in wanted:
                continue
            report("note", text=f"making {artifact.id}")
            bundle = run.artifact(artifact)
            report("artifact", id=artifact.id, sha256=bundle.archive.sha256, size=bundle.archive.size)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the process."""
    parser = argparse.ArgumentParser(prog="release_tool.models.export")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--artifact", action="append", default=[])
    parser.add_argument("--recorded")
    arguments = parser.parse_args(argv)
    return run_child(lambda: export(WorkFolder(arguments.work), arguments.artifact, arguments.recorded))


if __name__ == "__main__":
    sys.exit(main())
