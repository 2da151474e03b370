"""S3 as a bucket: conditional writes, and checksums that the store computes.

Conditions are S3's own (``If-None-Match: *``, ``If-Match``), on single requests and on the completion of an upload in
parts, so there is no moment between a look and a write.
"""

from __future__ import annotations

import base64
import hashlib
import os
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from release_tool.core.digest import CHUNK_BYTES
from release_tool.core.parts import encoded, of_bytes
from release_tool.errors import PublishError
from release_tool.services.boto import code_of
from release_tool.services.bucket import Stored, Taken, check_key, too_large
from release_tool.services.s3_parts import SENDERS, PartsUpload
from release_tool.services.s3_words import (
    ABSENT_CODES,
    NO_BUCKET,
    TAKEN_CODES,
    make_client,
    translated,
    unconflicted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from release_tool.core.parts import FileParts


class S3Bucket:
    """A bucket, or a prefix in it; see ``services.bucket.Bucket`` for what each method promises."""

    def __init__(self, name: str, prefix: str, *, client: Any = None) -> None:
        self.name = name
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.client = client if client is not None else make_client(SENDERS + 1)
        self.seen = False
        """Whether the bucket itself was found: a store may answer alike for a missing object and a missing bucket."""

    @property
    def address(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self.name}/{self.prefix}".rstrip("/")

    def head(self, key: str) -> Stored | None:
        """Return what is known of an object."""
        where = self._where(key)
        with translated(self._what(key)):
            try:
                found = self.client.head_object(**where, ChecksumMode="ENABLED")
            except self.client.exceptions.ClientError as error:
                self._check_absent(error)
                return None
        return _stored(key, found["ContentLength"], found)

    def read(self, key: str, limit: int) -> tuple[bytes, Stored] | None:
        """Return an object's bytes."""
        where = self._where(key)
        with translated(self._what(key)):
            try:
                found = self.client.get_object(**where, ChecksumMode="ENABLED")
            except self.client.exceptions.ClientError as error:
                self._check_absent(error)
                return None
            if found["ContentLength"] > limit:
                found["Body"].close()
                raise too_large(key, self.address, limit)
            data = found["Body"].read()
        return data, _stored(key, len(data), found)

    def digest(self, key: str) -> str | None:
        """Return the sha256 of an object's bytes: the store's own where it has one, else all bytes are read."""
        stored = self.head(key)
        if stored is None:
            return None
        if stored.sha256 is not None:
            return stored.sha256
        whole = hashlib.sha256()
        with translated(self._what(key)):
            try:
                body = self.client.get_object(**self._where(key), IfMatch=f'"{stored.etag}"')["Body"]
            except self.client.exceptions.ClientError as error:
                if code_of(error) not in TAKEN_CODES | ABSENT_CODES:
                    raise
                raise PublishError(
                    f"{key} in {self.address} changed while it was read.", hint="Look who writes there."
                ) from error
            for chunk in body.iter_chunks(CHUNK_BYTES):
                whole.update(chunk)
        return whole.hexdigest()

    def write(self, key: str, data: bytes, *, match: str | None, content_type: str) -> Stored:
        """Write a small object."""
        return self._put(key, data, of_bytes(data), match, content_type)

    def send(
        self,
        key: str,
        path: Path,
        file: FileParts,
        *,
        match: str | None,
        content_type: str,
        advance: Callable[[int], None] = lambda _: None,
    ) -> Stored:
        """Send a file, in parts where it has more than one."""
        with path.open("rb") as stream:
            handle = stream.fileno()
            if file.one:
                stored = self._put(key, os.pread(handle, file.size + 1, 0), file, match, content_type)
                advance(file.size)
                return stored
            upload = PartsUpload(
                client=self.client,
                where=self._where(key),
                handle=handle,
                file=file,
                condition=_condition(match),
                content_type=content_type,
                advance=advance,
            )
            with translated(self._what(key)):
                return _stored(key, file.size, upload.send())

    def remove(self, key: str, *, match: str) -> None:
        """Remove an object by its ETag.

        A store that takes no condition on DELETE removes whatever is there; looking first narrows that to a moment.
        """
        stored = self.head(key)
        if stored is None:
            return
        if stored.etag != match:
            raise Taken
        with translated(self._what(key)):
            try:
                self.client.delete_object(**self._where(key), IfMatch=f'"{match}"')
            except self.client.exceptions.ClientError as error:
                self._check_absent(error)

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield keys in order, page by page."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=self.prefix + prefix)
        with translated(self.address):
            for page in pages:
                for item in page.get("Contents", ()):
                    yield item["Key"][len(self.prefix) :]

    def _where(self, key: str) -> dict[str, str]:
        return {"Bucket": self.name, "Key": self.prefix + check_key(key)}

    def _what(self, key: str) -> str:
        return f"{key} in {self.address}"

    def _check_absent(self, error: Any) -> None:
        """Return only where a refusal says that the object is not there, and the bucket itself is."""
        if code_of(error) not in ABSENT_CODES:
            raise error
        if self.seen:
            return
        try:
            self.client.head_bucket(Bucket=self.name)
        except self.client.exceptions.ClientError as second:
            if code_of(second) not in ABSENT_CODES | {NO_BUCKET}:
                raise
            raise PublishError(
                f"There is no bucket {self.name}.", hint="Check --to, the endpoint and the region."
            ) from second
        self.seen = True

    def _put(self, key: str, data: bytes, file: FileParts, match: str | None, content_type: str) -> Stored:
        where = self._where(key)
        with translated(self._what(key)):
            found = unconflicted(
                lambda: self.client.put_object(
                    **where,
                    **_condition(match),
                    Body=data,
                    ChecksumSHA256=encoded(file.parts[0]),
                    ContentType=content_type,
                )
            )
        return _stored(key, file.size, found)


def _stored(key: str, size: int, found: dict[str, Any]) -> Stored:
    checksum: str | None = found.get("ChecksumSHA256")
    composite = checksum if checksum is not None and "-" in checksum else None
    return Stored(
        key=key,
        size=size,
        etag=found["ETag"].strip('"'),
        version_id=found.get("VersionId"),
        sha256=base64.b64decode(checksum).hex() if checksum is not None and composite is None else None,
        composite=composite,
        age=_age(found),
    )


def _age(found: dict[str, Any]) -> float | None:
    """Return seconds between an object's time and the answer's, both of the store's clock."""
    written = found.get("LastModified")
    stated = found.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if written is None or stated is None:
        return None
    try:
        answered = parsedate_to_datetime(stated)
    except ValueError:
        return None
    return max(0.0, (answered - written).total_seconds()) if answered.tzinfo is not None else None


def _condition(match: str | None) -> dict[str, str]:
    return {"IfNoneMatch": "*"} if match is None else {"IfMatch": f'"{match}"'}
