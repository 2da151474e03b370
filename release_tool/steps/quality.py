"""``release-tool quality``: how well an archive searches, beside its source, on judged sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.core.bundle import Bundle
    from release_tool.core.quality import Budget, Judged, Quality
    from release_tool.global_options import Context
    from release_tool.sets import JudgedSet
    from release_tool.steps.quality_encoding import Wanted
    from release_tool.steps.release_reading import Release

HELP = """Measure how well the archives search, beside their source.

Source and archives encode judged sets, the archives as the server would: nDCG@10, recall@100, MRR@10 of both, and
whether an archive loses more than its budget. Without --set: the small set that comes with release-tool, and those
that release-tool.toml names. Exit code 6: over budget.

\b
Examples:
  release-tool quality
  release-tool quality --set sets/scifact --artifact onnx
"""


@click.command(help=HELP, short_help="Measure how well the archives search, beside their source.")
@click.option(
    "--set",
    "folders",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A judged set in BEIR's layout (corpus.jsonl, queries.jsonl, qrels/test.tsv); may be repeated.",
)
@click.option("--artifact", "artifacts", multiple=True, metavar="ID", help="Only this artifact; may be repeated.")
@click.option("--again", is_flag=True, help="Measure again what is measured already.")
@click.pass_obj
def command(context: Context, /, *, folders: tuple[Path, ...], artifacts: tuple[str, ...], again: bool) -> None:
    """See HELP."""
    from release_tool.lock import hold
    from release_tool.steps.quality_result import failing, lines_of, markdown, table

    with hold(context.work, "quality"):
        found = run_quality(context, folders=folders, artifacts=artifacts, again=again)
    lines = lines_of(found)
    emit(context, table(lines), lines)
    context.console.summary(markdown(lines))
    failure = failing(found, context.work)
    if failure is not None:
        raise failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """One archive: what is known of it, and on which sets it must still be measured."""

    bundle: Bundle
    budget: Budget
    kept: tuple[Judged, ...]
    missing: tuple[Wanted, ...]


def run_quality(
    context: Context, *, folders: tuple[Path, ...] = (), artifacts: tuple[str, ...] = (), again: bool = False
) -> list[Quality]:
    """Measure what is not measured yet, write a document an archive, and fold it into its certificate.

    Raises:
        UsageError: a set can't be used, an earlier step has not run, or no archive searches.
        IntegrityError: bytes are not those that the documents name.
        ValidationFailed: the server would refuse an archive.
        ReleaseError: source or ring can't work on this machine.
    """
    from release_tool.packaged import packaged_probes
    from release_tool.services.extras import require_quality_extra, require_trace_extra
    from release_tool.steps.quality_encoding import encode, forget
    from release_tool.steps.quality_sets import chosen_sets
    from release_tool.steps.release_reading import read_release
    from release_tool.steps.settings import read_settings

    require_trace_extra()
    require_quality_extra()
    settings = read_settings(context.repo)
    sets = chosen_sets(context, folders, settings.quality.sets)
    release = read_release(context, artifacts, packaged_probes(), None)
    bundles = _searching(context, release, artifacts)
    todo = [
        _todo(
            release,
            bundle,
            settings.quality.budgets.of(bundle.kind, release.plan.artifact(bundle.artifact).variant),
            sets,
            again=again,
        )
        for bundle in bundles
    ]
    missing = [wanted for one in todo for wanted in one.missing]
    if missing:
        with context.console.step("Encode the judged sets"):
            for wanted in missing:
                context.console.info(
                    f"{wanted.bundle.artifact}: {wanted.judged.name},"
                    f" {wanted.judged.documents:,} documents and {len(wanted.judged.queries):,} queries"
                )
            encode(context, release, missing)
    else:
        context.console.info("The archives are measured already on these sets.")
    found = [_written(context, release, one) for one in todo]
    for one in todo:
        forget(release, one.bundle)
    return found


def _searching(context: Context, release: Release, artifacts: tuple[str, ...]) -> list[Bundle]:
    from release_tool.core.quality import QUALITY_KINDS
    from release_tool.errors import UsageError

    found = [bundle for bundle in release.bundles if bundle.kind in QUALITY_KINDS]
    others = [bundle for bundle in release.bundles if bundle.kind not in QUALITY_KINDS]
    if not found or (artifacts and others):
        named = ", ".join(f"{bundle.artifact} ({bundle.kind.value})" for bundle in others)
        kinds = ", ".join(kind.value for kind in QUALITY_KINDS)
        raise UsageError(f"No judged set tells how well these do: {named}.", hint=f"Kinds that search: {kinds}.")
    for bundle in others:
        context.console.info(f"{bundle.artifact} does not search: a {bundle.kind.value} model has no such quality.")
    return found


def _todo(release: Release, bundle: Bundle, budget: Budget, sets: tuple[JudgedSet, ...], *, again: bool) -> Todo:
    from release_tool.core.kinds import ModelKind
    from release_tool.models.candidates import candidates
    from release_tool.steps.certifying import current_quality
    from release_tool.steps.quality_encoding import Wanted

    current = current_quality(release.work, bundle)
    known = {} if current is None else {judged.name: judged for judged in current.sets}
    fresh = [one for one in sets if again or one.name not in known or known[one.name].sha256 != one.sha256]
    names = {one.name for one in fresh}
    pairs = bundle.kind is ModelKind.CROSS_ENCODER
    return Todo(
        bundle=bundle,
        budget=budget,
        kept=tuple(judged for name, judged in known.items() if name not in names),
        missing=tuple(
            Wanted(
                bundle=bundle,
                judged=one,
                candidates=candidates(one.texts, one.queries) if pairs else None,
            )
            for one in fresh
        ),
    )


def _written(context: Context, release: Release, todo: Todo) -> Quality:
    """Measure what was encoded, and write the document and the certificate that it belongs to."""
    from release_tool.core.certificate import certificate_name
    from release_tool.core.quality import Quality, quality_name
    from release_tool.models.measures import versions
    from release_tool.steps.certifying import certify_again, current_quality, measured_uses
    from release_tool.steps.quality_measuring import measure, similarity_of

    bundle, work = todo.bundle, release.work
    before = current_quality(work, bundle)
    sets = (*todo.kept, *(measure(release, wanted) for wanted in todo.missing))
    quality = Quality(
        uses=measured_uses(work, bundle),
        artifact=bundle.artifact,
        kind=bundle.kind,
        variant=release.plan.artifact(bundle.artifact).variant,
        archive_sha256=bundle.archive.sha256,
        budget=todo.budget,
        sets=tuple(sorted(sets, key=lambda judged: judged.name)),
        similarity=similarity_of(release, bundle.kind),
        versions=before.versions if before is not None and not todo.missing else versions(),
    )
    if quality != before:
        work.write(quality_name(bundle.artifact), quality)
    if not certify_again(context, release, bundle):
        context.console.info(f"{certificate_name(bundle.artifact)} will hold it when validate has run.")
    return quality
