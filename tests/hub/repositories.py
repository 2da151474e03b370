"""What a hub holds: repositories with commits, branches and tags, kept in memory with git's own digests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

LFS_FROM_BYTES = 64 * 1024
LFS_SUFFIXES = (".safetensors", ".bin", ".h5", ".onnx", ".msgpack", ".pt")


def blob_sha1(data):
    """Return the id that git gives to a file's bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def pointer(data):
    """Return the text that git holds in place of a large file."""
    oid = hashlib.sha256(data).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(data)}\n".encode()


@dataclass
class Repository:
    """One model repository; ``commit`` moves a branch and returns the 40-hex id."""

    name: str
    private: bool = False
    gated: bool = False
    readers: set[str] = field(default_factory=set)
    """Tokens that may read a private or gated repository."""
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files, *, branch="main", remove=()):
        """Add files on top of a branch; a value of text is encoded."""
        parent = self.branches.get(branch) or self.branches.get("main")
        tree = dict(self.commits.get(parent, {}))
        tree.update({path: data.encode() if isinstance(data, str) else data for path, data in files.items()})
        for path in remove:
            del tree[path]
        listing = "".join(f"{path} {blob_sha1(data)}\n" for path, data in sorted(tree.items()))
        sha = hashlib.sha1(
            f"tree {listing}parent {parent}\n{len(self.commits)}".encode(), usedforsecurity=False
        ).hexdigest()
        self.commits[sha] = tree
        self.branches[branch] = sha
        return sha

    def tag(self, name, revision="main"):
        """Name a commit for good."""
        self.tags[name] = self.resolve(revision)

    def resolve(self, revision):
        """Return the commit of a branch, a tag or an unambiguous start of a commit id; ``None`` without one."""
        known = {**{f"refs/heads/{k}": v for k, v in self.branches.items()}, **self.tags, **self.branches}
        if revision in known:
            return known[revision]
        starts = [sha for sha in self.commits if len(revision) >= 7 and sha.startswith(revision)]
        return starts[0] if len(starts) == 1 else None

    @staticmethod
    def is_lfs(path, data):
        """Tell whether the hub keeps a file in its store and not in git."""
        return path.endswith(LFS_SUFFIXES) or len(data) >= LFS_FROM_BYTES

    def entries(self, sha, folder=""):
        """Return the file list of a commit as the hub's API writes it, folders included."""
        start = f"{folder}/" if folder else ""
        files = {path: data for path, data in self.commits[sha].items() if path.startswith(start)}
        folders = {"/".join(path.split("/")[:n]) for path in files for n in range(1, path.count("/") + 1)}
        found = [
            {
                "type": "directory",
                "oid": hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest(),
                "size": 0,
                "path": name,
            }
            for name in folders
            if name.startswith(start)
        ]
        for path, data in files.items():
            entry = {"type": "file", "oid": blob_sha1(data), "size": len(data), "path": path}
            if self.is_lfs(path, data):
                text = pointer(data)
                oid = hashlib.sha256(data).hexdigest()
                entry["oid"] = blob_sha1(text)
                entry["lfs"] = {"oid": oid, "size": len(data), "pointerSize": len(text)}
            found.append(entry)
        return sorted(found, key=lambda entry: entry["path"])
