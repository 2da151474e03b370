"""``release-tool validate``: compare the archives with the source, number by number."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from release_tool.core.proof import NODE, RINGS, RUNTIME, Proof, proof_name
from release_tool.steps import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from release_tool.cli import Context
    from release_tool.console import Console
    from release_tool.core.bundle import Bundle
    from release_tool.core.kinds import ModelKind
    from release_tool.core.plan import ReleasePlan
    from release_tool.core.probes import ProbeSet
    from release_tool.core.source import SourceSnapshot
    from release_tool.documents import WorkFolder
    from release_tool.steps.measuring import Answered, Reference, Target, Verdict

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
    from release_tool.steps.measuring import failing, markdown, table

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
) -> list[Verdict]:
    """Measure what is not proven yet, write proofs and certificates, and return a verdict for each proof.

    Raises:
        UsageError: an earlier step has not run, or the plan has no such artifact.
        IntegrityError: bytes are not those that the documents name.
        ReleaseError: a ring can't work on this machine.
    """
    from release_tool.packaged import load_probes
    from release_tool.steps.trace import require_trace_extra

    require_trace_extra()
    release = _read(context, artifacts, load_probes(probes), probes)
    wanted = [ring for ring in RINGS if ring in {RUNTIME, *rings}]
    stale = tuple(kind for kind in release.kinds if again or not _answers_hold(release, kind))
    missing = _missing(context, release, wanted, stale, again=again)
    with _oracle(context, release, stale) as finished:
        _measure(context, release, missing, finished)
    fresh = {(target.bundle.artifact, ring) for target, ring in missing}
    return [verdict for bundle in release.bundles for verdict in _certify(context, release, bundle, fresh)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Release:
    """The documents of the work folder, checked."""

    work: WorkFolder
    plan: ReleasePlan
    source: SourceSnapshot
    bundles: tuple[Bundle, ...]
    probes: ProbeSet
    probes_file: Path | None

    @property
    def kinds(self) -> tuple[ModelKind, ...]:
        """The kinds of the wanted artifacts, each once."""
        return tuple(dict.fromkeys(bundle.kind for bundle in self.bundles))


def _read(context: Context, artifacts: tuple[str, ...], probes: ProbeSet, probes_file: Path | None) -> _Release:
    """Read plan, source and bundles and hash the archives again: a changed byte ends here."""
    from release_tool.core.bundle import Bundle, bundle_name
    from release_tool.core.plan import ReleasePlan
    from release_tool.core.source import SourceSnapshot
    from release_tool.documents import WorkFolder
    from release_tool.errors import UsageError
    from release_tool.steps.review_reading import check_file

    work = WorkFolder(context.work)
    plan = work.read(ReleasePlan, "plan.json", made_by="plan")
    source = work.read(SourceSnapshot, "source.json", made_by="fetch")
    work.check_chain(source, "source.json")
    known = [artifact.id for artifact in plan.artifacts]
    for name in artifacts:
        if name not in known:
            raise UsageError(f"The plan has no artifact {name!r}.", hint="It has " + ", ".join(sorted(known)) + ".")
    bundles = []
    for name in known:
        if artifacts and name not in artifacts:
            continue
        bundle = work.read(Bundle, bundle_name(name), made_by="trace")
        work.check_chain(bundle, bundle_name(name))
        for file in (bundle.archive, bundle.config):
            check_file(work, file, bundle_name(name))
        bundles.append(bundle)
    return _Release(work=work, plan=plan, source=source, bundles=tuple(bundles), probes=probes, probes_file=probes_file)


@contextmanager
def _oracle(context: Context, release: _Release, stale: tuple[ModelKind, ...]) -> Iterator[Callable[[], None]]:
    """Let the oracle answer the kinds that lack answers, beside the rings; yields what waits for it."""
    from release_tool.steps.trace import check_snapshot
    from release_tool.workers import start

    if not stale:
        yield lambda: None
        return
    context.console.info("The source answers the probes by its own libraries, beside the archives.")
    arguments = ["--work", str(release.work.folder), *(f"--kind={kind.value}" for kind in stale)]
    if release.probes_file is not None:
        arguments.append(f"--probes={release.probes_file}")
    worker = start("oracle", "release_tool.models.oracle", arguments, debug=context.debug)
    done = False

    def finished() -> None:
        nonlocal done
        if not done:
            worker.wait(context.console)
            done = True

    try:
        # The snapshot's bytes are hashed again while the libraries are imported.
        check_snapshot(release.work, release.source)
        yield finished
        finished()
    finally:
        worker.stop()


def _answers_hold(release: _Release, kind: ModelKind) -> bool:
    """Tell whether the answers in the folder are those of this plan, source and probe set."""
    from release_tool.errors import IntegrityError
    from release_tool.models.answers import answers_name, read_answers

    name = answers_name(kind)
    if not release.work.has(name):
        return False
    try:
        facts = read_answers(release.work.path(name)).facts
    except IntegrityError:
        return False
    return (
        facts.kind is kind
        and facts.plan_sha256 == release.work.sha256("plan.json")
        and facts.source_tree == release.source.tree
        and facts.probes_sha256 == release.probes.sha256
        and facts.max_length == release.plan.max_length
    )


def _target(release: _Release, bundle: Bundle) -> Target:
    from release_tool.steps.measuring import Target

    return Target(
        plan=release.plan,
        bundle=bundle,
        archive=release.work.path(bundle.archive.path),
        config=release.work.path(bundle.config.path),
        probes=release.probes,
    )


def _reference(release: _Release, bundle: Bundle) -> Reference:
    from release_tool.core.bundle import bundle_name
    from release_tool.models.answers import answers_name, read_answers
    from release_tool.steps.measuring import Reference

    name = answers_name(bundle.kind)
    return Reference(
        answers=read_answers(release.work.path(name)),
        sha256=release.work.sha256(name),
        uses=release.work.uses("plan.json", "source.json", bundle_name(bundle.artifact), name),
    )


def _missing(
    context: Context, release: _Release, rings: list[str], stale: tuple[ModelKind, ...], *, again: bool
) -> list[tuple[Target, str]]:
    """Return what must be measured; say what is proven already, and drop proofs of other bytes."""
    from release_tool.steps.measuring import current_proof

    found = []
    for bundle in release.bundles:
        target = _target(release, bundle)
        reference = None if bundle.kind in stale else _reference(release, bundle)
        for ring in RINGS:
            name = proof_name(ring, bundle.artifact)
            holds = reference is not None and current_proof(release.work, target, ring, reference) is not None
            if ring in rings:
                if holds and not again:
                    context.console.info(f"{bundle.artifact} is proven already in the {ring} ring.")
                else:
                    found.append((target, ring))
            elif release.work.has(name) and not holds:
                # It would contradict the certificate: it is about bytes that are no more.
                release.work.path(name).unlink()
                context.console.warning(f"{name} was about other bytes and is removed; measure again with --on {ring}.")
    return found


def _measure(
    context: Context, release: _Release, missing: list[tuple[Target, str]], finished: Callable[[], None]
) -> None:
    """Ask every ring, compare when the oracle is done, and write each proof."""
    from release_tool.services.cache import cache_folder
    from release_tool.steps.measuring import ask, prove

    cache = cache_folder(os.environ)
    offline = [(target, ring) for target, ring in missing if ring != NODE]
    if offline:
        names = ", ".join(f"{target.bundle.artifact} ({ring})" for target, ring in offline)
        with context.console.step(f"Measure {names}"):
            quiet = _quiet(context.console, len(offline))
            answered = _side_by_side(
                [partial(ask, target, ring, console=quiet, cache=cache) for target, ring in offline]
            )
            finished()
            for (target, ring), got in zip(offline, answered, strict=True):
                _write(release, prove(target, ring, got, _reference(release, target.bundle)))
    online = [target for target, ring in missing if ring == NODE]
    if not online:
        return
    from release_tool.services.node import running_node

    with context.console.step("Measure on a real OpenSearch"), running_node(context.console, env=os.environ) as node:
        finished()
        for target in online:
            context.console.info(f"{target.bundle.artifact}: register, deploy, ask {len(target.rows)} probes")
            reply = ask(target, NODE, console=context.console, cache=cache, node=node)
            _write(release, prove(target, NODE, reply, _reference(release, target.bundle)))


def _quiet(console: Console, count: int) -> Console:
    """Return a console without bars where several processes would draw over each other."""
    from release_tool.console import Console

    return console if count == 1 else Console(stream=console.stream, env=console.env, verbosity=-1)


PARALLEL_RINGS = 2
"""Fresh processes at once: each serves on one thread, as the server does."""


def _side_by_side(jobs: list[Callable[[], Answered]]) -> list[Answered]:
    """Run jobs that wait for processes; return their results in order, or raise the first error when all are done."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=PARALLEL_RINGS) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


