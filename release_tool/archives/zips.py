"""Open a zip that a stranger packed: names checked, sizes capped, nothing unpacked that was not asked for.

Memory stays bounded whatever the directory claims: the directory's own size is checked before it is read, an entry is
read up to a limit, and a stored entry can be read in place as a file of its own.
"""

from __future__ import annotations

import io
import stat
import struct
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from release_tool.bounded import NotReadable, open_regular
from release_tool.core.archive_facts import DEFLATED, STORED, Entry
from release_tool.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_DIRECTORY_BYTES = 16 << 20
"""A model of a thousand tensors needs 0.1 MB; zipfile holds about ten times the directory in memory."""
MAX_ENTRIES = 100_000
MAX_UNPACKED_BYTES = 32 << 30
"""The server refuses archives of 4 GiB, and weights hardly shrink: more than this is a bomb."""
BOMB_BYTES = 64 << 20
BOMB_RATIO = 200
"""Deflate reaches 1,032; text and weights stay below 20."""
COPY_BYTES = 1 << 20

_END = b"PK\x05\x06"
_END_SIZE = 22
_MAX_COMMENT = 65_535
_END64_LOCATOR = b"PK\x06\x07"
_END64_LOCATOR_SIZE = 20
_LOCAL_HEADER_SIZE = 30
_ENCRYPTED = 0x1
_DAMAGE = (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, OSError, struct.error, EOFError)
"""What zipfile raises over directories and headers that lie: wrong offsets (OSError from seek), names, versions."""
_HOSTILE = "Give an archive that release-tool or ML Commons' own tools made; this one must not be unpacked anywhere."


class Window(io.RawIOBase):
    """A part of a file as a file of its own, read in place."""

    def __init__(self, stream: IO[bytes], start: int, length: int) -> None:
        self._stream = stream
        self._start = start
        self._length = length
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in the window."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move inside of the window."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # any writable buffer
        """Read up to the end of the window."""
        wanted = min(len(buffer), max(0, self._length - self._at))
        self._stream.seek(self._start + self._at)
        data = self._stream.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class Archive:
    """A zip that was opened and checked; ``entries`` is its directory."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self.stream = stream
        self.name = name
        _check_directory_size(stream, name)
        try:
            self.zip = zipfile.ZipFile(stream)
        except _DAMAGE as error:
            raise _broken(name, error) from error
        infos = self.zip.infolist()
        _check_names(infos, name)
        _check_sizes(infos, name)
        self.entries = tuple(
            Entry(name=info.filename, size=info.file_size, packed=info.compress_size, method=info.compress_type)
            for info in infos
        )

    def has(self, entry: str) -> bool:
        """Tell whether there is an entry of this name."""
        return entry in self.zip.NameToInfo

    def read(self, entry: str, limit: int) -> bytes:
        """Return the bytes of a small entry.

        Raises:
            UsageError: it is larger than ``limit`` bytes.
            IntegrityError: it can't be unpacked.
        """
        info = self.zip.getinfo(entry)
        if info.file_size > limit:
            raise UsageError(
                f"{entry} in {self.name} has {info.file_size:,} bytes; more than {limit:,} are not read.",
                hint="No model needs so large a file there: look at how the archive was made.",
            )
        with self.open(entry) as stream:
            return stream.read(limit + 1)

    @contextmanager
    def open(self, entry: str) -> Iterator[IO[bytes]]:
        """Open an entry for reading forwards, in memory that does not grow with it."""
        info = self.zip.getinfo(entry)
        try:
            with self._stream(info) as stream:
                yield stream
        except (zipfile.BadZipFile, EOFError, zlib.error) as error:
            raise _broken(f"{entry} in {self.name}", error) from error

    def _stream(self, info: zipfile.ZipInfo) -> IO[bytes]:
        if info.compress_type == STORED:
            return io.BufferedReader(self._window(info), COPY_BYTES)
        try:
            return self.zip.open(info)
        except (*_DAMAGE, RuntimeError) as error:
            raise _broken(f"{info.filename} in {self.name}", error) from error

    @contextmanager
    def open_seekable(self, entry: str) -> Iterator[IO[bytes]]:
        """Open an entry for reading anywhere; a deflated one is unpacked into a temporary file first."""
        info = self.zip.getinfo(entry)
        if info.compress_type == STORED:
            with self.open(entry) as stream:
                yield stream
            return
        with tempfile.TemporaryFile() as copy, self.open(entry) as stream:
            while chunk := stream.read(COPY_BYTES):
                copy.write(chunk)
            copy.seek(0)
            yield copy

    def _window(self, info: zipfile.ZipInfo) -> Window:
        self.stream.seek(info.header_offset)
        header = self.stream.read(_LOCAL_HEADER_SIZE)
        if len(header) < _LOCAL_HEADER_SIZE or not header.startswith(b"PK\x03\x04"):
            raise _broken(f"{info.filename} in {self.name}", "no local header where the directory points")
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        start = info.header_offset + _LOCAL_HEADER_SIZE + name_length + extra_length
        if start + info.compress_size > self.stream.seek(0, io.SEEK_END):
            raise _broken(f"{info.filename} in {self.name}", "it ends behind the end of the file")
        return Window(self.stream, start, info.compress_size)


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive of this machine.

    Raises:
        UsageError: there is none, it is no zip, or it must not be unpacked.
        IntegrityError: it is damaged.
    """
    try:
        stream = open_regular(path)
    except (OSError, NotReadable) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"The archive {path} can't be read: {reason}.", hint="Give the path of a .zip.") from error
    with stream:
        yield Archive(stream, path.name)


