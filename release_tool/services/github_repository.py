"""One repository of GitHub's: branches, commits, trees, files, pull requests, runs of workflows.

Files go through git's own objects (blobs up to 100 MB) and not through the contents API; each is named by its SHA-1,
so what was read or written is compared with what it must be.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from release_tool.errors import IntegrityError, RecordError, Refused, RemoteFailed
from release_tool.services.github import PAGE, quoted
from release_tool.services.github_words import unanswered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.services.github import GitHub

FILE_MODE = "100644"
FILE_MODES = frozenset({FILE_MODE, "100755"})
FOLDER_MODE = "040000"
EXISTS_STATUS = 422
_SHA = re.compile(r"[0-9a-f]{40}")
_URL = re.compile(r"https?://[A-Za-z0-9.:-]+/[A-Za-z0-9._/-]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a tree."""

    mode: str
    sha: str
    """Of its blob."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """One pull request."""

    number: int
    url: str | None
    """For people; null where GitHub's own word for it is no plain address."""
    title: str
    body: str
    base: str


@dataclass(slots=True)
class Repository:
    """One repository, as one token sees it; every call raises what ``GitHub.get`` and ``GitHub.post`` raise."""

    github: GitHub
    name: str
    """``owner/name``."""
    _folders: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict, init=False, repr=False)

    def default_branch(self) -> str:
        """Return the name of the default branch.

        Raises:
            RemoteFailed: there is no such repository, or the token may not see it.
        """
        data = self.github.get(f"repos/{self.name}")
        if data is None:
            raise RemoteFailed(
                f"GitHub has no repository {self.name}, or the token may not see it.",
                hint=f"Check --repository, and the rights of the token in {self.github.access.credentials.origin}.",
            )
        return self._text(data, "default_branch")

    def head(self, branch: str) -> str | None:
        """Return the commit at the head of a branch; null where there is no such branch."""
        data = self.github.get(f"repos/{self.name}/git/ref/heads/{quoted(branch)}")
        return None if data is None else self._sha(data, "object", "sha")

    def commit(self, sha: str) -> Commit:
        """Return a commit."""
        data = self._there(f"repos/{self.name}/git/commits/{sha}")
        parents = data.get("parents")
        return Commit(
            sha=sha,
            tree=self._sha(data, "tree", "sha"),
            parents=tuple(self._sha(parent, "sha") for parent in parents) if isinstance(parents, list) else (),
            message=self._text(data, "message"),
        )

    def entry(self, tree: str, path: str) -> Entry | None:
        """Return a file of a tree; null where there is none.

        Raises:
            RecordError: a folder, a link or a submodule has its name.
        """
        *folders, name = path.split("/")
        for folder in folders:
            found = self._folder(tree).get(folder)
            if found is None or found.get("mode") != FOLDER_MODE:
                return None
            tree = self._sha(found, "sha")
        found = self._folder(tree).get(name)
        if found is None:
            return None
        if found.get("mode") not in FILE_MODES:
            raise RecordError(
                f"{path} is no plain file in {self.name}.", hint="Replace it by a file; a link is not followed."
            )
        return Entry(mode=str(found["mode"]), sha=self._sha(found, "sha"))

    def read(self, entry: Entry, path: str) -> bytes:
        """Return a file's bytes.

        Raises:
            IntegrityError: other bytes came than the tree names.
        """
        data = self.github.get_bytes(f"repos/{self.name}/git/blobs/{entry.sha}")
        if data is None or blob_sha(data) != entry.sha:
            raise IntegrityError(f"GitHub gave other bytes of {path} than its tree names.", hint="Run again.")
        return data

    def write_blob(self, data: bytes) -> str:
        """Store a file's bytes and return their name; those that are there already stay.

        Raises:
            IntegrityError: GitHub stored something else.
        """
        content = binascii.b2a_base64(data, newline=False).decode("ascii")
        sha = self._made("git/blobs", {"content": content, "encoding": "base64"})
        if sha != blob_sha(data):
            raise IntegrityError("GitHub stored other bytes than were sent.", hint="Run again.")
        return sha

    def write_tree(self, base: str, files: Mapping[str, Entry]) -> str:
        """Store a tree like another one, some files of it replaced or new, and return its name."""
        listed = [{"path": path, "type": "blob", "mode": one.mode, "sha": one.sha} for path, one in files.items()]
        return self._made("git/trees", {"base_tree": base, "tree": listed})

    def write_commit(self, message: str, tree: str, parent: str) -> str:
        """Store a commit, whose author GitHub names after the token: then it signs the commit of a bot itself."""
        return self._made("git/commits", {"message": message, "tree": tree, "parents": [parent]})

    def create_branch(self, branch: str, sha: str) -> bool:
        """Make a branch; false where there is one of that name."""
        path = f"repos/{self.name}/git/refs"
        try:
            # Made twice it is refused, so nothing is lost by asking again.
            self.github.post(path, {"ref": f"refs/heads/{branch}", "sha": sha}, again=True)
        except Refused as error:
            if error.status == EXISTS_STATUS and self.head(branch) is not None:
                return False
            raise
        return True

    def move_branch(self, branch: str, sha: str) -> None:
        """Let a branch begin at another commit, whatever it held."""
        self.github.patch(f"repos/{self.name}/git/refs/heads/{quoted(branch)}", {"sha": sha, "force": True})

    def pulls(self, branch: str, state: str) -> tuple[Pull, ...]:
        """Return the pull requests of a branch of this repository, newest first.

        Args:
            branch: that they would merge.
            state: ``open``, ``closed`` or ``all``.
        """
        owner = self.name.partition("/")[0]
        found = self.github.pages(f"repos/{self.name}/pulls", head=f"{owner}:{branch}", state=state) or ()
        # The owner may have forks with branches of the same name.
        return tuple(self._pull(data) for data in found if self._is_own(data, branch))

    def open_pull(self, branch: str, base: str, title: str, body: str) -> Pull:
        """Open a pull request; refused where there is one already."""
        data = {"title": title, "head": branch, "base": base, "body": body}
        return self._pull(self.github.post(f"repos/{self.name}/pulls", data, again=True))

    def change_pull(self, number: int, base: str, title: str, body: str) -> Pull:
        """Give a pull request another base, title and body."""
        data = {"title": title, "base": base, "body": body}
        return self._pull(self.github.patch(f"repos/{self.name}/pulls/{number}", data))

    def has_run(self, workflow: str, branch: str, commit: str) -> bool:
        """Tell whether a workflow was already dispatched for a commit."""
        path = f"repos/{self.name}/actions/workflows/{quoted(workflow)}/runs"
        data = self.github.get(path, branch=branch, head_sha=commit, event="workflow_dispatch", per_page=1)
        runs = data.get("workflow_runs") if isinstance(data, dict) else None
        return bool(runs)

    def runs(self, workflow: str, branch: str) -> tuple[dict[str, Any], ...]:
        """Return the latest runs of a workflow that were dispatched on a branch, as GitHub tells of them."""
        path = f"repos/{self.name}/actions/workflows/{quoted(workflow)}/runs"
        data = self.github.get(path, branch=branch, event="workflow_dispatch", per_page=PAGE)
        found = data.get("workflow_runs") if isinstance(data, dict) else None
        return tuple(run for run in found if isinstance(run, dict)) if isinstance(found, list) else ()

    def dispatch(self, workflow: str, branch: str, inputs: Mapping[str, str] | None = None) -> None:
        """Start a workflow on a branch; refused where its form has no such input, or lacks one."""
        data: dict[str, Any] = {"ref": branch}
        if inputs:
            data["inputs"] = dict(inputs)
        self.github.post(f"repos/{self.name}/actions/workflows/{quoted(workflow)}/dispatches", data)

    def _folder(self, tree: str) -> dict[str, dict[str, Any]]:
        """Return name → entry of one folder of a tree; a tree never changes, so each is read once."""
        if tree not in self._folders:
            data = self._there(f"repos/{self.name}/git/trees/{tree}")
            listed = data.get("tree")
            if data.get("truncated") or not isinstance(listed, list):
                raise RemoteFailed(
                    f"GitHub does not list a folder of {self.name} whole.", hint="It has too many files."
                )
            self._folders[tree] = {str(one.get("path")): one for one in listed if isinstance(one, dict)}
        return self._folders[tree]

    def _made(self, path: str, data: Mapping[str, Any]) -> str:
        # An object of git is named by its content: stored twice it is stored once, and a second commit hurts nobody.
        return self._sha(self.github.post(f"repos/{self.name}/{path}", data, again=True), "sha")

    def _there(self, path: str) -> dict[str, Any]:
        data = self.github.get(path)
        if not isinstance(data, dict):
            raise unanswered(self.github.access, f"GET {path}")
        return data

    def _is_own(self, data: dict[str, Any], branch: str) -> bool:
        head = data.get("head")
        if not isinstance(head, dict) or head.get("ref") != branch:
            return False
        repository = head.get("repo")
        name = repository.get("full_name") if isinstance(repository, dict) else None
        return isinstance(name, str) and name.lower() == self.name.lower()

    def _pull(self, data: Any) -> Pull:
        number = data.get("number") if isinstance(data, dict) else None
        if not isinstance(number, int) or isinstance(number, bool):
            raise unanswered(self.github.access, "for a pull request")
        return Pull(
            number=number,
            url=plain_url(data.get("html_url")),
            title=str(data.get("title") or ""),
            # A body that was edited in a browser has other line ends.
            body=str(data.get("body") or "").replace("\r\n", "\n"),
            base=self._text(data.get("base"), "ref"),
        )

    def _text(self, data: Any, key: str) -> str:
        value = data.get(key) if isinstance(data, dict) else None
        if not isinstance(value, str):
            raise unanswered(self.github.access, f"for {self.name}")
        return value

    def _sha(self, data: Any, *keys: str) -> str:
        for key in keys:
            data = data.get(key) if isinstance(data, dict) else None
        if not isinstance(data, str) or not _SHA.fullmatch(data):
            raise unanswered(self.github.access, f"for {self.name}")
        return data


def plain_url(value: Any) -> str | None:
    """Return an address that can be shown as it is; null for anything else."""
    return value if isinstance(value, str) and _URL.fullmatch(value) else None


def blob_sha(data: bytes) -> str:
    """Return the name that git gives to a file's bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
