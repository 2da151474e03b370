"""The work folder: one JSON document a step, written atomically, each naming the sha256 of what it used.

``WorkFolder`` promises: a document is whole or absent (temporary file, fsync, rename); reading a document whose
schema, keys or types are wrong is an ``IntegrityError``; ``check_chain`` refuses a document that used other bytes
than those that lie here now. ``read_given`` reads a document that a person named: another one than the command takes
is the person's slip and no broken chain.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from release_tool.bounded import NotReadable, open_regular, read_bounded
from release_tool.core.codec import DocumentFault, decode, encode_text, parse_text, schema_of
from release_tool.core.digest import CHUNK_BYTES, sha256_bytes
from release_tool.core.escape import one_line
from release_tool.core.parts import PART_BYTES, FileParts
from release_tool.errors import IntegrityError, MachineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

NO_SPACE_ERRNO = 28
MAX_SHOWN_SCHEMA = 60
"""Characters: twice the longest of ours."""


class Document(Protocol):
    """What every document type has beside its own fields."""

    SCHEMA: ClassVar[str]

    @property
    def schema(self) -> str:
        """The schema that the file names, such as ``release-tool/plan@1``."""

    @property
    def uses(self) -> dict[str, str]:
        """File name in the work folder → sha256 of the bytes that were used."""


D = TypeVar("D", bound=Any)


HASHED: dict[tuple[int, ...], str] = {}
"""State of a large file → sha256 of its bytes, for the life of the process: every step of ``run`` asks again."""
LARGE_BYTES = 1 << 20
SETTLED_SECONDS = 0.1
"""A file that was changed more recently may change again within one tick of the file system's clock."""


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file in lower-case hex, in bounded memory.

    A large file is read once a process for as long as its inode, size and times of change stay what they were; nobody
    can set back the time of the last change (ctime) as one can that of the last writing.

    Raises:
        UsageError: it is no regular file: a pipe or a device may have no end.
    """
    digest = hashlib.sha256()
    try:
        with open_regular(path) as stream:
            before = os.fstat(stream.fileno())
            known = HASHED.get(_state(before))
            if known is not None:
                return known
            settled = time.time() - before.st_ctime > SETTLED_SECONDS
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
            if settled and before.st_size >= LARGE_BYTES and _state(os.fstat(stream.fileno())) == _state(before):
                HASHED[_state(before)] = digest.hexdigest()
    except NotReadable as error:
        raise UsageError(f"{path.name} can't be read: {error}.", hint="Name a regular file.") from error
    return digest.hexdigest()


def file_parts(path: Path) -> FileParts:
    """Read a file once, and return its size, its sha256 and the sha256 of every part in which it would be sent.

    ``file_sha256`` knows it from then on.

    Raises:
        UsageError: it is no regular file.
    """
    whole, size = hashlib.sha256(), 0
    parts: list[bytes] = []
    try:
        with open_regular(path) as stream:
            before = os.fstat(stream.fileno())
            settled = time.time() - before.st_ctime > SETTLED_SECONDS
            while True:
                part, left = hashlib.sha256(), PART_BYTES
                while left and (chunk := stream.read(min(CHUNK_BYTES, left))):
                    whole.update(chunk)
                    part.update(chunk)
                    left -= len(chunk)
                size += PART_BYTES - left
                if left < PART_BYTES or not parts:
                    parts.append(part.digest())
                if left:
                    break
            if settled and size >= LARGE_BYTES and _state(os.fstat(stream.fileno())) == _state(before):
                HASHED[_state(before)] = whole.hexdigest()
    except NotReadable as error:
        raise UsageError(f"{path.name} can't be read: {error}.", hint="Name a regular file.") from error
    return FileParts(size=size, sha256=whole.hexdigest(), part_size=PART_BYTES, parts=tuple(parts))


def _state(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a whole file or none: a killed run leaves the old one.

    Raises:
        MachineError: the disk is full.
    """
    payload = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise disk_error(error, path) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def disk_error(error: OSError, path: Path) -> Exception:
    """Translate a full disk into the named error; anything else stays what it is."""
    if error.errno == NO_SPACE_ERRNO:
        return MachineError(
            f"No space left on the disk while writing {path.name}.", hint="Free space and run the step again."
        )
    return error


