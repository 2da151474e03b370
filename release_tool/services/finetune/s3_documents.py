"""Documents of JSONL objects in S3, read as a stream: nothing is downloaded first.

A connection that breaks is taken up where it broke, on the same version of the object: a document is read from one
version or not at all.
"""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

from release_tool.core.digest import sha256_bytes
from release_tool.core.escape import one_line
from release_tool.core.finetune.raw_rows import rows_of_lines
from release_tool.core.quantity import clip
from release_tool.errors import IntegrityError, SourceError, Unreachable
from release_tool.services.boto import code_of
from release_tool.services.finetune.aws import asked, client, split_s3, unanswered
from release_tool.services.finetune.lines import SUFFIXES, lines_of
from release_tool.services.patience import PAUSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

    from release_tool.core.finetune.raw_rows import RawRow

READ, LIST = "s3:GetObject", "s3:ListBucket"
CHANGED = frozenset({"412", "PreconditionFailed", "404", "NoSuchKey", "NotFound"})
AGAIN = "Run release-tool finetune plan --recipe again: what depends on the documents will be run again."


class S3Documents:
    """The documents of an object, or of all below a prefix; see ``steps.finetune.corpus_sources.Source``."""

    unit = "B"

    def __init__(self, address: str) -> None:
        """Prepare to ask; nothing is sent yet.

        Args:
            address: ``s3://bucket/path``: an object, or what the keys of objects begin with up to a slash.

        Raises:
            UsageError: it is no address, or the environment's settings make no client.
            MissingExtra: boto3 is not installed.
        """
        self.bucket, self.path = split_s3(address)
        self.shown = clip(one_line(address))
        self.client = client("s3")
        self._objects: list[dict[str, Any]] | None = None

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The objects in the order of their keys: ``Key``, ``Size``, ``ETag``; asked for once.

        Raises:
            SourceError: there are none.
            Refused, Unreachable, UsageError: see ``aws.asked``.
        """
        if self._objects is None:
            below = f"{self.path}/" if self.path else ""
            found = [
                item
                for item in self._listed()
                if item["Key"] == self.path or (item["Key"].startswith(below) and item["Key"].endswith(SUFFIXES))
            ]
            alone = [item for item in found if item["Key"] == self.path]
            self._objects = alone or sorted(found, key=lambda item: str(item["Key"]).encode())
        if not self._objects:
            raise SourceError(
                f"{self.shown} names no object, and none below it ends in {' or '.join(SUFFIXES)}.",
                hint="Check corpus.s3_path and, for another store than that of AWS, AWS_ENDPOINT_URL.",
            )
        return self._objects

    def pin(self) -> str:
        """Return the digest over keys, sizes and ETags: another one after any of the objects was written.

        Raises:
            As ``objects``.
        """
        lines = (f"{item['ETag']}  {item['Size']}  {item['Key']}\n" for item in self.objects)
        return sha256_bytes("".join(lines).encode())

    def check(self, pin: str) -> None:
        """Refuse objects that are not those of the plan.

        Raises:
            IntegrityError: they are others.
            As ``objects``.
        """
        if self.pin() != pin:
            raise IntegrityError(f"{self.shown} is not what it was when the run was planned.", hint=AGAIN)

    def total(self) -> int:
        """Return the bytes of all objects."""
        return sum(item["Size"] for item in self.objects)

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows, object after object.

        Raises:
            IntegrityError: an object was replaced or removed while it was read.
            Refused, Unreachable, UsageError: see ``aws.asked``.
        """
        for item in self.objects:
            with io.BufferedReader(_Object(self, item)) as stream:
                yield from rows_of_lines(lines_of(stream, item["Key"]), item["Key"])

    def _listed(self) -> Iterator[dict[str, Any]]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.path)
        with asked(f"The list of {self.shown}", LIST):
            for page in pages:
                yield from page.get("Contents", ())

    def open(self, item: dict[str, Any], start: int) -> Any:
        """Return the bytes of one version of an object, from a place on.

        Raises:
            IntegrityError: that version is no longer there.
            Refused, Unreachable, UsageError: see ``aws.asked``.
        """
        wanted = {"Bucket": self.bucket, "Key": item["Key"], "IfMatch": item["ETag"]}
        what = f"{clip(one_line(item['Key']))} in {self.shown}"
        with asked(what, READ):
            try:
                return self.client.get_object(**wanted, **({"Range": f"bytes={start}-"} if start else {}))["Body"]
            except self.client.exceptions.ClientError as error:
                if code_of(error) not in CHANGED:
                    raise
                raise IntegrityError(f"{what} changed while the documents were read.", hint=AGAIN) from error


class _Object(io.RawIOBase):
    """The bytes of one version of an object; lost connections are opened again."""

    def __init__(self, source: S3Documents, item: dict[str, Any]) -> None:
        super().__init__()
        self.source, self.item = source, item
        self.place = 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        room = memoryview(buffer)
        if self.place >= self.item["Size"]:
            self._check()
            return 0
        for pause in (*PAUSES, None):
            try:
                if self._body is None:
                    self._body = self.source.open(self.item, self.place)
                data = self._body.read(len(room))
            except (HTTPClientError, IncompleteReadError) as error:
                self._end()
                if pause is None:
                    raise unanswered(error, self._what) from error
                time.sleep(pause)
                continue
            if data:
                room[: len(data)] = data
                self.place += len(data)
                return len(data)
            self._end()  # it ended before its size: once more from there
        raise Unreachable(f"{self._what} ends before its size.")

    @property
    def _what(self) -> str:
        return f"{clip(one_line(self.item['Key']))} in {self.source.shown}"

    def _check(self) -> None:
        """Let the library compare the store's own checksum, which it does where nothing is left to read."""
        from botocore.exceptions import FlexibleChecksumError

        try:
            if self._body is not None:
                self._body.read(1)
        except FlexibleChecksumError as error:
            raise IntegrityError(
                f"{self._what} arrived with other bytes than the store's checksum says.", hint="Run the command again."
            ) from error
        self._end()

    def close(self) -> None:
        self._end()
        super().close()

    def _end(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
