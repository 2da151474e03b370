"""``release-tool record``: what was published goes into the files of the repository."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import click

from release_tool.steps import draft_option, emit

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.ledger import Row
    from release_tool.core.ledger_rows import Published
    from release_tool.global_options import Context
    from release_tool.steps.worktree import Change, State

HELP = """Write a release into the ledger and the files that follow from it.

Rewrites in --repo: supported_models.json, MODEL_UPLOAD_HISTORY.md, model_listing/*.json, CHANGELOG.md. Dimension and
pooling are those that were proven. Run it again with what the build came to: twice is once. --check reads the files
alone, needs no work folder, and exits with 9 where they disagree.

\b
Examples:
  release-tool record --uploader octocat --run-url https://github.example/acme/models/actions/runs/17
  release-tool record --draft
  release-tool record --check
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What ``record`` did, or with --draft would do."""

    SCHEMA: ClassVar[str] = "release-tool/record@1"

    schema: str = "release-tool/record@1"
    approved: str
    model_id: str
    version: str
    changed: tuple[str, ...]
    """Files of the repository, in the order in which they are written."""
    rows: tuple[dict[str, Any], ...]
    """The release's rows of the ledger."""
    diff: str | None = None
    """Only of a draft."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What ``record --check`` found."""

    disagreements: tuple[str, ...] = field(default_factory=tuple)


@click.command(help=HELP, short_help="Write a release into the ledger and the files that follow from it.")
@click.option("--uploader", metavar="LOGIN", help="Who started the release.")
@click.option("--run-id", metavar="ID", help="Id of the workflow run: the number in --run-url.  [default: from there]")
@click.option("--run-url", metavar="URL", help="Address of the workflow run.")
@draft_option
@click.option("--check", is_flag=True, help="Say where the files disagree (exit code 9), and change nothing.")
@click.pass_obj
def command(
    context: Context, uploader: str | None, run_id: str | None, run_url: str | None, *, draft: bool, check: bool
) -> None:
    """Record the release of the work folder."""
    if check:
        _tell(context, check_records(context.repo))
        return
    done = run_record(context, uploader=uploader, run_id=run_id, run_url=run_url, draft=draft)
    if draft:
        emit(context, done.diff or "nothing would change", done)
        return
    lines = [f"changed   {name}" for name in done.changed] or ["unchanged  everything is recorded already"]
    emit(context, "\n".join([f"recorded  {done.model_id} {done.version}  {done.approved}", *lines]), done)


def run_record(
    context: Context,
    *,
    uploader: str | None = None,
    run_id: str | None = None,
    run_url: str | None = None,
    draft: bool = False,
) -> Recorded:
    """Write the release of the work folder into the files of the repository.

    Raises:
        UsageError: a step before has not run; there is no repository; a template of it is wrong.
        IntegrityError: a document is not the one that was approved or published.
        RecordError: a file of the repository is not what it must be.
    """
    from release_tool.core.yank import is_hidden
    from release_tool.documents import WorkFolder
    from release_tool.steps.recording import read_published
    from release_tool.steps.worktree import diff_of, held, write_changes

    release = read_published(WorkFolder(context.work), uploader=uploader, run_id=run_id, run_url=run_url)
    _check_repository(context.repo)
    with held(context.repo, "record", draft=draft):
        changes, rows = recorded(context.repo, release)
        if not draft:
            write_changes(context.repo, changes)
    if is_hidden(rows):
        context.console.warning(
            "This version is yanked: it is recorded, and not listed. release-tool models restore lists it again."
        )
    return Recorded(
        approved=release.receipt.approved,
        model_id=rows[0].model_id,
        version=rows[0].version,
        changed=tuple(change.name for change in changes),
        rows=tuple(dict(row.data) for row in rows),
        diff=diff_of(changes) if draft else None,
    )


def _check_repository(repo: Path) -> None:
    from release_tool.errors import UsageError

    if not repo.is_dir():
        raise UsageError(f"There is no repository at {repo}.", hint="Name a folder that exists with --repo.")


def recorded(repo: Path, release: Published) -> tuple[tuple[Change, ...], tuple[Row, ...]]:
    """Return what changes in a repository by a release, and its rows of the ledger.

    Raises:
        UsageError: a template of the repository is wrong.
        RecordError: a file of the repository is not what it must be.
    """
    from dataclasses import replace

    from release_tool.core.changelog import CHANGELOG
    from release_tool.core.ledger import of_release
    from release_tool.core.ledger_rows import rows_of
    from release_tool.core.yank import show
    from release_tool.steps.worktree import read_state, with_history

    state = read_state(repo)
    records = state.records
    for data in rows_of(release):
        records = replace(records, ledger=records.ledger.add(data))
    rows = of_release(records.ledger, release.receipt.approved)
    for name in dict.fromkeys(row.name for row in rows if row.name):
        records = show(records, name, rows[0].version, excluded=state.excluded)
    after = {**with_history(state, records), CHANGELOG: _changelog(state, rows)}
    return state.changes(after), rows


def _changelog(state: State, rows: tuple[Row, ...]) -> bytes:
    """Return CHANGELOG.md with the entry of a release."""
    from release_tool.core import changelog
    from release_tool.core.history import ENTRY_TEMPLATE, entry_of
    from release_tool.core.render import render_values
    from release_tool.errors import UsageError
    from release_tool.steps.templates import load_templates

    entry = entry_of(rows)
    texts, _ = load_templates(state.repo, (ENTRY_TEMPLATE,))
    line = render_values(texts[ENTRY_TEMPLATE], {"entry": entry}, name=ENTRY_TEMPLATE).strip("\n")
    if "\n" in line or entry.digest not in changelog.named(line):
        raise UsageError(
            f"The template {ENTRY_TEMPLATE} makes no single line that shows entry.digest.",
            hint=f"Correct templates/{ENTRY_TEMPLATE} of the repository, or remove it to use the packaged one.",
        )
    data = state.read[changelog.CHANGELOG]
    return changelog.insert(changelog.read(data or changelog.EMPTY), line, entry.digest).encode()


def check_records(repo: Path) -> Agreement:
    """Say where the files of a repository disagree.

    Raises:
        UsageError: there is no repository; a template of it is wrong.
        RecordError: a file is not what it must be.
    """
    from release_tool.core.agreement import disagreements
    from release_tool.core.changelog import CHANGELOG
    from release_tool.core.history import HISTORY
    from release_tool.steps.worktree import history_page, read_state

    _check_repository(repo)
    state = read_state(repo)
    found = disagreements(
        state.records,
        history=state.text(HISTORY),
        rendered=history_page(state.records.ledger, repo),
        changelog=state.text(CHANGELOG),
        excluded=state.excluded,
    )
    return Agreement(disagreements=found)


def _tell(context: Context, found: Agreement) -> None:
    from release_tool.errors import RecordError

    if not found.disagreements:
        emit(context, "The files of the records agree.", found)
        return
    if context.json:
        emit(context, "", found)
    lines = "\n".join(f"  - {line}" for line in found.disagreements)
    raise RecordError(
        f"The files of the records disagree:\n{lines}",
        hint="record repairs what follows from the ledger, listing rebuild the listings; people repair the rest.",
    )
