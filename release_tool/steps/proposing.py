"""Write a record onto the current head of a branch, through GitHub's API alone: no checkout, no git.

The order makes it safe to be killed anywhere: files and commit are stored before the branch leads to them, and what
nothing leads to hurts nobody; then the branch, the pull request, the run of the checks. Each looks first whether it is
done already, so a further run ends where one run would have ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from release_tool.core.history import ENTRY_TEMPLATE, HISTORY_TEMPLATE, entry_of
from release_tool.core.proposal import (
    MAX_BODY,
    PULL_TEMPLATE,
    branch_name,
    is_ours,
    message_of,
    page_of,
    title_of,
)
from release_tool.core.render import render_values
from release_tool.documents import write_atomic
from release_tool.errors import Refused, RemoteFailed, Unreachable, UsageError
from release_tool.services.github_repository import EXISTS_STATUS, FILE_MODE, Entry, blob_sha
from release_tool.steps.record import recorded
from release_tool.steps.templates import OWN_TEMPLATES, load_templates
from release_tool.steps.worktree import FILES, diff_of, unswept

if TYPE_CHECKING:
    from release_tool.core.ledger_rows import Published
    from release_tool.services.github_repository import Commit, Pull, Repository
    from release_tool.steps.worktree import Change

CHECKS = "ci.yml"
"""The workflow that is started on the branch: for what GITHUB_TOKEN does GitHub starts none by itself."""
TEMPLATES = tuple(f"{OWN_TEMPLATES}/{name}" for name in (HISTORY_TEMPLATE, ENTRY_TEMPLATE, PULL_TEMPLATE))
TRIES = 3
"""How often a branch or a pull request that others make or remove at the same moment is looked at."""
PAUSE_SECONDS = 2.0
"""Between two of these: GitHub's own servers may not yet know of each other's work."""
PASSING = ("already exists", "head invalid")
"""What GitHub says of a pull request that somebody has just opened, and of a branch that it does not see yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A record as it would be written onto one commit."""

    base: str
    base_commit: str
    base_tree: str
    branch: str
    title: str
    body: str
    message: str
    changes: tuple[Change, ...]
    """None where the base holds the record already."""
    entries: dict[str, Entry]
    """File that changes → how git will know it."""
    diff: str


def draft_of(repository: Repository, release: Published, base: str | None) -> Draft:
    """Write the record of a release onto the current head of a branch, and send nothing.

    Args:
        repository: where the records are.
        release: that was published.
        base: branch that the record is to go into; null for the default one.

    Raises:
        UsageError: there is no such branch; a template of the repository is wrong.
        RecordError: a file of the repository is not what it must be.
        RemoteFailed: GitHub refuses.
        Unreachable: it does not answer.
    """
    base = base or repository.default_branch()
    head = repository.head(base)
    if head is None:
        raise UsageError(f"{repository.name} has no branch {base}.", hint="Name one that exists with --base.")
    tree = repository.commit(head).tree
    with TemporaryDirectory(prefix="release-tool-propose-") as name, unswept():
        folder = Path(name)
        modes = _download(repository, tree, folder)
        changes, rows = recorded(folder, release)
        entry = entry_of(rows)
        page = page_of(rows, tuple(change.name for change in changes), base=base, base_commit=head)
        texts, _ = load_templates(folder, (PULL_TEMPLATE,))
    body = render_values(texts[PULL_TEMPLATE], {"pull": page}, name=PULL_TEMPLATE)
    if len(body) > MAX_BODY:
        raise UsageError(
            f"The template {PULL_TEMPLATE} makes {len(body):,} characters; GitHub takes no more than {MAX_BODY:,}.",
            hint=f"Correct {OWN_TEMPLATES}/{PULL_TEMPLATE} of the repository.",
        )
    return Draft(
        base=base,
        base_commit=head,
        base_tree=tree,
        branch=branch_name(entry.model_id, entry.version, release.receipt.approved),
        title=title_of(entry),
        body=body,
        message=message_of(entry, release.receipt.approved),
        changes=changes,
        entries={one.name: Entry(mode=modes.get(one.name, FILE_MODE), sha=blob_sha(one.after)) for one in changes},
        diff=diff_of(changes),
    )


def _download(repository: Repository, tree: str, folder: Path) -> dict[str, str]:
    """Bring the files of the records, and the templates that make them, into a folder; return file → mode."""
    modes = {}
    for path in (*FILES, *TEMPLATES):
        entry = repository.entry(tree, path)
        if entry is not None:
            write_atomic(folder / path, repository.read(entry, path))
            modes[path] = entry.mode
    return modes


def put_branch(repository: Repository, draft: Draft, approved: str) -> str:
    """Let the release's own branch hold the record and nothing else, and return its commit.

    Raises:
        RemoteFailed: somebody else's commit is at its head, or GitHub refuses.
        Unreachable: it does not answer, or others change the branch all the time.
    """
    commit: str | None = None
    for _ in range(TRIES):
        there = _own_commit(repository, draft.branch, approved)
        tree = _stored(repository, draft, there)
        if there is not None and (there.tree, there.parents) == (tree, (draft.base_commit,)):
            return there.sha
        commit = commit or repository.write_commit(draft.message, tree, draft.base_commit)
        if there is None:
            if repository.create_branch(draft.branch, commit):
                return commit
        elif repository.head(draft.branch) == there.sha:
            # GitHub offers no condition for this write: whoever pushed in this very moment is overwritten.
            repository.move_branch(draft.branch, commit)
            return commit
        repository.github.clock.sleep(PAUSE_SECONDS)
    raise Unreachable(f"The branch {draft.branch} of {repository.name} changes all the time.")


def _own_commit(repository: Repository, branch: str, approved: str) -> Commit | None:
    """Return the commit at the head of the release's branch; null where there is no such branch."""
    head = repository.head(branch)
    if head is None:
        return None
    commit = repository.commit(head)
    if not is_ours(commit.message, approved) or len(commit.parents) != 1:
        raise RemoteFailed(
            f"The branch {branch} of {repository.name} ends with a commit that this command did not make: {head}.",
            hint="Nothing of it is replaced. Look at it, delete or rename the branch, and run again.",
        )
    return commit


