"""``release-tool trace``: write one archive an artifact of the plan; with MODEL, plan and fetch first."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from release_tool.steps import emit
from release_tool.steps.options import collect_inputs, model_argument, request_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from release_tool.core.bundle import Bundle
    from release_tool.core.inputs import Raw
    from release_tool.core.plan import ReleasePlan
    from release_tool.documents import WorkFolder
    from release_tool.global_options import Context
    from release_tool.steps.answering import Oracle
    from release_tool.workers import Worker

MODULE = "release_tool.models.export"

HELP = """Write one archive an artifact of the plan.

With MODEL (a hub id or a folder) it plans and fetches first; without, it goes on from the plan in the work folder.

\b
Examples:
  release-tool trace sentence-transformers/all-MiniLM-L6-v2 --version 1.0.0
  release-tool trace ./my-model --kind sparse --version 1.0.0
  release-tool trace --artifact onnx
"""


@click.command(help=HELP, short_help="Write one archive an artifact of the plan.")
@model_argument
@request_options
@click.option("--artifact", "artifacts", multiple=True, metavar="ID", help="Only this artifact; may be repeated.")
@click.option(
    "--answers/--no-answers",
    default=True,
    show_default=True,
    help="Let the oracle answer the probes beside the export, for validate.",
)
@click.option("--again", is_flag=True, help="Make archives again that are there already.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: str | None,
    *,
    artifacts: tuple[str, ...],
    answers: bool,
    again: bool,
    **options: Any,
) -> None:
    """See HELP."""
    from release_tool.lock import hold
    from release_tool.services.extras import require_trace_extra
    from release_tool.steps.answering import Oracle
    from release_tool.steps.fetch import run_fetch
    from release_tool.steps.plan import plan_release

    context: Context = ctx.obj
    require_trace_extra()
    inputs = collect_inputs(model, options)
    with hold(context.work, "trace"), Oracle(context) as oracle, ahead(context, inputs) as export:
        if export is not None and answers:
            oracle.prepare()
        if inputs:
            plan_release(context, inputs)
            run_fetch(context)
        bundles = run_trace(
            context, artifacts=artifacts, oracle=oracle if answers else None, again=again, export=export
        )
        oracle.wait(bar=True)
    lines = [
        f"{context.work / bundle.archive.path}  {bundle.archive.size:,} bytes  sha256:{bundle.archive.sha256}"
        for bundle in bundles
    ]
    emit(context, "\n".join(lines), bundles)


@dataclass(frozen=True, slots=True)
class _State:
    """What is there already."""

    done: tuple[str, ...]
    missing: tuple[str, ...]


def run_trace(
    context: Context,
    *,
    artifacts: tuple[str, ...] = (),
    oracle: Oracle | None = None,
    again: bool = False,
    ready: Callable[[str], None] = lambda _: None,
    export: Worker | None = None,
    recorded: str | None = None,
) -> tuple[Bundle, ...]:
    """Make the archives that are missing and return all bundles of the plan's artifacts that were asked for.

    An oracle is started beside the export where its answers are missing; the caller waits for it. ``ready`` is told
    each artifact as soon as its bundle is written. ``export`` is a process that was started ahead. ``recorded`` names a
    file of the work folder with the bundle of an earlier trace, whose int8 is made again as it was.

    Raises:
        UsageError: the plan has no such artifact.
        IntegrityError: the snapshot is not the one that was fetched.
        ReleaseError: what the export process reports.
    """
    from release_tool.core.bundle import Bundle, bundle_name
    from release_tool.core.plan import ReleasePlan
    from release_tool.core.source import SourceSnapshot
    from release_tool.documents import WorkFolder
    from release_tool.errors import UsageError

    work = WorkFolder(context.work)
    plan = work.read(ReleasePlan, "plan.json", made_by="plan")
    source = work.read(SourceSnapshot, "source.json", made_by="fetch")
    work.check_chain(source, "source.json")
    known = {artifact.id for artifact in plan.artifacts}
    for name in artifacts:
        if name not in known:
            raise UsageError(f"The plan has no artifact {name!r}.", hint="It has " + ", ".join(sorted(known)) + ".")
    wanted = tuple(artifact.id for artifact in plan.artifacts if not artifacts or artifact.id in artifacts)
    state = _State((), wanted) if again else _look(work, wanted)
    for name in state.done:
        context.console.info(f"{name} is traced already.")
    if state.missing:
        with context.console.step("Trace " + ", ".join(state.missing)):
            told = () if recorded is None else (f"--recorded={recorded}",)
            _export(context, work, plan, source, state.missing, oracle=oracle, ready=ready, ahead=export, more=told)
    return tuple(work.read(Bundle, bundle_name(name), made_by="trace") for name in wanted)


def _look(work: WorkFolder, wanted: tuple[str, ...]) -> _State:
    """Tell which artifacts are there, whole, and made from this very plan and source."""
    from release_tool.core.bundle import Bundle, bundle_name
    from release_tool.errors import ReleaseError

    done: list[str] = []
    missing: list[str] = []
    for name in wanted:
        try:
            bundle = work.read(Bundle, bundle_name(name), made_by="trace")
            work.check_chain(bundle, bundle_name(name))
            whole = all(work.has(file.path) and work.sha256(file.path) == file.sha256
                        for file in (bundle.archive, bundle.config))  # fmt: skip
        except ReleaseError:
            whole = False
        (done if whole else missing).append(name)
    return _State(tuple(done), tuple(missing))


def _export(
    context: Context,
    work: WorkFolder,
    plan: ReleasePlan,
    source: Any,
    missing: tuple[str, ...],
    *,
    oracle: Oracle | None,
    ready: Callable[[str], None],
    ahead: Worker | None,
    more: tuple[str, ...] = (),
) -> None:
    """Run the export process, the oracle beside it, and check the snapshot while they import their libraries."""
    from release_tool.core.bundle import bundle_name
    from release_tool.services.extras import require_trace_extra
    from release_tool.workers import start

    require_trace_extra()
    for name in missing:
        work.path(bundle_name(name)).unlink(missing_ok=True)
    arguments = ["--work", str(work.folder), *(f"--artifact={name}" for name in missing), *more]
    lean = not plan.request.trust_remote_code  # a model's own code may want what nothing else here does
    if ahead is not None and lean:
        export = ahead
        export.begin(arguments)
    else:
        export = start("export", MODULE, arguments, lean=lean, debug=context.debug)
    try:
        if oracle is not None and not answers_present(work, plan):
            oracle.start(work.folder, plan.kinds)
        check_snapshot(work, source)
        total = sum(artifact.expected_bytes for artifact in plan.artifacts if artifact.id in missing)
        with context.console.progress("writing", total, "B") as bar:
            export.wait(context.console, lambda done, _: bar.set(done), lambda made: ready(made["id"]))
    finally:
        export.stop()


@contextmanager
def ahead(context: Context, inputs: dict[str, Raw]) -> Iterator[Worker | None]:
    """Let the export import its libraries while plan and fetch look at a folder, which keeps one core busy at most.

    Null where that would be for nothing, or for long: a model of the hub, one with code of its own, a work folder in
    which something was traced, no libraries to import.
    """
    from pathlib import Path

    from release_tool.services.extras import packages
    from release_tool.workers import start

    model = inputs.get("model")
    worker: Worker | None = None
    if (
        isinstance(model, str)
        and Path(model).is_dir()
        and not inputs.get("trust_remote_code")
        and not any(context.work.glob("bundle-*.json"))
        and all(package.fits for package in packages())
    ):
        worker = start("export", MODULE, None, lean=True, debug=context.debug)
    try:
        yield worker
    finally:
        if worker is not None:
            worker.stop()


def answers_present(work: WorkFolder, plan: ReleasePlan) -> bool:
    """Tell whether the oracle's answers of every kind lie in the folder; validate checks whether they are right."""
    return all(work.has(f"answers-{kind.value}.safetensors") for kind in plan.kinds)


def check_snapshot(work: WorkFolder, source: Any) -> None:
    """Hash the snapshot again: a file that changed since fetch must not be traced.

    Raises:
        IntegrityError: a file is missing, has changed, or was added.
    """
    from release_tool.core.source import SourceSnapshot
    from release_tool.errors import IntegrityError

    root = work.path(SourceSnapshot.FOLDER)
    known = {file.path: file.sha256 for file in source.files}
    for path, digest in known.items():
        name = f"{SourceSnapshot.FOLDER}/{path}"
        if not work.has(name) or work.sha256(name) != digest:
            raise IntegrityError(
                f"{path} of the snapshot is not what was fetched.", hint="Run release-tool fetch again."
            )
    strangers = sorted(
        item.relative_to(root).as_posix()
        for item in root.rglob("*")
        if item.is_file() and item.relative_to(root).as_posix() not in known
    )
    if strangers:
        raise IntegrityError(
            f"{strangers[0]} lies in the snapshot and was not fetched.", hint="Run release-tool fetch again."
        )
