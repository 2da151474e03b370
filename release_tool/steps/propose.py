"""``release-tool propose``: the record of a release as a pull request."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import click

from release_tool.core.proposal import PROPOSAL_NAME, Proposal, ProposalState
from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.core.ledger_rows import Published
    from release_tool.global_options import Context
    from release_tool.services.clock import Clock
    from release_tool.services.github_repository import Pull, Repository
    from release_tool.steps.proposing import Draft

HELP = """Propose the record of a release as a pull request.

Writes the record onto the current head of the base branch, as one commit on a branch of the release's own, and opens a
pull request. Run again, it writes the record anew onto what is there then and replaces its own branch and text, never
anybody else's; nothing is to do once the base holds the record. No checkout is needed: everything goes through GitHub's
API, with the token in GITHUB_TOKEN or GH_TOKEN.

\b
Examples:
  release-tool propose --repository octo-org/models --uploader octocat
  release-tool propose --dry-run
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What ``propose`` is asked for."""

    repository: str
    base: str | None = None
    """Null for the default branch."""
    uploader: str | None = None
    run_id: str | None = None
    run_url: str | None = None
    dispatch: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What would be sent."""

    SCHEMA: ClassVar[str] = "release-tool/planned-proposal@1"

    schema: str = "release-tool/planned-proposal@1"
    repository: str
    base: str
    base_commit: str
    branch: str
    title: str
    body: str
    files: tuple[str, ...]
    diff: str


@click.command(help=HELP, short_help="Propose the record of a release as a pull request.")
@click.option(
    "--repository",
    metavar="OWNER/NAME",
    envvar=["RELEASE_TOOL_PROPOSE_REPOSITORY", "GITHUB_REPOSITORY"],
    help="Repository of GitHub that holds the records.  [default: GITHUB_REPOSITORY]",
)
@click.option("--base", metavar="BRANCH", help="Branch that the record is to go into.  [default: the default branch]")
@click.option("--uploader", metavar="LOGIN", help="Who started the release.")
@click.option("--run-id", metavar="ID", help="Id of the workflow run: the number in --run-url.  [default: from there]")
@click.option("--run-url", metavar="URL", help="Address of the workflow run.")
@click.option("--no-dispatch", is_flag=True, help="Do not start ci.yml on the branch.")
@click.option("--dry-run", is_flag=True, help="Print branch, text and difference, and send nothing.")
@click.pass_obj
def command(
    context: Context,
    repository: str | None,
    base: str | None,
    uploader: str | None,
    run_id: str | None,
    run_url: str | None,
    *,
    no_dispatch: bool,
    dry_run: bool,
) -> None:
    """Propose the record of the work folder's release."""
    from release_tool.lock import hold
    from release_tool.services.github import check_repository

    options = Options(
        repository=check_repository(repository),
        base=base,
        uploader=uploader,
        run_id=run_id,
        run_url=run_url,
        dispatch=not no_dispatch,
    )
    if dry_run:
        planned = plan_proposal(context, options)
        emit(context, _planned_text(planned), planned)
        return
    with hold(context.work, "propose"):
        proposal = run_propose(context, options)
    emit(context, _told(proposal), proposal)


def plan_proposal(context: Context, options: Options) -> Planned:
    """Return what would be sent; GitHub is only read.

    Raises:
        UsageError: a step before has not run; there is no token, or no such branch.
        IntegrityError: a document is not the one that was approved or published.
        RecordError: a file of the repository is not what it must be.
        RemoteFailed: GitHub refuses.
        Unreachable: it does not answer.
    """
    release, repository = _given(context, options)
    draft = _draft(context, options, repository, release)
    return Planned(
        repository=repository.name,
        base=draft.base,
        base_commit=draft.base_commit,
        branch=draft.branch,
        title=draft.title,
        body=draft.body,
        files=tuple(change.name for change in draft.changes),
        diff=draft.diff,
    )