def _stored(repository: Repository, draft: Draft, there: Commit | None) -> str:
    """Store what changes, and return the tree; files that the branch holds already are not sent again."""
    for change in draft.changes:
        entry = draft.entries[change.name]
        if there is None or repository.entry(there.tree, change.name) != entry:
            repository.write_blob(change.after)
    return repository.write_tree(draft.base_tree, draft.entries)


def put_pull(repository: Repository, draft: Draft) -> Pull:
    """Return the one open pull request of the branch, with the words of this draft.

    Raises:
        RemoteFailed: GitHub refuses.
        Unreachable: it does not answer.
    """
    tried = 0
    while True:
        found = repository.pulls(draft.branch, "open")
        if found:
            pull = found[0]
            if (pull.base, pull.title, pull.body.strip()) == (draft.base, draft.title, draft.body.strip()):
                return pull
            return repository.change_pull(pull.number, draft.base, draft.title, draft.body)
        try:
            return repository.open_pull(draft.branch, draft.base, draft.title, draft.body)
        except Refused as error:
            tried += 1
            if tried == TRIES or error.status != EXISTS_STATUS or not any(said in error.said for said in PASSING):
                raise
        repository.github.clock.sleep(PAUSE_SECONDS)


def start_checks(repository: Repository, branch: str, commit: str) -> bool:
    """Start the checks on a commit unless they were started before; tell whether they were started now.

    Raises:
        RemoteFailed: GitHub refuses; everything else is done.
        Unreachable: it does not answer.
    """
    try:
        if repository.has_run(CHECKS, branch, commit):
            return False
        repository.dispatch(CHECKS, branch)
    except Refused as error:
        raise RemoteFailed(
            f"The pull request is open; {CHECKS} can't be started on its branch: {error}",
            hint=f"{error.hint} Run again, or leave the checks out with --no-dispatch.",
        ) from error
    return True
