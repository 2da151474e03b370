"""Check a released archive again, offline, against its certificate: same bytes, same source, numbers measured anew.

What a certificate measured on a node is repeated as not measured again: nothing here claims a number that it did not
see. No work folder is needed and none is changed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from release_tool.core.certificate import Certificate
from release_tool.core.kinds import ModelKind
from release_tool.core.proof import LEGACY, RINGS, RUNTIME
from release_tool.core.source import SourceSnapshot
from release_tool.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.documents import WorkFolder
    from release_tool.global_options import Context
    from release_tool.steps.measuring import Reference, Target, Verdict

GIVE_CERTIFICATE = "Give a certificate-<artifact id>.json, as release-tool validate writes it."


def recheck(
    context: Context,
    certificate_file: Path,
    archive: Path,
    model: Path,
    *,
    config: Path | None,
    idf: Path | None,
    probes: Path | None,
) -> list[Verdict]:
    """Return a verdict for each ring of a certificate; runtime and legacy rings are measured again.

    Args:
        context: the console; its work folder is not used.
        certificate_file: certificate-<id>.json.
        archive: the zip.
        model: the source's files.
        config: the archive's config.json, null to look beside the archive.
        idf: the token weights that were given to ``plan``.
        probes: a probe set, null for the shipped one.

    Raises:
        UsageError: a file that is needed was not named.
        IntegrityError: the archive, its config or the source are not those of the certificate.
    """
    from release_tool.packaged import load_probes
    from release_tool.services.cache import cache_folder
    from release_tool.services.scratch import scratch_folder
    from release_tool.steps.measuring import Target, ask, prove, verdict_of

    certificate = read_certificate(certificate_file)
    check_bytes(certificate, archive)
    target = Target(
        plan=certificate.plan,
        bundle=certificate.bundle,
        archive=archive,
        config=find_config(certificate, archive, config),
        probes=load_probes(probes),
    )
    cache = cache_folder(os.environ)
    rings = [ring for ring in (RUNTIME, LEGACY) if ring == RUNTIME or any(p.ring == ring for p in certificate.proofs)]
    with scratch_folder(cache / "scratch") as folder:
        work = lay_out(certificate, folder, model, idf)
        reference = _answer(context, work, target, probes)
        verdicts = []
        for ring in rings:
            with context.console.step(f"Measure {certificate.artifact} again ({ring})"):
                proof = prove(target, ring, ask(target, ring, console=context.console, cache=cache), reference)
            verdicts.append(verdict_of(proof, certificate.plan, reference.answers, measured=True, path=None))
    _tell(context, certificate, reference, target)
    verdicts.extend(
        verdict_of(proof, certificate.plan, None, measured=False, path=None)
        for proof in certificate.proofs
        if proof.ring not in rings
    )
    return sorted(verdicts, key=lambda item: RINGS.index(item.ring))


def read_certificate(path: Path) -> Certificate:
    """Read a certificate strictly.

    Raises:
        UsageError: it is another document, or none.
        IntegrityError: it names the schema of a certificate and is none.
    """
    from release_tool.documents import read_given

    return read_given(path, Certificate, hint=GIVE_CERTIFICATE)


def check_bytes(certificate: Certificate, archive: Path) -> None:
    """Refuse an archive that is not the certified one.

    Raises:
        IntegrityError: it has another digest.
    """
    from release_tool.documents import file_sha256

    found = file_sha256(archive)
    if found != certificate.archive_sha256:
        raise IntegrityError(
            f"{archive.name} has sha256 {found}, the certificate is about {certificate.archive_sha256}.",
            hint="The archive was changed after it was certified, or it is another one: do not serve it.",
        )


def find_config(certificate: Certificate, archive: Path, given: Path | None) -> Path:
    """Return the config.json that the certificate names by its digest.

    Raises:
        UsageError: there is none beside the archive.
        IntegrityError: the given one is another.
    """
    from release_tool.documents import file_sha256

    wanted = certificate.bundle.config.sha256
    if given is not None:
        if file_sha256(given) != wanted:
            raise IntegrityError(
                f"{given.name} is not the config.json of the certificate.", hint="Name the released one with --config."
            )
        return given
    others = []
    for name in (f"{certificate.artifact}.config.json", "config.json"):
        path = archive.parent / name
        if path.is_file() and file_sha256(path) == wanted:
            return path
        others += [name] if path.is_file() else []
    if others:
        raise IntegrityError(
            f"{others[0]} beside {archive.name} is not the config.json of the certificate.",
            hint="It was changed after it was certified, or is another model's: name the released one with --config.",
        )
    raise UsageError(
        f"The config.json of the certificate does not lie beside {archive.name}.", hint="Name it with --config."
    )


def lay_out(certificate: Certificate, folder: Path, model: Path, idf: Path | None) -> WorkFolder:
    """Make the work folder that the oracle reads, from the certificate and the source's files.

    Raises:
        IntegrityError: a file of the source is missing or another one.
        UsageError: the token weights of ``--idf`` are needed and were not named.
    """
    from release_tool.documents import WorkFolder, file_sha256
    from release_tool.services.cache import share_file

    work = WorkFolder(folder)
    digest = work.write("plan.json", certificate.plan)
    if digest != certificate.uses.get("plan.json"):
        raise IntegrityError(
            "The certificate's plan is not the one that it names.", hint="The certificate was changed; do not trust it."
        )
    work.write("source.json", certificate.source)
    for file in certificate.source.files:
        path = model / file.path
        if not path.is_file():
            raise IntegrityError(
                f"{file.path} of the source does not lie in {model}.",
                hint="Name the folder of the source with --model.",
            )
        if file_sha256(path) != file.sha256:
            raise IntegrityError(
                f"{file.path} in {model} is not the file that was released.",
                hint=f"The certificate is about revision {certificate.source.revision}.",
            )
        copy = work.path(SourceSnapshot.FOLDER) / file.path
        copy.parent.mkdir(parents=True, exist_ok=True)
        share_file(path.resolve(), copy)
    if certificate.plan.request.idf is not None and certificate.bundle.kind is ModelKind.SPARSE_TOKENIZER:
        if idf is None:
            raise UsageError("The plan has token weights of its own.", hint="Name their file with --idf.")
        work.path("inputs").mkdir()
        share_file(idf.resolve(), work.path("inputs") / "idf.json")
    return work


def _answer(context: Context, work: WorkFolder, target: Target, probes: Path | None) -> Reference:
    """Run the oracle on the source and return its answers."""
    from release_tool.models.answers import answers_name, read_answers
    from release_tool.services.extras import require_trace_extra
    from release_tool.steps.answering import Oracle
    from release_tool.steps.measuring import Reference

    require_trace_extra()
    with context.console.step("Let the source answer the probes"), Oracle(context) as oracle:
        oracle.start(work.folder, (target.bundle.kind,), probes)
        oracle.wait(bar=True)
    name = answers_name(target.bundle.kind)
    return Reference(answers=read_answers(work.path(name)), sha256=work.sha256(name), uses={})


def _tell(context: Context, certificate: Certificate, reference: Reference, target: Target) -> None:
    """Say how what was measured now stands to what the certificate holds."""
    say = context.console.info
    if any(proof.probes_sha256 != target.probes.sha256 for proof in certificate.proofs):
        say("The certificate was measured on another probe set than this one.")
    elif reference.sha256 == certificate.answers_sha256:
        say("The source answers with the very bytes of the certificate.")
    else:
        say("The source answers with other bytes than in the certificate: another machine, or other library versions.")
    for proof in certificate.proofs:
        if proof.ring not in (RUNTIME, LEGACY):
            say(f"The numbers of the {proof.ring} ring are the certificate's: they are not measured again.")