def _broken(name: str, why: object) -> IntegrityError:
    return IntegrityError(
        f"{name} is damaged or incomplete: {why}.", hint="Make or download the archive again and compare its sha256."
    )


def _check_directory_size(stream: IO[bytes], name: str) -> None:
    """Refuse a directory that would fill the memory, before it is read."""
    size = stream.seek(0, io.SEEK_END)
    tail_size = min(size, _END_SIZE + _MAX_COMMENT + _END64_LOCATOR_SIZE)
    stream.seek(size - tail_size)
    tail = stream.read(tail_size)
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_SIZE:
        stream.seek(0)
        if stream.read(4) == b"PK\x03\x04":
            raise _broken(name, "its directory is missing")
        raise UsageError(f"{name} is no zip archive.", hint="Give the .zip that register takes, not the model in it.")
    entries, directory = struct.unpack("<HI", tail[at + 10 : at + 16])
    locator = tail[at - _END64_LOCATOR_SIZE : at] if at >= _END64_LOCATOR_SIZE else b""
    if locator.startswith(_END64_LOCATOR):
        offset = struct.unpack("<Q", locator[8:16])[0]
        stream.seek(min(offset, size))
        record = stream.read(56)
        if len(record) < 56:
            raise _broken(name, "its 64-bit directory record is missing")
        entries, directory = struct.unpack("<Q", record[32:40])[0], struct.unpack("<Q", record[40:48])[0]
    if directory > MAX_DIRECTORY_BYTES or entries > MAX_ENTRIES:
        raise UsageError(
            f"{name} lists {entries:,} files in {directory:,} bytes: it is no model archive.", hint=_HOSTILE
        )


def _check_names(infos: list[zipfile.ZipInfo], name: str) -> None:
    seen: set[str] = set()
    for info in infos:
        # zipfile cuts a name at a zero byte; what the server sees is the whole name.
        entry = info.orig_filename
        if entry.startswith(("/", "\\")) or entry[1:2] == ":":
            raise UsageError(f"{name} holds a file with an absolute path: {entry!r}.", hint=_HOSTILE)
        if "\\" in entry or "\x00" in entry or ".." in entry.split("/"):
            raise UsageError(f"{name} holds a file that leaves its folder: {entry!r}.", hint=_HOSTILE)
        if entry in seen:
            raise UsageError(f"{name} holds {entry!r} twice; which one counts depends on the reader.", hint=_HOSTILE)
        if info.flag_bits & _ENCRYPTED:
            raise UsageError(f"{entry!r} in {name} is encrypted.", hint="ML Commons can't read it: pack it plainly.")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise UsageError(f"{entry!r} in {name} is a symbolic link.", hint=_HOSTILE)
        seen.add(entry)


def _check_sizes(infos: list[zipfile.ZipInfo], name: str) -> None:
    total = sum(info.file_size for info in infos)
    if total > MAX_UNPACKED_BYTES:
        raise UsageError(f"{name} would unpack to {total:,} bytes: it is a zip bomb.", hint=_HOSTILE)
    for info in infos:
        if info.header_offset < 0:
            raise _broken(f"{info.filename} in {name}", "it begins before the file does")
        if info.compress_type == STORED and info.file_size != info.compress_size:
            raise _broken(f"{info.filename} in {name}", "its two sizes differ although it is stored")
        if info.compress_type not in (STORED, DEFLATED):
            continue
        if info.file_size > BOMB_BYTES and info.file_size > BOMB_RATIO * max(1, info.compress_size):
            raise UsageError(
                f"{info.filename!r} in {name} would unpack {info.compress_size:,} bytes to {info.file_size:,}: "
                "it is a zip bomb.",
                hint=_HOSTILE,
            )
