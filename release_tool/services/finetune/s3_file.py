"""One small object of S3, such as a prompt or example queries, brought here as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.escape import one_line
from release_tool.core.quantity import clip
from release_tool.errors import UsageError
from release_tool.services.finetune.aws import asked, client, split_s3

if TYPE_CHECKING:
    from pathlib import Path

READ = "s3:GetObject"
CHUNK = 1 << 20
MAX_BYTES = 512 << 20
NAME = "object"


def fetch_object(address: str, folder: Path) -> Path:
    """Download an object into a folder, under a name of ours: its own could lead elsewhere.

    Raises:
        UsageError: it is no address of an object, or the object is too large.
        Refused, Unreachable: see ``aws.asked``.
    """
    bucket, key = split_s3(address)
    shown = clip(one_line(address))
    if not key:
        raise UsageError(f"{shown} names no object.", hint="Write s3://bucket/key.")
    path = folder / NAME
    count = 0
    with asked(shown, READ), path.open("wb") as out:
        for chunk in client("s3").get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(CHUNK):
            count += len(chunk)
            if count > MAX_BYTES:
                raise UsageError(f"{shown} is larger than {MAX_BYTES:,} bytes.")
            out.write(chunk)
    return path
