"""``release-tool plan``: decide and name everything about a release."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from release_tool.steps import emit
from release_tool.steps.options import collect_inputs, model_argument, origins, request_options
from release_tool.steps.plan_inputs import faults_of_event, folder_of, from_run

if TYPE_CHECKING:
    from release_tool.core.inputs import Raw
    from release_tool.core.plan import ReleasePlan, SourceFacts
    from release_tool.core.request import ReleaseRequest
    from release_tool.errors import Fault
    from release_tool.global_options import Context
    from release_tool.services.sources import Source

MAX_IDF_BYTES = 32 * 1024 * 1024
"""Bytes: ten times a file for a vocabulary of 250,000 tokens."""


HELP = """Decide and name everything about a release.

Pins MODEL (a hub id or a folder) to a revision, looks at its small files and at the headers of its weights, and writes
plan.json. All faults of a request are listed at once; weights are not downloaded.

\b
Examples:
  release-tool plan sentence-transformers/all-MiniLM-L6-v2 --version 1.0.0
  release-tool plan ./my-model --model-id acme/tiny --version 1.0.0 --kind sparse
  release-tool plan ./my-model --version 1.0.0 --dry-run
"""


@click.command(help=HELP, short_help="Decide and name everything about a release.")
@model_argument
@request_options
@click.option(
    "--tuned-model",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the model of an event's tune_run_id was put; MODEL is then what to call it.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan as JSON and write nothing.")
@click.pass_context
def command(
    ctx: click.Context, /, model: str | None, *, tuned_model: Path | None, dry_run: bool, **options: Any
) -> None:
    """Pin MODEL (an id or a folder), look at its small files, and write plan.json."""
    from release_tool.core.codec import encode_text
    from release_tool.core.plan_page import plan_text
    from release_tool.errors import UsageError
    from release_tool.lock import hold

    context: Context = ctx.obj
    inputs = collect_inputs(model, options)
    if inputs.get("tune_run_id"):
        inputs = from_run(inputs, tuned_model)
    elif ctx.get_parameter_source("tuned_model") is ParameterSource.COMMANDLINE:
        # The variable of a workflow is set for every form; an option that a person typed means something.
        raise UsageError(
            "--tuned-model means nothing without the id of a run.", hint="Add --tune-run-id, or leave it out."
        )
    for line in origins(ctx, inputs):
        context.console.debug(line)
    if dry_run:
        click.echo(encode_text(plan_release(context, inputs, dry_run=True)), nl=False)
        return
    with hold(context.work, "plan"):
        plan = plan_release(context, inputs)
    emit(context, plan_text(plan), plan)


def plan_release(context: Context, inputs: dict[str, Raw], *, dry_run: bool = False) -> ReleasePlan:
    """Make the plan of a release and write it into the work folder.

    Args:
        context: of the command.
        inputs: as ``steps.options.collect_inputs`` returns them; ``model`` is an id or the path of a folder.
        dry_run: write nothing.

    Raises:
        RequestError: the request is wrong, or the model can't be released as asked; every fault is listed.
        SourceError: the model can't be had, or its files are not what they must be.
    """
    from dataclasses import replace

    from release_tool import __version__
    from release_tool.core.planning import make_plan
    from release_tool.errors import RequestError
    from release_tool.steps.plan_looks import look_closer
    from release_tool.steps.settings import find_target

    with context.console.step("Plan"):
        folder = folder_of(inputs)
        idf, idf_faults = _read_idf(inputs)
        request, faults = _request(inputs, folder, idf, idf_faults)
        to = None
        if request.upload_target is not None:
            try:
                to = find_target(context.repo, request.upload_target, "--upload-target").to
            except RequestError as error:
                faults = [*faults, *error.faults]
        if faults:
            # A look at a folder costs nothing: what the model itself speaks against is listed, too.
            raise RequestError((*faults, *_faults_of_model(request, folder, faults)))
        _check_apart(context.work, folder)
        source = _open(request, folder)
        facts = source_facts(source, request)
        lineage = _lineage(source)
        plan = make_plan(request, facts, tool_version=__version__, lineage=lineage, to=to)
        plan = replace(plan, warnings=(*plan.warnings, *_lineage_warnings(source, lineage)))
        plan = look_closer(source, plan, idf)
        for warning in plan.warnings:
            context.console.warning(warning)
        if not dry_run:
            _write(context, plan, folder, idf)
            from release_tool.core.plan_page import plan_markdown

            context.console.summary(plan_markdown(plan))
    return plan


def source_facts(source: Source, request: ReleaseRequest) -> SourceFacts:
    """Pin the source and return what its small files say.

    Raises:
        SourceError: it can't be had, or a file of it is not what it must be.
    """
    from release_tool.core.card import licence_facts, read_card
    from release_tool.core.detect import detect
    from release_tool.core.plan import SourceFacts
    from release_tool.steps.plan_looks import corrected, read_weights

    pinned = source.pin()
    known = {file.path for file in pinned.files}
    card = read_card(source.read("README.md") if "README.md" in known else None)
    detection = detect(lambda path: source.read(path) if path in known else None, pinned.files, tags=card.tags)
    return SourceFacts(
        origin=source.origin,
        model_id=pinned.model_id,
        revision=pinned.revision,
        requested_revision=pinned.requested_revision,
        files=pinned.files,
        licence=licence_facts(card, request.accept_licence, request.accepted_by),
        model=corrected(detection.model, read_weights(source, pinned.files)),
        remote_code=pinned.remote_code,
        description=card.description,
        kinds=detection.kinds,
        kind_reason=detection.reason,
    )


def _request(
    inputs: dict[str, Raw], folder: Path | None, idf: bytes | None, idf_faults: list[Fault]
) -> tuple[ReleaseRequest, list[Fault]]:
    """Return the request and its own faults: a faulty one costs no look at the hub."""
    from release_tool.core.digest import sha256_bytes
    from release_tool.core.inputs import parse_inputs
    from release_tool.core.request import check
    from release_tool.errors import Fault

    named = dict(inputs)
    if folder is not None:
        from release_tool.services.folder import local_id

        named["model"] = local_id(folder).partition("/")[2]
    request, parse_faults = parse_inputs(named, idf_sha256=sha256_bytes(idf) if idf is not None else None)
    parse_faults += idf_faults
    parsed = {fault.field for fault in parse_faults}
    faults = [*parse_faults, *(f for f in check(request, is_folder=folder is not None) if f.field not in parsed)]
    for fault in faults_of_event(inputs, request):
        faults = [fault, *(other for other in faults if other.field != fault.field)]
    blank = {
        "MODEL": (request.model, "an id such as org/name, or a folder"),
        "--version": (request.version, "1 to 4 numeric parts, such as 1.0.0"),
    }
    for field, (given, hint) in blank.items():
        if not given and field not in parsed:
            faults = [Fault(field, "is needed", hint), *(fault for fault in faults if fault.field != field)]
    return request, faults


def _faults_of_model(request: ReleaseRequest, folder: Path | None, known: list[Fault]) -> tuple[Fault, ...]:
    """Return what the model in a folder speaks against in a request that is faulty already."""
    from release_tool.core.planning import make_plan
    from release_tool.errors import ReleaseError, RequestError

    if folder is None:
        return ()
    fields = {fault.field for fault in known}
    try:
        make_plan(request, source_facts(_open(request, folder), request), tool_version="")
    except RequestError as error:
        return tuple(fault for fault in error.faults if fault.field not in fields)
    except ReleaseError:
        return ()  # what is wrong with the folder is said once the request is right
    return ()


def _check_apart(work: Path, folder: Path | None) -> None:
    """Refuse a work folder inside the model: writing the plan would change the revision that it names."""
    from release_tool.errors import UsageError

    if folder is not None and work.resolve().is_relative_to(folder):
        raise UsageError(
            f"The work folder {work} lies inside the model's folder.", hint="Name another work folder with --work."
        )


def _open(request: ReleaseRequest, folder: Path | None) -> Source:
    from release_tool.services.open_source import open_source

    return open_source(
        folder or request.model,
        revision=request.revision,
        model_id=request.model_id,
        allow_pickle=request.allow_pickle,
        trust_remote_code=request.trust_remote_code,
    )


def _lineage(source: Source) -> dict[str, Any] | None:
    """Return lineage.json of a folder: how this model was fine-tuned here. A hub's is a claim of others.

    Raises:
        UnsupportedModel: it is no object, or larger or deeper than a ledger can carry.
    """
    from release_tool.core.lineage import FILE, problem_of
    from release_tool.core.modeljson import bad, load_object

    data = source.read(FILE) if source.origin == "folder" else None
    found = None if data is None else load_object(lambda _: data, FILE)
    if data is not None and found is not None and (problem := problem_of(found, len(data))):
        raise bad(FILE, problem)
    return found


def _lineage_warnings(source: Source, lineage: dict[str, Any] | None) -> tuple[str, ...]:
    """Return what an approver must know of a lineage: a gate that was red, files that are not those of the run."""
    from release_tool.core.lineage import warnings

    if lineage is None:
        return ()
    return warnings(lineage, [(file.path, file.digest.removeprefix("sha256:")) for file in source.listing()])


# --- token weights ---------------------------------------------------------------------------------------------------


def _read_idf(inputs: dict[str, Raw]) -> tuple[bytes | None, list[Fault]]:
    """Return the bytes behind --idf, or what is wrong with them: a flat map of token to number is wanted."""
    from release_tool.bounded import NotReadable, read_bounded
    from release_tool.core.inputs import check_token_weights
    from release_tool.errors import Fault, UnsupportedModel

    if not inputs.get("idf"):
        return None, []
    path = Path(str(inputs["idf"])).expanduser()
    hint = "a JSON object of token to number"
    try:
        data = read_bounded(path, MAX_IDF_BYTES)
        check_token_weights(data, path.name)
    except (OSError, NotReadable) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return None, [Fault("--idf", f"{path.name} can't be read: {reason}", hint)]
    except UnsupportedModel as error:
        problem = str(error).partition("can't be used: ")[2].rstrip(".")
        return None, [Fault("--idf", f"{path.name} can't be used: {problem}", hint)]
    return data, []


# --- the work folder -------------------------------------------------------------------------------------------------


def _write(context: Context, plan: ReleasePlan, folder: Path | None, idf: bytes | None) -> None:
    """Write the copy of --idf, where the folder lies, and last the plan that speaks of them."""
    from release_tool.core.location import IDF_FILE, LOCATION_FILE, Location
    from release_tool.documents import WorkFolder, write_atomic
    from release_tool.errors import UsageError

    work = WorkFolder(context.work)
    if idf is not None:
        write_atomic(work.path(IDF_FILE), idf)
    if folder is not None:
        try:
            str(folder).encode()
        except UnicodeEncodeError as error:
            raise UsageError("The folder's path is not valid UTF-8.", hint="Rename the folder.") from error
        work.write(LOCATION_FILE, Location(folder=str(folder)))
    else:
        work.path(LOCATION_FILE).unlink(missing_ok=True)
    work.write("plan.json", plan)
