"""``release-tool compat``: on which OpenSearch versions an archive deploys, why not, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.core.archive_facts import ArchiveFacts
    from release_tool.core.proof import Proof
    from release_tool.core.verdicts import Range, Verdict
    from release_tool.global_options import Context

HELP = """Say on which OpenSearch versions an archive deploys.

ARCHIVE is the .zip that register takes: one of this tool, or anybody's. It is read, never loaded: no torch is needed
and no code of it runs. A verdict is measured (a proof of exactly these bytes, or a refusal seen on a real node),
derived (from the server's source and its libraries) or unknown (no rule covers it).

The register request is taken from --config, else from config.json or <artifact id>.config.json beside the archive;
proofs from --certificate and from the work folder, as far as they are about these bytes.

Exit code 6: it deploys on none of the known versions, or not on each of --target-versions.

\b
  release-tool compat work/archives/acme_tiny-1.0.0-onnx.zip
  release-tool compat model.zip --config config.json --target-versions 2.19,3.6
  release-tool --json compat model.zip --certificate certificate-onnx.json
"""


@click.command(
    help=HELP,
    short_help="Say on which OpenSearch versions an archive deploys.",
)
@click.argument("archive", type=click.Path(path_type=Path))
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="config.json of the register request. [default: found beside the archive]",
)
@click.option(
    "--certificate",
    "certificates",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A certificate or proof whose measurements count; may be given more than once.",
)
@click.option(
    "--target-versions",
    "targets",
    multiple=True,
    metavar="VERSIONS",
    help="Versions that must all deploy it, such as 2.19,3.6. [default: look at all known versions]",
)
@click.option("--notes", is_flag=True, help="Show notes too, not only what hinders.")
@click.pass_obj
def command(
    context: Context,
    archive: Path,
    *,
    config: Path | None,
    certificates: tuple[Path, ...],
    targets: tuple[str, ...],
    notes: bool,
) -> None:
    """Read the archive, judge it version by version, print the table."""
    from release_tool.archives.reading import operator_tables, read_archive
    from release_tool.core.compat import summary, verdicts
    from release_tool.core.opensearch import KNOWN_VERSIONS

    asked = read_targets(targets)
    chosen = config if config is not None else find_config(archive)
    if chosen is None and (archive.parent / "config.json").is_file():
        context.console.warning(
            "The config.json beside the archive is no register request, so it was left out. Name one with --config."
        )
    facts = read_archive(archive, chosen)
    proofs = find_proofs(context, facts.sha256, certificates)
    judged = verdicts(facts, asked or KNOWN_VERSIONS, tables=operator_tables(), proofs=proofs)
    ranges = summary(judged)
    emit(context, table(facts, judged, ranges, chosen, notes=notes), document(facts, judged, ranges))
    context.console.summary(markdown(facts, ranges))
    _refuse(judged, asked)


def read_targets(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return the versions asked for, without doubles; empty when none was named.

    Raises:
        RequestError: a version is not known.
    """
    from release_tool.core.opensearch import KNOWN_VERSIONS, number
    from release_tool.core.request import closest
    from release_tool.errors import Fault, RequestError

    named = [part.strip() for text in given for part in text.split(",") if part.strip()]
    faults = tuple(
        Fault("--target-versions", f"{name!r} is no OpenSearch version known here", closest(name, KNOWN_VERSIONS))
        for name in dict.fromkeys(named)
        if name not in KNOWN_VERSIONS
    )
    if faults:
        raise RequestError(faults)
    if given and not named:
        raise RequestError((Fault("--target-versions", "names no version", "such as 2.19,3.6"),))
    return tuple(sorted(dict.fromkeys(named), key=number))


def find_config(archive: Path) -> Path | None:
    """Return the register request that lies beside an archive; null when there is none or more than one could be.

    A release has ``<artifact id>.config.json``; the one whose digest is the archive's own is taken, else the only one.
    """
    from release_tool.archives.reading import read_config
    from release_tool.documents import file_sha256
    from release_tool.errors import UsageError

    if not archive.is_file():
        return None
    named = sorted(archive.parent.glob("*.config.json"))
    plain = archive.parent / "config.json"
    if named:
        digest = file_sha256(archive)
        for path in named:
            try:
                if read_config(path).get("model_content_hash_value") == digest:
                    return path
            except UsageError:
                # Another archive's request may be broken; this one's is named by --config if it is meant.
                continue
    if plain.is_file() and _is_request(plain):
        return plain
    zips = list(archive.parent.glob("*.zip"))
    return named[0] if len(named) == 1 and len(zips) == 1 else None


def _is_request(path: Path) -> bool:
    """Tell a register request from the model's own config.json, which bears the same name."""
    from release_tool.archives.reading import read_config
    from release_tool.errors import UsageError

    try:
        read_config(path)
    except UsageError:
        return False
    return True


def find_proofs(context: Context, sha256: str, certificates: tuple[Path, ...]) -> tuple[Proof, ...]:
    """Return what was measured on exactly these bytes.

    Raises:
        UsageError: a file of --certificate can't be read, is another document, or is about another archive.
        IntegrityError: it says that it is a certificate or a proof, and does not hold what these hold.
    """
    from release_tool.errors import IntegrityError, UsageError

    found: dict[Proof | int, Proof] = {}
    for path in certificates:
        own = [proof for proof in _read_proofs(path) if proof.archive_sha256 == sha256]
        if not own:
            raise UsageError(
                f"{path.name} measured another archive than this one (sha256 {sha256[:16]}...).",
                hint="Give the certificate that belongs to the archive, or leave --certificate out.",
            )
        found.update((len(found) + place, proof) for place, proof in enumerate(own))
    if context.work.is_dir():
        for path in sorted((*context.work.glob("proof-*.json"), *context.work.glob("certificate-*.json"))):
            try:
                proofs = _read_proofs(path)
            except (IntegrityError, UsageError) as error:
                context.console.warning(f"{path.name} was left aside: {error}")
                continue
            own = [proof for proof in proofs if proof.archive_sha256 == sha256]
            found.update((len(found) + place, proof) for place, proof in enumerate(own))
    unique: list[Proof] = []
    for proof in found.values():
        if proof not in unique:
            unique.append(proof)
    return tuple(unique)


def _read_proofs(path: Path) -> tuple[Proof, ...]:
    from release_tool.core.certificate import Certificate
    from release_tool.core.proof import Proof
    from release_tool.documents import read_given

    found: Any = read_given(
        path, Certificate, Proof, hint="Give a certificate-<artifact id>.json or a proof with --certificate."
    )
    return (found,) if isinstance(found, Proof) else found.proofs


def document(facts: ArchiveFacts, judged: tuple[Verdict, ...], ranges: tuple[Range, ...]) -> dict[str, Any]:
    """Return everything as JSON data."""
    from release_tool.core.codec import encode

    return {
        "schema": "release-tool/compat@1",
        "facts": encode(facts) | {"kind": None if facts.kind is None else facts.kind.value},
        "ranges": [
            {"versions": one.versions, "verdict": one.word, "basis": one.basis.value, "reasons": list(one.reasons)}
            for one in ranges
        ],
        "verdicts": [encode(one) | {"verdict": one.word} for one in judged],
    }


def table(
    facts: ArchiveFacts, judged: tuple[Verdict, ...], ranges: tuple[Range, ...], config: Path | None, *, notes: bool
) -> str:
    """Return the table for a terminal: verdicts by version, then each finding once with what to do."""
    from release_tool.core.compat import affected
    from release_tool.core.escape import one_line
    from release_tool.core.verdicts import Severity

    kind = facts.kind.value if facts.kind is not None else "unknown kind"
    what = facts.format.value if facts.format is not None else "no model"
    width = max(len("OpenSearch"), *(len(one.versions) for one in ranges))
    lines = [
        f"{one_line(facts.file_name)}  {facts.size:,} bytes, {kind}, {what}",
        f"sha256 {facts.sha256}",
        f"register request: {one_line(config.name) if config is not None else 'none given (--config)'}",
        "",
        f"{'OpenSearch':<{width}}  {'verdict':<8}  basis",
        *(f"{one.versions:<{width}}  {one.word:<8}  {one.basis.value}" for one in ranges),
    ]
    for finding, versions in affected(judged):
        if notes or finding.severity is not Severity.NOTE or finding.rule == "proof":
            lines += ["", f"{finding.severity.value} on {versions}: {one_line(finding.what)}"]
            lines += [f"  {one_line(finding.why)}", f"  -> {one_line(finding.fix)}"]
    return "\n".join(lines)


def markdown(facts: ArchiveFacts, ranges: tuple[Range, ...]) -> str:
    """Return the table for a step summary."""
    from release_tool.core.escape import code
    from release_tool.core.escape import markdown as escaped

    lines = [
        f"### Compatibility of {code(facts.file_name)}",
        "",
        "| OpenSearch | verdict | basis | reasons |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {one.versions} | {one.word} | {one.basis.value} | {' · '.join(escaped(r) for r in one.reasons)} |"
        for one in ranges
    ]
    return "\n".join(lines)


def _refuse(judged: tuple[Verdict, ...], asked: tuple[str, ...]) -> None:
    from release_tool.errors import ValidationFailed

    failing = [verdict for verdict in judged if not verdict.deploys]
    if asked and failing:
        words = ", ".join(f"{verdict.version} ({verdict.word})" for verdict in failing)
        raise ValidationFailed(
            f"The archive is not known to deploy on {words}.", hint="The table says why and what to do."
        )
    if not asked and len(failing) == len(judged):
        raise ValidationFailed(
            "The archive deploys on none of the known OpenSearch versions.", hint="The table says why and what to do."
        )