def _write(release: _Release, proof: Proof) -> None:
    release.work.write(proof_name(proof.ring, proof.artifact), proof)


def _certify(context: Context, release: _Release, bundle: Bundle, fresh: set[tuple[str, str]]) -> list[Verdict]:
    """Fold every proof that holds into the certificate, and return their verdicts."""
    from release_tool.core.bundle import bundle_name
    from release_tool.core.certificate import certificate_name, fold
    from release_tool.models.answers import answers_name, read_answers
    from release_tool.steps.measuring import verdict_of

    names = [name for ring in RINGS if release.work.has(name := proof_name(ring, bundle.artifact))]
    proofs = tuple(release.work.read(Proof, name, made_by="validate") for name in names)
    answers = answers_name(bundle.kind)
    uses = release.work.uses("plan.json", "source.json", bundle_name(bundle.artifact), answers, *names)
    certificate = fold(release.plan, release.source, bundle, proofs, uses)
    release.work.write(certificate_name(bundle.artifact), certificate)
    oracle = read_answers(release.work.path(answers))
    verdicts = []
    for proof, name in zip(proofs, names, strict=True):
        measured = (proof.artifact, proof.ring) in fresh
        path = str(context.work / name)
        verdict = verdict_of(proof, release.plan, oracle, measured=measured, path=path)
        verdicts.append(verdict.because(certificate.failures()[proof.ring]))
    return verdicts
