"""Send a large file to S3 in parts that survive their sender.

An upload that a killed run left behind is found by its key and goes on: parts whose SHA-256 the store holds already are
not sent again. Whoever writes a key holds its claim, so such an upload is nobody else's.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.parts import encoded
from release_tool.services.boto import code_of
from release_tool.services.s3_words import GONE_UPLOAD, TAKEN_CODES, unconflicted

if TYPE_CHECKING:
    from collections.abc import Callable

    from release_tool.core.parts import FileParts

SENDERS = 4
"""Parts in the air: each is held in memory while it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsUpload:
    """One large object; what botocore raises is raised on."""

    client: Any
    where: dict[str, str]
    """The request's Bucket and Key."""
    handle: int
    """Of the open file."""
    file: FileParts
    condition: dict[str, str]
    """IfNoneMatch or IfMatch."""
    content_type: str
    advance: Callable[[int], None]

    def send(self) -> Any:
        """Send what is not there yet, complete the upload, and return the store's answer."""
        earlier = self._earlier()
        upload, sent = max(earlier.items(), key=lambda item: len(item[1]), default=("", {}))
        if not sent:
            upload = self._begin()
        there = {**self.where, "UploadId": upload}
        self.advance(sum(self.file.bounds(part)[1] for part in sent))
        self._send_missing(there, sent)
        listed = [
            {"PartNumber": part + 1, "ETag": sent[part], "ChecksumSHA256": encoded(digest)}
            for part, digest in enumerate(self.file.parts)
        ]
        try:
            found = unconflicted(
                lambda: self.client.complete_multipart_upload(
                    **there, **self.condition, MultipartUpload={"Parts": listed}
                )
            )
        except self.client.exceptions.ClientError as error:
            if code_of(error) in TAKEN_CODES:
                self._abort(upload)
            raise
        self._abort(*(other for other in earlier if other != upload))
        return found

    def _begin(self) -> str:
        made = self.client.create_multipart_upload(
            **self.where, ChecksumAlgorithm="SHA256", ContentType=self.content_type
        )
        return str(made["UploadId"])

    def _send_missing(self, there: dict[str, str], sent: dict[int, str]) -> None:
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="send") as pool:
            missing = [part for part in range(len(self.file.parts)) if part not in sent]
            waiting = {pool.submit(self._send_part, there, part): part for part in missing}
            try:
                for done in as_completed(waiting):
                    sent[waiting[done]] = done.result()
                    self.advance(self.file.bounds(waiting[done])[1])
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _send_part(self, there: dict[str, str], part: int) -> str:
        offset, length = self.file.bounds(part)
        made = self.client.upload_part(
            **there,
            PartNumber=part + 1,
            Body=os.pread(self.handle, length, offset),
            ChecksumSHA256=encoded(self.file.parts[part]),
        )
        return str(made["ETag"])

    def _earlier(self) -> dict[str, dict[int, str]]:
        """Return the uploads of this key that were never completed: id → part → ETag of what it holds of this file."""
        bucket, key = self.where["Bucket"], self.where["Key"]
        listing = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key)
        found = [item["UploadId"] for page in listing for item in page.get("Uploads", ()) if item["Key"] == key]
        held: dict[str, dict[int, str]] = {}
        for upload in found:
            try:
                held[upload] = self._held(upload)
            except self.client.exceptions.ClientError as error:
                if code_of(error) != GONE_UPLOAD:
                    raise
        return held

    def _held(self, upload: str) -> dict[int, str]:
        held: dict[int, str] = {}
        for page in self.client.get_paginator("list_parts").paginate(**self.where, UploadId=upload):
            for item in page.get("Parts", ()):
                part = item["PartNumber"] - 1
                if part < len(self.file.parts) and item.get("ChecksumSHA256") == encoded(self.file.parts[part]):
                    held[part] = item["ETag"]
        return held

    def _abort(self, *uploads: str) -> None:
        """End uploads that are of no use to anybody now; one that stays costs money and nothing else."""
        from botocore.exceptions import BotoCoreError, ClientError

        for upload in uploads:
            with suppress(BotoCoreError, ClientError):
                self.client.abort_multipart_upload(**self.where, UploadId=upload)
