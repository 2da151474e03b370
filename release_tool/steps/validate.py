"""``release-tool validate``: compare the archives with the source, number by number."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from release_tool.core.proof import RINGS, RUNTIME
from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.global_options import Context
    from release_tool.steps.asking import Beside
    from release_tool.steps.measuring import Verdict

HELP = """Compare the archives with the source, number by number.

Every archive answers the probes in the runtime ring: fresh processes that do what the server does. With --on node a
real OpenSearch answers them, too; with --on legacy the libraries of OpenSearch 2.19.

\b
Examples:
  release-tool validate
  release-tool validate --on node --artifact onnx
  release-tool validate --certificate certificate-onnx.json model.zip --model ./my-model
"""


@click.command(help=HELP, short_help="Compare the archives with the source, number by number.")
@click.argument("archive", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--on", "rings", multiple=True, type=click.Choice(RINGS), help="A further ring; may be repeated.")
@click.option("--artifact", "artifacts", multiple=True, metavar="ID", help="Only this artifact; may be repeated.")
@click.option(
    "--probes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Ask these instead of the probes that come with release-tool; such a proof does not release.",
)
@click.option("--again", is_flag=True, help="Measure again what is proven already.")
@click.option(
    "--certificate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Check ARCHIVE again against this certificate, without a work folder.",
)
@click.option(
    "--model",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --certificate: the source's files.",
)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --certificate: the archive's config.json. [default: the one beside ARCHIVE]",
)
@click.option(
    "--idf",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --certificate: the token weights that were given to plan.",
)
@click.pass_obj
def command(
    context: Context,
    /,
    *,
    archive: Path | None,
    rings: tuple[str, ...],
    artifacts: tuple[str, ...],
    probes: Path | None,
    again: bool,
    certificate: Path | None,
    model: Path | None,
    config: Path | None,
    idf: Path | None,
) -> None:
    """See HELP."""
    from release_tool.errors import UsageError
    from release_tool.lock import hold
    from release_tool.steps.verdict_table import failing, markdown, table

    if certificate is not None:
        from release_tool.steps.rechecking import recheck

        if archive is None or model is None:
            raise UsageError(
                "--certificate needs ARCHIVE and --model.",
                hint="release-tool validate --certificate FILE ARCHIVE --model DIR",
            )
        verdicts = recheck(context, certificate, archive, model, config=config, idf=idf, probes=probes)
    elif archive is not None or model is not None or config is not None or idf is not None:
        raise UsageError(
            "ARCHIVE, --model, --config and --idf belong to --certificate.",
            hint="Without --certificate the archives of the work folder are measured.",
        )
    else:
        with hold(context.work, "validate"):
            verdicts = run_validate(context, rings=rings, artifacts=artifacts, probes=probes, again=again)
    emit(context, table(verdicts), verdicts)
    context.console.summary(markdown(verdicts))
    failure = failing(verdicts)
    if failure is not None:
        raise failure


def run_validate(
    context: Context,
    *,
    rings: tuple[str, ...] = (),
    artifacts: tuple[str, ...] = (),
    probes: Path | None = None,
    again: bool = False,
    running: Beside | None = None,
) -> list[Verdict]:
    """Measure what is not proven yet, write proofs and certificates, and return a verdict for each proof.

    What was started beside the export is waited for; the rest is started here.

    Raises:
        UsageError: an earlier step has not run, or the plan has no such artifact.
        IntegrityError: bytes are not those that the documents name.
        ReleaseError: a ring can't work on this machine.
    """
    from release_tool.packaged import load_probes
    from release_tool.services.extras import require_trace_extra
    from release_tool.steps import proving
    from release_tool.steps.asking import beside
    from release_tool.steps.release_reading import read_release

    require_trace_extra()
    release = read_release(context, artifacts, load_probes(probes), probes)
    wanted = [ring for ring in RINGS if ring in {RUNTIME, *rings}]
    stale = tuple(kind for kind in release.kinds if again or not proving.answers_hold(release, kind))
    missing = proving.missing_proofs(context, release, wanted, stale, again=again)
    with beside(context) if running is None else nullcontext(running) as at_work:
        proving.start_oracle(context, release, stale, at_work.oracle)
        proving.measure(context, release, missing, at_work)
        at_work.oracle.wait()
    fresh = {(target.bundle.artifact, ring) for target, ring in missing}
    proving.drop_others(context, release, fresh)
    return [verdict for bundle in release.bundles for verdict in proving.certify(context, release, bundle, fresh)]