def run_propose(context: Context, options: Options, clock: Clock | None = None) -> Proposal:
    """Bring the record onto its branch, open or renew its pull request, start the checks, and write proposal.json.

    Raises:
        UsageError: a step before has not run; there is no token, or no such branch.
        IntegrityError: a document is not the one that was approved or published.
        RecordError: a file of the repository is not what it must be.
        RemoteFailed: GitHub refuses, or the branch holds somebody else's commits.
        Unreachable: it does not answer; run again, it goes on.
    """
    from release_tool.core.notice import NOTICE_NAME
    from release_tool.core.receipt import RECEIPT_NAME
    from release_tool.documents import WorkFolder
    from release_tool.steps.proposing import start_checks

    work = WorkFolder(context.work)
    release, repository = _given(context, options, clock)
    used = work.uses(RECEIPT_NAME, *([NOTICE_NAME] if work.has(NOTICE_NAME) else []))
    draft = _draft(context, options, repository, release)
    with context.console.step("Propose"):
        proposal = _proposed(context, repository, release, draft, used)
        work.write(PROPOSAL_NAME, proposal)
        context.console.summary(_summary(proposal))
        if options.dispatch and proposal.commit is not None:
            start_checks(repository, proposal.branch, proposal.commit)
    return proposal


def _given(context: Context, options: Options, clock: Clock | None = None) -> tuple[Published, Repository]:
    from release_tool.documents import WorkFolder
    from release_tool.services.github import GitHub, read_access
    from release_tool.services.github_repository import Repository
    from release_tool.steps.recording import read_published

    release = read_published(
        WorkFolder(context.work), uploader=options.uploader, run_id=options.run_id, run_url=options.run_url
    )
    github = GitHub(read_access(os.environ), clock)
    return release, Repository(github, options.repository)


def _draft(context: Context, options: Options, repository: Repository, release: Published) -> Draft:
    from release_tool.steps.proposing import draft_of

    with context.console.step("Read the records"):
        return draft_of(repository, release, options.base)


def _proposed(
    context: Context, repository: Repository, release: Published, draft: Draft, used: dict[str, str]
) -> Proposal:
    from release_tool.steps.proposing import put_branch, put_pull

    approved = release.receipt.approved
    commit: str | None = None
    pull: Pull | None
    if draft.changes:
        commit = put_branch(repository, draft, approved)
        pull = put_pull(repository, draft)
    else:
        pull = next(iter(repository.pulls(draft.branch, "all")), None)
        if repository.pulls(draft.branch, "open"):
            context.console.warning(f"A pull request of {draft.branch} is still open and changes nothing any more.")
    return Proposal(
        uses=used,
        approved=approved,
        state=ProposalState.OPEN if draft.changes else ProposalState.RECORDED,
        repository=repository.name,
        base=draft.base,
        base_commit=draft.base_commit,
        branch=draft.branch,
        commit=commit,
        pull_request=None if pull is None else pull.number,
        url=None if pull is None else pull.url,
        files=tuple(change.name for change in draft.changes),
    )


def _told(proposal: Proposal) -> str:
    where = f"{proposal.repository}#{proposal.pull_request}" if proposal.pull_request else proposal.repository
    if proposal.state is ProposalState.RECORDED:
        return f"nothing to propose: {proposal.base} of {where} holds the record already ({proposal.base_commit})"
    lines = [f"proposed  {where}  {proposal.url or ''}".rstrip(), f"branch    {proposal.branch}  {proposal.commit}"]
    return "\n".join([*lines, *(f"changes   {name}" for name in proposal.files)])


def _summary(proposal: Proposal) -> str:
    from release_tool.core.escape import code

    if proposal.state is ProposalState.RECORDED:
        return f"{code(proposal.base)} holds the record already; there is nothing to propose."
    link = f" <{proposal.url}>" if proposal.url else ""
    return f"The record is proposed as pull request {proposal.pull_request}:{link}"


def _planned_text(planned: Planned) -> str:
    if not planned.files:
        return f"nothing to propose: {planned.base} of {planned.repository} holds the record already"
    lines = [
        f"would propose  {planned.repository}  onto {planned.base} at {planned.base_commit}",
        f"branch         {planned.branch}",
        f"title          {planned.title}",
        "",
        planned.body,
        planned.diff,
    ]
    return "\n".join(lines)
