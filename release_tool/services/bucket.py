"""Where releases lie: what a bucket must be able to do, whether it is S3 or a folder.

Every write has a condition, and the store holds it: ``match=None`` writes only where nothing is, an ETag only over the
very object that has it. ``Taken`` says that the condition did not hold. "Not there" is an answer; every other refusal
is an error and never counts as absence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from release_tool.errors import Fault, PublishError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from release_tool.core.parts import FileParts

KEY_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")
"""One part of a key between slashes: what a plan can name. It can't lead out of a folder, nor hide in it."""
MAX_KEY = 1000
"""Bytes; S3 allows 1,024."""


class Taken(Exception):
    """The condition of a write did not hold: something is there, or what was to be replaced is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One object as the store knows it."""

    key: str
    size: int
    etag: str
    """As the store writes it, without quotes; what a conditional write names."""
    version_id: str | None = None
    """Null where the store keeps no versions."""
    sha256: str | None = None
    """Of all its bytes, lower-case hex, computed by the store; null where it keeps none."""
    composite: str | None = None
    """Over the digests of its parts, for an object that came in parts: see ``FileParts.checksum``."""
    age: float | None = field(default=None, compare=False)
    """Seconds since it was written, by the store's own clock, at most two off: S3 tells whole seconds, and some servers
    look at the clock once a second. Null after a write, where S3 does not say it."""

    def holds(self, file: FileParts) -> bool | None:
        """Tell by the store's own checksum whether these are the file's bytes; null when it has none to tell by."""
        if self.size != file.size:
            return False
        if self.sha256 is not None:
            return self.sha256 == file.sha256
        # Another value may come from parts of another size.
        return True if self.composite == file.checksum else None


class Bucket(Protocol):
    """A place for releases. All keys are relative to its address."""

    @property
    def address(self) -> str:
        """``s3://bucket/prefix`` or ``file:///folder``, for people and for the receipt."""

    def head(self, key: str) -> Stored | None:
        """Return what is known of an object, null when there is none.

        Raises:
            PublishError: the store refused to say.
            Unreachable: it did not answer.
        """

    def read(self, key: str, limit: int) -> tuple[bytes, Stored] | None:
        """Return an object's bytes, null when there is none.

        Args:
            key: of the object.
            limit: bytes; a larger object is refused.

        Raises:
            PublishError: the store refused, or the object is larger.
            Unreachable: it did not answer.
        """

    def digest(self, key: str) -> str | None:
        """Return the sha256 of an object's bytes in lower-case hex, read through if need be; null without one."""

    def write(self, key: str, data: bytes, *, match: str | None, content_type: str) -> Stored:
        """Write a small object whole or not at all.

        Args:
            key: of the object.
            data: its bytes.
            match: ETag of the object that is replaced; null writes only where none is.
            content_type: media type.

        Raises:
            Taken: the condition did not hold.
            PublishError: the store refused, or holds other bytes than were sent.
            Unreachable: it did not answer; the object may be there.
        """

    def send(
        self,
        key: str,
        path: Path,
        file: FileParts,
        *,
        match: str | None,
        content_type: str,
        advance: Callable[[int], None] = ...,
    ) -> Stored:
        """Send a file whole or not at all; parts that an earlier try left there are used again.

        Args:
            key: of the object.
            path: of the file.
            file: what was read and verified before; other bytes are refused by the store.
            match: as in ``write``.
            content_type: media type.
            advance: told how many more bytes are there.

        Raises:
            Taken: the condition did not hold.
            IntegrityError: the file's bytes are no longer those that were verified.
            PublishError: the store refused.
            Unreachable: it did not answer; the object may be there.
        """

    def remove(self, key: str, *, match: str) -> None:
        """Remove the object that has this ETag; nothing there is as good.

        Raises:
            Taken: another object is there.
            PublishError: the store refused.
            Unreachable: it did not answer.
        """

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield every key that begins so, in order.

        Raises:
            PublishError: the store refused.
            Unreachable: it did not answer.
        """


def check_key(key: str) -> str:
    """Return a key that is safe in every kind of bucket.

    Raises:
        RequestError: it is none.
    """
    if len(key) > MAX_KEY or not all(KEY_SEGMENT.fullmatch(part) for part in key.split("/")):
        raise RequestError((Fault("key", f"{key[:200]!r} can't be a key", "letters, digits, '.', '_', '-' and '/'"),))
    return key


def too_large(key: str, address: str, limit: int) -> PublishError:
    """Return the refusal of an object that is larger than its kind can be."""
    return PublishError(f"{key} in {address} is larger than {limit:,} bytes.", hint="Look what lies there.")
