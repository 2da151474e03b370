"""The proposal of a record: its branch, its commit's words, its pull request's title and values. Pure.

A branch is ours when the commit at its head ends with the digest of the very release that is proposed: nothing of what
people may have put on top of it, or under its name, is ever replaced. Titles and commit messages hold words only:
GitHub acts on ``closes #1``, ``@name`` and ``[skip ci]`` in them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from release_tool.core import ledger_columns as column
from release_tool.core.changelog import SHOWN_DIGITS
from release_tool.core.history import entry_of
from release_tool.core.quantity import size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from release_tool.core.history import ChangelogEntry
    from release_tool.core.ledger import Row

PROPOSAL_NAME = "proposal.json"
PULL_TEMPLATE = "pull_request.md.j2"
BRANCHES = "record/"
DIGEST_TRAILER = "Release-digest: "
MAX_NAME = 60
"""Characters of a model's name in a branch, a title and a message."""
MAX_BODY = 60_000
"""Characters; GitHub takes 65,536."""

_NOT_IN_BRANCH = re.compile(r"[^A-Za-z0-9._]+")
_NOT_A_WORD = re.compile(r"[^A-Za-z0-9._/ -]+")


class ProposalState(StrEnum):
    """What became of a proposal."""

    OPEN = "open"
    RECORDED = "recorded"
    """The base holds the record already: there is nothing to propose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """proposal.json."""

    SCHEMA: ClassVar[str] = "release-tool/proposal@1"

    schema: str = "release-tool/proposal@1"
    uses: dict[str, str] = field(default_factory=dict)
    approved: str
    state: ProposalState
    repository: str
    """``owner/name``."""
    base: str
    """The branch that the record is to go into."""
    base_commit: str
    """Its head as it was read: the parent of the proposed commit."""
    branch: str
    commit: str | None = None
    """The head of the branch; null where the base holds the record already."""
    pull_request: int | None = None
    """Null where the base holds the record and it came there by no pull request of this branch."""
    url: str | None = None
    """Of the pull request, for people."""
    files: tuple[str, ...] = ()
    """Those that the commit changes, in the order of the records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLine:
    """One archive of a release, as the pull request shows it."""

    artifact: str
    kind: str
    format: str
    dimension: str | None
    pooling: str | None
    size: str
    sha256: str
    key: str
    replaces: str | None
    build: str | None
    """How Jenkins's build ended; null while nobody knows."""
    build_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PullPage:
    """What ``pull_request.md.j2`` gets.

    No description: a squashed merge makes this text a commit's message, where GitHub obeys ``[skip ci]`` and
    ``fixes #1`` even in what Markdown takes for code. A model's card may say either.
    """

    entry: ChangelogEntry
    digest: str
    """The approved one, whole."""
    revision: str | None
    licence: str | None
    """Words only, as in a title."""
    run_url: str | None
    archives: tuple[ArchiveLine, ...]
    files: tuple[str, ...]
    """Those that change."""
    base: str
    base_commit: str
    yanked: bool


def branch_name(model_id: str, version: str, approved: str) -> str:
    """Return the branch of a release; two releases never have the same one.

    The rules are git's (``git check-ref-format``): no ``..``, no dot at either end of a part, no ``.lock``.
    """
    name = _NOT_IN_BRANCH.sub("-", f"{model_id[:MAX_NAME]}-{version[:MAX_NAME]}")
    name = re.sub(r"\.{2,}|-{2,}", "-", name).strip(".-_")
    return f"{BRANCHES}{name}-{approved[:SHOWN_DIGITS]}" if name else f"{BRANCHES}{approved[:SHOWN_DIGITS]}"


def words(text: str) -> str:
    """Return a name as a title and a message may hold it: letters, numbers and what joins them."""
    return " ".join(_NOT_A_WORD.sub(" ", text[:MAX_NAME]).split())


def title_of(entry: ChangelogEntry) -> str:
    """Return the title of the pull request, and the first line of the commit's message."""
    return f"Record {words(entry.model_id) or 'a model'} {words(entry.version)}"


def message_of(entry: ChangelogEntry, approved: str) -> str:
    """Return the commit's message; its last line says whose it is."""
    return f"{title_of(entry)}\n\nWritten by release-tool propose.\n\n{DIGEST_TRAILER}{approved}\n"


def is_ours(message: str, approved: str) -> bool:
    """Tell whether a commit is a proposal of this very release."""
    return message.rstrip("\n").rpartition("\n")[2] == f"{DIGEST_TRAILER}{approved}"


def page_of(rows: Sequence[Row], files: tuple[str, ...], *, base: str, base_commit: str) -> PullPage:
    """Return the values of the pull request's body.

    Args:
        rows: of the release in the ledger.
        files: that change.
        base: branch that the record is to go into.
        base_commit: its head.
    """
    first = rows[0].data
    return PullPage(
        entry=entry_of(rows),
        digest=rows[0].approved or "",
        revision=first.get(column.REVISION),
        licence=words(first.get(column.LICENCE) or "") or None,
        run_url=first.get(column.RUN_URL),
        archives=tuple(_line(row) for row in rows),
        files=files,
        base=base,
        base_commit=base_commit,
        yanked=any(row.yanked is not None for row in rows),
    )


def _line(row: Row) -> ArchiveLine:
    data = row.data
    number = data.get(column.BUILD_NUMBER)
    result = data.get(column.BUILD_RESULT)
    return ArchiveLine(
        artifact=str(data.get(column.ARTIFACT)),
        kind=str(data.get(column.KIND)),
        format=str(data.get(column.FORMAT)),
        dimension=data.get(column.DIMENSION),
        pooling=data.get(column.POOLING),
        size=size_text(data.get(column.SIZE) or 0),
        sha256=str(data.get(column.ARCHIVE)),
        key=str(data.get(column.KEY)),
        replaces=data.get(column.REPLACES),
        build=result if result is None or number is None else f"{result} (build {number})",
        build_url=data.get(column.BUILD_URL),
    )
