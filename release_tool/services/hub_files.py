"""Files of a repository at one commit: the list with digests, small files into memory, large ones to disk.

A download is one ranged stream a file, hashed while it arrives: no second copy of the bytes, no second reading,
and a broken one goes on where it stopped, also after the process was killed.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, urlsplit

from release_tool.core.digest import CHUNK_BYTES, SHA256_HEX
from release_tool.core.plan import PlannedFile
from release_tool.core.request import MODEL_ID_PATTERN
from release_tool.documents import disk_error
from release_tool.errors import IntegrityError, SourceError
from release_tool.services.checked_files import (
    GIT_SHA1,
    INCOMPLETE,
    SHA256,
    check_bytes,
    damaged,
    hasher_for,
    hex_of,
)
from release_tool.services.hub_client import Again, HubClient, quoted
from release_tool.services.hub_errors import EntryNotFound
from release_tool.services.sources import MAX_READ_BYTES, check_readable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import httpx2

    from release_tool.services.checked_files import Hasher

COMMIT = re.compile(r"[0-9a-f]{40}")
NEXT_PAGE = re.compile(r'<([^>]+)>\s*;\s*rel="next"')
MAX_PAGES = 200
RAW = {"Accept-Encoding": "identity"}
"""A compressed answer could not be continued in the middle."""


def resolve(client: HubClient, model_id: str, revision: str | None) -> tuple[str, str]:
    """Return the id as the hub spells it and the 40-hex commit of a branch, tag or commit.

    Raises:
        ModelNotFound, RevisionNotFound, GatedModel, BadToken, Unreachable: as they say.
        SourceError: no answer of a hub.
    """
    path = f"api/models/{model_id}" + (f"/revision/{quoted(revision)}" if revision else "")
    about = f"{model_id} at {revision}" if revision else model_id
    answer, _ = client.get_json(path, about=about)
    match answer:
        case {"id": str(named), "sha": str(commit)} if COMMIT.fullmatch(commit) and MODEL_ID_PATTERN.fullmatch(named):
            return named, commit
    raise SourceError(f"The answer about {about} is not what a hub sends.", hint="Check HF_ENDPOINT.")


def list_files(client: HubClient, model_id: str, commit: str) -> tuple[PlannedFile, ...]:
    """Return every file of a commit with the digest that the hub holds for it.

    Raises:
        SourceError: refused, or an answer that is no file list.
        IntegrityError: the hub answered about another commit.
    """
    about = f"{model_id} at {commit}"
    path = f"api/models/{model_id}/tree/{commit}?recursive=true"
    files: dict[str, PlannedFile] = {}
    for _ in range(MAX_PAGES):
        entries, headers = client.get_json(path, about=about)
        _check_commit(headers, commit, model_id)
        for entry in entries if isinstance(entries, list) else [None]:
            file = _planned(entry, about)
            if file is not None:
                files[file.path] = file
        following = NEXT_PAGE.search(headers.get("Link", ""))
        if following is None:
            return tuple(files[path] for path in sorted(files))
        # A mirror may pass on the address of the hub behind it: only the page is taken from it.
        path = f"api/models/{model_id}/tree/{commit}?{urlsplit(following[1]).query}"
    raise SourceError(f"The list of files of {about} has no end.")


def read_file(client: HubClient, model_id: str, commit: str, file: PlannedFile) -> bytes:
    """Return a small file, checked.

    Raises:
        SourceError: too large, or gone.
        IntegrityError: other bytes than the digest's.
    """
    check_readable(file.path, file.size)
    about = f"{file.path} of {model_id}"

    def once() -> bytes:
        body = bytearray()
        with client.open(file_url(model_id, commit, file.path), RAW, about=about) as response:
            _check_commit(response.headers, commit, model_id)
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > min(file.size, MAX_READ_BYTES):
                    raise damaged(file.path, file.digest, "more bytes than listed")
        if len(body) < file.size:
            raise Again(f"broken off after {len(body):,} of {file.size:,} bytes")
        return bytes(body)

    return check_bytes(client.retry(once, about=about), file.path, file.digest)


def read_head(client: HubClient, model_id: str, commit: str, file: PlannedFile, count: int) -> bytes:
    """Return the first bytes of a file, at most ``count``: not checked, no digest covers a part.

    Raises:
        SourceError: refused, or gone.
        Unreachable: no answer after retries.
    """
    about = f"the beginning of {file.path} of {model_id}"
    wanted = min(count, file.size)

    def once() -> bytes:
        body = bytearray()
        with client.open(
            file_url(model_id, commit, file.path), {**RAW, "Range": f"bytes=0-{wanted - 1}"}, about=about
        ) as response:
            _check_commit(response.headers, commit, model_id)
            # A server without ranges sends the whole file: only its beginning is read.
            for chunk in response.iter_raw():
                body += chunk
                if len(body) >= wanted:
                    break
        if len(body) < wanted:
            raise Again(f"broken off after {len(body):,} of {wanted:,} bytes")
        return bytes(body[:wanted])

    found: bytes = client.retry(once, about=about) if wanted else b""
    return found


def file_url(model_id: str, commit: str, path: str) -> str:
    """Return the path of a file's bytes below the endpoint."""
    return f"{model_id}/resolve/{quoted(commit)}/{quote(path)}"