class WorkFolder:
    """Reads and writes the documents of one release."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Return the path of a file of this release."""
        return self.folder / name

    def has(self, name: str) -> bool:
        """Tell whether a file of this release exists."""
        return self.path(name).is_file()

    def sha256(self, name: str) -> str:
        """Return the digest of a file in the folder."""
        return file_sha256(self.path(name))

    def uses(self, *names: str) -> dict[str, str]:
        """Return name → sha256 for the files that a step is about to use."""
        return {name: self.sha256(name) for name in sorted(names)}

    def write(self, name: str, document: Any) -> str:
        """Write a document atomically and return its sha256."""
        text = encode_text(document)
        write_atomic(self.path(name), text)
        return sha256_bytes(text.encode())

    def read(self, cls: type[D], name: str, *, made_by: str) -> D:
        """Read a document strictly.

        Raises:
            UsageError: it is not there; the hint names the command that makes it.
            IntegrityError: it is there and is not what its schema says.
        """
        try:
            text = read_bounded(self.path(name)).decode()
        except FileNotFoundError:
            raise UsageError(
                f"{name} is not in the work folder {self.folder}.",
                hint=f"Run release-tool {made_by} first, or name another folder with --work.",
            ) from None
        except NotReadable as error:
            raise IntegrityError(
                f"{name} is no document: {error}.", hint=f"Remove it and run release-tool {made_by} again."
            ) from error
        except UnicodeDecodeError as error:
            raise IntegrityError(f"{name} is not UTF-8 text.", hint=f"Run release-tool {made_by} again.") from error
        return read_document(cls, text, name, made_by=made_by)

    def check_chain(self, document: Document, name: str, *, only: Iterable[str] | None = None) -> None:
        """Refuse a document that was made from other bytes than those in the folder now.

        Raises:
            IntegrityError: a file that it used is missing or has changed.
        """
        wanted = document.uses if only is None else {key: document.uses[key] for key in only}
        for used, digest in wanted.items():
            step = STEP_OF_PREFIX.get(used.split("-")[0].split(".")[0], "plan")
            if not self.has(used):
                raise IntegrityError(f"{name} was made from {used}, which is gone.", hint=f"Run release-tool {step}.")
            if self.sha256(used) != digest:
                raise IntegrityError(
                    f"{name} was made from another {used} than the one in the work folder.",
                    hint=f"Something changed after the step that made {name}; run the steps again from there.",
                )


STEP_OF_PREFIX = {
    "plan": "plan",
    "source": "fetch",
    "bundle": "trace",
    "answers": "validate",
    "proof": "validate",
    "quality": "quality",
    "speed": "bench",
    "certificate": "validate",
    "review": "review",
    "receipt": "publish",
    "notice": "notify",
}


def read_document(cls: type[D], text: str, name: str, *, made_by: str) -> D:
    """Decode a document once the schema that it names is the one wanted; see ``WorkFolder.read``."""
    try:
        data = parse_text(text)
        found = schema_of(data)
        if found not in (None, cls.SCHEMA):
            raise IntegrityError(
                f"{name} is a {shown_schema(found)}, expected {cls.SCHEMA}.",
                hint="It was written by another version of release-tool."
                if family(found) == family(cls.SCHEMA)
                else f"Another document lies under this name; run release-tool {made_by} again.",
            )
        document: D = decode(cls, data)
    except DocumentFault as fault:
        raise IntegrityError(
            f"{name} is not a {cls.SCHEMA}: {fault}", hint=f"Run release-tool {made_by} again."
        ) from fault
    return document


def read_given(path: Path, *wanted: type[D], hint: str) -> D:
    """Read a document that a person named as an argument.

    Args:
        path: as it was given.
        wanted: the types that will do; the first one is named in messages.
        hint: what to give instead.

    Raises:
        UsageError: it can't be read, is no JSON, or is another document; the schemas found and wanted are named.
        IntegrityError: it names the right schema and does not hold what that schema says.
    """
    name = one_line(path.name)
    expected = wanted[0].SCHEMA
    try:
        text = read_bounded(path).decode()
        data = parse_text(text)
    except (OSError, NotReadable) as error:
        refused = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{one_line(str(path))} can't be read: {refused}.", hint=hint) from error
    except (UnicodeDecodeError, DocumentFault) as error:
        wrong = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error
        raise UsageError(f"{name} is no document, a {expected} is wanted here: {wrong}.", hint=hint) from error
    found = schema_of(data)
    for cls in wanted:
        if found == cls.SCHEMA:
            return read_document(cls, text, name, made_by="validate")
    if found is None:
        raise UsageError(f"{name} names no schema, a {expected} is wanted here.", hint=hint)
    if family(found) in {family(cls.SCHEMA) for cls in wanted}:
        hint = "It was written by another version of release-tool."
    raise UsageError(f"{name} is a {shown_schema(found)}, a {expected} is wanted here.", hint=hint)


def family(schema: str | None) -> str:
    """Return a schema without its version: release-tool/plan@1 → release-tool/plan."""
    return (schema or "").partition("@")[0]


def shown_schema(schema: str | None) -> str:
    """Return a schema that a file names, for a message: hostile text, one line, cut."""
    text = one_line(schema or "")
    return text if len(text) <= MAX_SHOWN_SCHEMA else text[: MAX_SHOWN_SCHEMA - 1] + "…"
