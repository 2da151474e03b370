"""``release-tool rebuild``: make the archive of a certificate again and compare it byte for byte."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.core.bundle import Bundle
    from release_tool.core.certificate import Certificate
    from release_tool.documents import WorkFolder
    from release_tool.global_options import Context

RECORDED = "recorded.json"
"""The certificate's bundle: which layers of an int8 model stayed in float32 is read there and not searched again."""

HELP = """Make the archive of CERTIFICATE again from its pinned source, and say whether the bytes are the same.

A model of a hub is fetched at the certificate's commit; for a model that was a folder, name the folder with --model.
The rebuilt archive lies in the work folder, below rebuild-<artifact id>; nothing of the release there is touched.

\b
Examples:
  release-tool rebuild work/certificate-onnx.json
  release-tool rebuild certificate-torch_script.json --model ./my-model
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What came out."""

    artifact: str
    archive: str
    sha256: str
    same: bool
    versions: dict[str, tuple[str | None, str | None]]
    """Package → (version of the certificate, version here) where they differ."""


@click.command(help=HELP, short_help="Make the archive of a certificate again, byte for byte.")
@click.argument("certificate", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The model's folder.")
@click.option("--idf", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="The token weights that the release was planned with.")  # fmt: skip
@click.pass_obj
def command(context: Context, certificate: Path, model: Path | None, idf: Path | None) -> None:
    """See HELP."""
    from release_tool.errors import IntegrityError

    result = rebuild(context, certificate, model, idf)
    words = "the same bytes" if result.same else "other bytes"
    emit(context, f"{result.artifact}: {words}, sha256:{result.sha256}\n{result.archive}", result)
    if not result.same:
        differ = ", ".join(f"{name} {then} then, {now} now" for name, (then, now) in result.versions.items())
        raise IntegrityError(
            f"The rebuilt {result.artifact} is not the certificate's archive.",
            hint=f"Versions differ: {differ}. Install those of the certificate." if differ
            else "The versions are the same: report this, archives are meant to be reproducible.",
        )  # fmt: skip


def rebuild(context: Context, path: Path, model: Path | None, idf: Path | None) -> Rebuilt:
    """Fetch and trace as the certificate says.

    Raises:
        IntegrityError: the certificate is damaged, or the source is not the one it names.
        UsageError: another document was given; a folder is needed and not named, or the other way round.
    """
    from release_tool.core.location import IDF_FILE, LOCATION_FILE, Location
    from release_tool.documents import WorkFolder, write_atomic
    from release_tool.errors import IntegrityError
    from release_tool.lock import hold
    from release_tool.steps.fetch import run_fetch
    from release_tool.steps.rechecking import read_certificate
    from release_tool.steps.trace import run_trace

    certificate = read_certificate(path)
    _check_inputs(certificate, model, idf)
    work = WorkFolder(context.work / f"rebuild-{certificate.artifact}")
    # A work folder of its own: a release beside it may go on.
    with (
        hold(work.folder, "rebuild"),
        context.console.step(f"Rebuild {certificate.artifact} of {certificate.source.model_id}"),
    ):
        if model is not None:
            work.write(LOCATION_FILE, Location(folder=str(model.resolve())))
        if idf is not None:
            write_atomic(work.path(IDF_FILE), idf.read_bytes())
        work.write("plan.json", certificate.plan)
        inner = replace(context, work=work.folder)
        source = run_fetch(inner)
        if source.tree != certificate.source.tree:
            raise IntegrityError(
                "The source is not the certificate's: its files differ.", hint="Name the folder that was released."
            )
        work.write(RECORDED, certificate.bundle)
        (bundle,) = run_trace(inner, artifacts=(certificate.artifact,), again=True, recorded=RECORDED)
    return _compare(certificate, bundle, work)


def _check_inputs(certificate: Certificate, model: Path | None, idf: Path | None) -> None:
    from release_tool.core.kinds import ModelKind
    from release_tool.documents import file_sha256
    from release_tool.errors import IntegrityError, UsageError

    is_folder = certificate.plan.source.origin == "folder"
    if is_folder and model is None:
        raise UsageError(
            f"{certificate.source.model_id} was released from a folder.", hint="Name that folder with --model."
        )
    if not is_folder and model is not None:
        raise UsageError(
            f"{certificate.source.model_id} is fetched from its hub at {certificate.source.revision}.",
            hint="Leave --model out.",
        )
    wanted = certificate.plan.request.idf
    # The encoder of the same request has nothing of them.
    if wanted is not None and idf is None and certificate.bundle.kind is ModelKind.SPARSE_TOKENIZER:
        raise UsageError("The release was planned with token weights of its own.", hint="Name the file with --idf.")
    if idf is not None and file_sha256(idf) != wanted:
        raise IntegrityError(f"{idf.name} is not the file that the release was planned with.", hint="Name that file.")


def _compare(certificate: Certificate, bundle: Bundle, work: WorkFolder) -> Rebuilt:
    then, now = certificate.bundle.export.versions, bundle.export.versions
    differ = {name: (then.get(name), now.get(name)) for name in sorted(then | now) if then.get(name) != now.get(name)}
    return Rebuilt(
        artifact=certificate.artifact,
        archive=str(work.path(bundle.archive.path)),
        sha256=bundle.archive.sha256,
        same=bundle.archive.sha256 == certificate.archive_sha256,
        versions=differ,
    )