class Download:
    """One file on its way to disk."""

    def __init__(
        self,
        client: HubClient,
        model_id: str,
        commit: str,
        file: PlannedFile,
        progress: Callable[[int], None],
    ) -> None:
        self.client = client
        self.model_id = model_id
        self.commit = commit
        self.file = file
        self.progress = progress
        self.done = 0
        self.hasher: Hasher = hasher_for(file.digest, file.size)

    def into(self, folder: Path, place: str | None = None) -> None:
        """Get the file; ``folder``/.incomplete holds what has arrived until it is whole and checked.

        Args:
            folder: the snapshot.
            place: where in it, if not under the file's own path.

        Raises:
            IntegrityError: the bytes are not those of the digest; they are thrown away.
            Unreachable: broken off; what has arrived stays.
        """
        target = folder / (place or self.file.path)
        part = folder / INCOMPLETE / hex_of(self.file.digest)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part.parent.mkdir(parents=True, exist_ok=True)
            self._fill(part)
            part.replace(target)
        except EntryNotFound as error:
            raise IntegrityError(f"The hub lost {self.file.path} of {self.commit}.", hint=error.hint) from error
        except OSError as error:
            raise disk_error(error, target) from error

    def _fill(self, part: Path) -> None:
        with part.open("ab+") as stream:
            self._take_up(stream)
            if self.done < self.file.size:
                about = f"{self.file.path} of {self.model_id}"
                self.client.retry(lambda: self._go_on(stream, about), about=about, moved=lambda: self.done)
            stream.flush()
            os.fsync(stream.fileno())
        if self.hasher.hexdigest() != hex_of(self.file.digest):
            part.unlink()
            raise damaged(self.file.path, self.file.digest, self.hasher.hexdigest())

    def _take_up(self, stream: BinaryIO) -> None:
        """Hash what an earlier run left, so that the whole is checked."""
        if os.fstat(stream.fileno()).st_size > self.file.size:
            stream.truncate(0)
        stream.seek(0)
        while chunk := stream.read(CHUNK_BYTES):
            self._count(chunk)

    def _count(self, chunk: bytes) -> None:
        self.hasher.update(chunk)
        self.done += len(chunk)
        self.progress(len(chunk))

    def _start_over(self, stream: BinaryIO) -> None:
        stream.truncate(0)
        self.progress(-self.done)
        self.done = 0
        self.hasher = hasher_for(self.file.digest, self.file.size)

    def _go_on(self, stream: BinaryIO, about: str) -> None:
        headers = {**RAW, "Range": f"bytes={self.done}-"} if self.done else RAW
        url = file_url(self.model_id, self.commit, self.file.path)
        with self.client.open(url, headers, about=about) as response:
            if self.done and _range_start(response) != self.done:
                # A server without ranges sends the whole file again.
                self._start_over(stream)
            for chunk in response.iter_raw():
                if self.done + len(chunk) > self.file.size:
                    stream.truncate(0)
                    raise damaged(self.file.path, self.file.digest, "more bytes than listed")
                stream.write(chunk)
                self._count(chunk)
        if self.done < self.file.size:
            raise Again(f"broken off after {self.done:,} of {self.file.size:,} bytes")


def _range_start(response: httpx2.Response) -> int:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found and response.status_code == 206 else 0


def _check_commit(headers: Mapping[str, str], commit: str, model_id: str) -> None:
    named = headers.get("X-Repo-Commit", commit)
    if named != commit:
        raise IntegrityError(
            f"Asked for {model_id} at {commit}, the hub answers with {named}.",
            hint="A mirror serves another revision; check HF_ENDPOINT.",
        )


def _planned(entry: Any, about: str) -> PlannedFile | None:
    """Return a file of the list, ``None`` for a folder."""
    match entry:
        case {"type": "directory"}:
            return None
        case {"type": "file", "path": str(path), "lfs": {"oid": str(oid), "size": int(size)}} if (
            SHA256_HEX.fullmatch(oid) and size >= 0
        ):
            return PlannedFile(path=path, size=size, digest=SHA256 + oid)
        case {"type": "file", "path": str(path), "oid": str(oid), "size": int(size)} if (
            COMMIT.fullmatch(oid) and size >= 0 and not entry.get("lfs")
        ):
            return PlannedFile(path=path, size=size, digest=GIT_SHA1 + oid)
    raise SourceError(f"The list of files of {about} is not what a hub sends.", hint="Check HF_ENDPOINT.")
