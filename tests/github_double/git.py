"""A bare repository, by the git command line."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

AUTHOR = {"name": "github-actions[bot]", "email": "41898282+github-actions[bot]@users.noreply.github.com"}


class Git:
    """One bare repository."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.reader = None

    def close(self):
        """End the process that reads objects."""
        if self.reader is not None:
            self.reader.stdin.close()
            self.reader.stdout.close()
            self.reader.wait()
            self.reader = None

    def object(self, name):
        """Return an object's name, type and bytes; null where there is none. One process reads them all."""
        if self.reader is None:
            line = ["git", "--git-dir", str(self.folder), "cat-file", "--batch"]
            self.reader = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=CLEAN)
        self.reader.stdin.write(f"{name}\n".encode())
        self.reader.stdin.flush()
        head = self.reader.stdout.readline().decode().split()
        if head[-1] == "missing":
            return None
        sha, kind, size = head
        data = self.reader.stdout.read(int(size))
        self.reader.stdout.read(1)
        return sha, kind, data

    def __call__(self, *arguments, data=None, check=True, **environment):
        """Run git and return what it prints, as bytes; null where it fails and ``check`` is off."""
        done = subprocess.run(
            ["git", "--git-dir", str(self.folder), *arguments],
            input=data,
            env={**CLEAN, **environment},
            capture_output=True,
            check=False,
        )
        if done.returncode and check:
            raise RuntimeError(f"git {arguments}: {done.stderr.decode()}")
        return None if done.returncode else done.stdout

    def line(self, *arguments, **more):
        found = self(*arguments, **more)
        return None if found is None else found.decode().strip()

    @classmethod
    def made(cls, folder, files, branch="main"):
        """Make a bare repository with one commit that holds these files (path → bytes)."""
        folder.mkdir(parents=True)
        git = cls(folder)
        git("init", "-q", "--bare", "--template=", "-b", branch)
        git.put(files, branch)
        return git

    def put(self, files, branch="main", message="Some files", parent=None):
        """Commit files on top of a branch, which is made where there is none, and return the commit."""
        parent = parent or self.head(branch)
        base = self.line("rev-parse", f"{parent}^{{tree}}") if parent else None
        entries = [(path, "100644", self.blob(data)) for path, data in files.items()]
        commit = self.commit(message, self.tree(base, entries), [parent] if parent else [], date="1767225600 +0000")
        self("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def head(self, branch):
        found = self.object(f"refs/heads/{branch}^{{commit}}")
        return None if found is None else found[0]

    def type_of(self, sha):
        found = self.object(sha)
        return None if found is None else found[1]

    def blob(self, data):
        return self.line("hash-object", "-w", "--stdin", data=data)

    def tree(self, base, entries):
        """Store a tree: another one with (path, mode, sha) put in; a null sha takes out."""
        with tempfile.TemporaryDirectory() as place:
            index = {"GIT_INDEX_FILE": str(Path(place, "index"))}
            self("read-tree", *([base] if base else ["--empty"]), **index)
            lines = [f"{mode if sha else '0'} {sha or '0' * 40}\t{path}\n" for path, mode, sha in entries]
            self("update-index", "--index-info", data="".join(lines).encode(), **index)
            return self.line("write-tree", **index)

    def commit(self, message, tree, parents, author=None, date=None):
        author = author or AUTHOR
        who = {
            f"GIT_{role}_{key}": author[key.lower()] for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")
        }
        if date:
            who |= {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        arguments = [part for parent in parents for part in ("-p", parent)]
        return self.line("commit-tree", tree, *arguments, data=message.encode(), **who)

    def files(self, branch):
        """Return path → bytes of everything in a branch, or another tree."""
        names = self.line("ls-tree", "-r", "--name-only", "-z", branch).split("\0")
        return {name: self.object(f"{branch}:{name}")[2] for name in names if name}


CLEAN = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": AUTHOR["name"],
    "GIT_AUTHOR_EMAIL": AUTHOR["email"],
    "GIT_COMMITTER_NAME": AUTHOR["name"],
    "GIT_COMMITTER_EMAIL": AUTHOR["email"],
}
"""The environment of git: no settings of this machine's user."""
