"""``release-tool finetune release``: start the release of the model that was handed over, on GitHub."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from release_tool.core.tuned_release import FIELDS
from release_tool.steps import emit

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.global_options import Context

HELP = """Start the release of the tuned model, on GitHub.

Fills the form of release-model.yml with the id of this run and the revision of its model, and starts it on main: from
there on everything is as if a person had filled it, approvals included. A licence that has to be accepted is no
business of a program: such a release is started by hand. Without --version nothing is released; --dry-run only looks
at the form, before anything is tuned.

\b
Examples:
  release-tool finetune release --model acme/search --version 1.0.0 --upload-target staging --dry-run
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What was asked of GitHub."""

    form: dict[str, str]
    """Inputs of release-model.yml; empty where no release is wanted."""
    started: bool
    """False where nothing was to do."""
    url: str | None = None
    """Of the run that goes on already, where there is one."""


@click.command(help=HELP, short_help="Start the release of the tuned model, on GitHub.")
@click.option("--model", metavar="ORG/NAME", help="What to call the model.")
@click.option("--version", metavar="VERSION", help="Of the release; without it, nothing is released.")
@click.option("--upload-target", metavar="TARGET", help="Where the release goes, by release-tool.toml.")
@click.option("--kind", metavar="KIND", help="As in plan; auto detects it.")
@click.option("--format", "format", metavar="FORMAT", help="As in plan; both is every one that can be made.")
@click.option("--name", metavar="NAME", help="As in plan.")
@click.option("--description", metavar="TEXT", help="As in plan.")
@click.option("--tune-run-id", metavar="ID", help="The run that handed the model over.")
@click.option("--revision", metavar="REVISION", help="That its model must have: the output of hand-over.")
@click.option("--accept-worse", metavar="REASON", help="As it was given to hand-over; needed where it was.")
@click.option(
    "--repository",
    metavar="OWNER/NAME",
    envvar=["RELEASE_TOOL_FINETUNE_RELEASE_REPOSITORY", "GITHUB_REPOSITORY"],
    help="Whose release-model.yml is started.  [default: GITHUB_REPOSITORY]",
)
@click.option("--dry-run", is_flag=True, help="Only look whether the form is right; GitHub is not asked.")
@click.pass_obj
def command(
    context: Context,
    /,
    *,
    tune_run_id: str | None,
    revision: str | None,
    accept_worse: str | None,
    repository: str | None,
    dry_run: bool,
    **said: str | None,
) -> None:
    """See HELP."""
    form = {name: value.strip() for name in FIELDS if (value := said.get(name)) and value.strip()}
    if not form.get("version") and not form.get("model"):
        emit(context, "No version is named: no release is started.", Start(form={}, started=False))
        return
    own = {"tune_run_id": tune_run_id, "revision": revision}
    form |= {name: value for name, value in own.items() if value}
    check_form(context, form, whole=not dry_run)
    if dry_run:
        emit(context, "The form of the release is right.", Start(form=form, started=False))
        return
    start = start_release(context, form, accept_worse=accept_worse, repository=repository)
    emit(context, _told(start), start)


def check_form(context: Context, form: dict[str, str], *, whole: bool) -> None:
    """Refuse a form that its release would refuse, with everything that is wrong with it.

    Args:
        context: of the command.
        form: input → what was said; nothing is blank.
        whole: also that run and revision are named.

    Raises:
        RequestError: something is wrong with it.
        UsageError: the settings can't be read.
    """
    from release_tool.core.tuned_release import form_faults
    from release_tool.errors import Fault, RequestError
    from release_tool.steps.settings import find_target

    faults = form_faults(form)
    faults += [
        Fault(f"--{name.replace('_', '-')}", "is needed to start a release")
        for name in ("tune_run_id", "revision")
        if whole and name not in form
    ]
    if "upload_target" in form:
        try:
            find_target(context.repo, form["upload_target"], "--upload-target")
        except RequestError as error:
            faults += error.faults
    if faults:
        raise RequestError(tuple(faults))


def start_release(context: Context, form: dict[str, str], *, accept_worse: str | None, repository: str | None) -> Start:
    """Start the release of the folder that was handed over, unless that was done before.

    Args:
        context: of the command.
        form: inputs of release-model.yml, checked.
        accept_worse: the reason that was given to hand-over.
        repository: ``owner/name``.

    Raises:
        UsageError: nothing was handed over; there is no token, or no repository.
        IntegrityError: the folder is another one than was handed over.
        ValidationFailed: the model is not better, and nobody has accepted that.
        RemoteFailed: GitHub has no such workflow, refuses the form, or lets this token start nothing.
        Unreachable: it does not answer.
    """
    from release_tool.core.environments import BRANCH
    from release_tool.core.escape import markdown
    from release_tool.core.tuned_release import RELEASE_WORKFLOW, title_of, under_way
    from release_tool.errors import Refused, RemoteFailed
    from release_tool.services.github import GitHub, check_repository, read_access
    from release_tool.services.github_repository import Repository, plain_url

    check_handed_over(handed_over(context), form["revision"], accept_worse)
    github = Repository(GitHub(read_access(os.environ)), check_repository(repository))
    title = title_of(form)
    with context.console.step("Start the release"):
        try:
            before = under_way(github.runs(RELEASE_WORKFLOW, BRANCH), title)
            if before is not None:
                return Start(form=form, started=False, url=plain_url(before.get("html_url")))
            github.dispatch(RELEASE_WORKFLOW, BRANCH, form)
        except Refused as error:
            raise RemoteFailed(
                f"{RELEASE_WORKFLOW} can't be started on {BRANCH} of {github.name}: {error}",
                hint="It has to be there, with these inputs, and the job needs actions: write. Then run this job "
                "again: a run that has not ended well is taken by no release.",
            ) from error
    context.console.summary(f"Started among the runs of {RELEASE_WORKFLOW}: {markdown(title)}")
    return Start(form=form, started=True)


def handed_over(context: Context) -> Path:
    """Return the folder that was handed over.

    Raises:
        UsageError: there is none.
    """
    from release_tool.core.finetune.stages import Stage
    from release_tool.errors import UsageError
    from release_tool.run_folder import RunFolder
    from release_tool.steps.finetune.hand_over import MODEL

    folder = RunFolder.below(context.work).folder(Stage.HAND_OVER) / MODEL
    if not folder.is_dir():
        raise UsageError(
            f"Nothing was handed over: there is no {folder}.",
            hint="Run release-tool finetune run to its end first; in a workflow, take the artifact tuned-model.",
        )
    return folder


def check_handed_over(folder: Path, revision: str, accept_worse: str | None) -> None:
    """Refuse a folder that is not the one that was handed over, or that nobody may release.

    Raises:
        IntegrityError: it is another one, or no model of this tool.
        ValidationFailed: it is not better, and nobody has accepted that.
        SourceError: it can't be read.
    """
    from release_tool.core.lineage import FILE, MAX_BYTES
    from release_tool.core.modeljson import load_object
    from release_tool.core.tuned_release import objection
    from release_tool.errors import IntegrityError, UnsupportedModel, ValidationFailed
    from release_tool.services.folder import FolderSource

    source = FolderSource(folder)
    there = source.pin().revision
    if there != revision:
        raise IntegrityError(
            f"The model is not the one that was handed over: that was {revision}, this is {there}.",
            hint="Look what changed the artifact tuned-model, and run the tuning again.",
        )
    data = source.read(FILE)
    try:
        lineage = load_object(lambda _: data, FILE) if data is not None and len(data) <= MAX_BYTES else None
    except UnsupportedModel:
        lineage = None
    files = [(file.path, file.digest.removeprefix("sha256:")) for file in source.listing()]
    found = objection(lineage, files, accept_worse)
    if found is not None:
        kind = ValidationFailed if found.is_verdict else IntegrityError
        raise kind(f"The model that was handed over can't be released: {found.words}.", hint=found.hint)


def _told(start: Start) -> str:
    if start.started:
        return "The release is started."
    where = f": {start.url}" if start.url else ""
    return f"The release was started before{where}."
