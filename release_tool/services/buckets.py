"""From an address to a bucket."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from release_tool.errors import Fault, RequestError
from release_tool.services.bucket import KEY_SEGMENT

if TYPE_CHECKING:
    from release_tool.services.bucket import Bucket

BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
HINT = "s3://bucket/prefix, or file:///folder"


def open_bucket(address: str) -> Bucket:
    """Return the bucket at an address; nothing is asked of it yet.

    Raises:
        RequestError: it is no address of a bucket.
        MissingExtra: it is one of S3 and boto3 is not installed.
        PublishError: the settings of the environment make no client.
    """
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise _wrong(address, str(error)) from error
    if parts.query or parts.fragment or parts.username or parts.password:
        raise _wrong(address, "it holds more than a place")
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/") or parts.path == "/" or "\0" in unquote(parts.path):
            raise _wrong(address, "a folder has three slashes and an absolute path")
        from release_tool.services.bucket_folder import FolderBucket

        return FolderBucket(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        prefix = parts.path.strip("/")
        if not BUCKET_NAME.fullmatch(parts.netloc):
            raise _wrong(address, f"{parts.netloc!r} is no name of a bucket")
        if prefix and not all(KEY_SEGMENT.fullmatch(part) for part in prefix.split("/")):
            raise _wrong(address, "the prefix can't be part of a key")
        from release_tool.services.bucket_s3 import S3Bucket

        return S3Bucket(parts.netloc, prefix)
    raise _wrong(address, "it is neither s3:// nor file://")


def is_missing_folder(bucket: Bucket) -> bool:
    """Tell whether a bucket is a folder that does not exist, which holds nothing; S3 itself tells of its own."""
    from release_tool.services.bucket_folder import FolderBucket

    return isinstance(bucket, FolderBucket) and not bucket.folder.is_dir()


def _wrong(address: str, problem: str) -> RequestError:
    # Never echoed whole: a person may have put a secret in it.
    shown = address.rpartition("@")[2].partition("?")[0]
    return RequestError((Fault("--to", f"{shown[:200]!r}: {problem}", HINT),))
