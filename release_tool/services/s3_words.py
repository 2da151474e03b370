"""What S3 and the way to it say, in this tool's own errors; and the client, with limits on every wait."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from release_tool.errors import IntegrityError, PublishError, Unreachable
from release_tool.services.boto import (
    NO_CREDENTIALS,
    WRONG_SETTINGS,
    boto3_of,
    code_of,
    is_forbidden,
    limits,
    said_by,
    shown_code,
    status_of,
    words_of,
)
from release_tool.services.bucket import Taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ATTEMPTS = 5
"""Of one request, with growing pauses."""
READ_SECONDS = 60
CONFLICTS = 5
CONFLICT_SECONDS = 0.2
TAKEN_CODES = frozenset({"412", "PreconditionFailed"})
CONFLICT_CODES = frozenset({"409", "ConditionalRequestConflict", "OperationAborted"})
GONE_UPLOAD = "NoSuchUpload"
NO_BUCKET, NO_KEY = "NoSuchBucket", "NoSuchKey"
CHANGED_CODES = frozenset({"BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "InvalidDigest"})
BUSY_STATUS = frozenset({408, 429, 500, 502, 503, 504})
ABSENT_CODES = frozenset({"404", "NotFound", NO_KEY})


def make_client(connections: int) -> Any:
    """Return a client with the credentials and the endpoint that the environment names.

    Args:
        connections: how many requests are in the air at once.

    Raises:
        MissingExtra: boto3 is not installed.
        PublishError: the settings of the environment make no client.
    """
    boto3 = boto3_of("publish")
    from botocore.exceptions import BotoCoreError

    config = limits(attempts=ATTEMPTS, read_seconds=READ_SECONDS, max_pool_connections=connections)
    try:
        return boto3.session.Session().client("s3", config=config)
    except BotoCoreError as error:
        raise _unanswered(error, "S3") from error
    except ValueError as error:
        raise PublishError(
            f"The settings for S3 make no client: {words_of(error)}", hint="Check AWS_ENDPOINT_URL and AWS_REGION."
        ) from error


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn whatever a request can raise into this tool's errors.

    Args:
        what: the object or the bucket, for the message.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _refusal(error, what) from error
    except BotoCoreError as error:
        raise _unanswered(error, what) from error


def _refusal(error: Any, what: str) -> Exception:
    """Return what a store's refusal means to a person."""
    raw, code, status, said = code_of(error), shown_code(error), status_of(error), said_by(error)
    if raw in TAKEN_CODES or raw in {GONE_UPLOAD, NO_KEY}:
        # Nothing is there to be replaced; or an upload is gone: completed by a try whose answer was lost, or ended
        # elsewhere. The caller looks what is there.
        return Taken(what)
    if raw in CHANGED_CODES:
        return IntegrityError(
            f"The store refused {what}: the bytes that arrived are not those that were verified ({code}).",
            hint="Run the command again; if it says so again, the file changes while it is read.",
        )
    if is_forbidden(error):
        return PublishError(
            f"The store forbids {what} ({code}: {said}).",
            hint="Check the credentials and the role: without s3:ListBucket a missing object is forbidden, too.",
        )
    if raw == NO_BUCKET:
        return PublishError(f"There is no bucket for {what}.", hint="Check --to, the endpoint and the region.")
    if status in BUSY_STATUS:
        return Unreachable(f"The store could not serve {what} ({status} {code}: {said}).")
    return PublishError(f"The store refused {what} ({status} {code}: {said}).")


def _unanswered(error: Any, what: str) -> Exception:
    """Return what it means that there was no answer, or none that could be used."""
    kind = type(error).__name__
    if kind in NO_CREDENTIALS:
        return PublishError(
            f"There are no credentials for {what} ({kind}).",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or run in the environment with the role.",
        )
    if kind in WRONG_SETTINGS:
        return PublishError(f"{what} can't be asked: {words_of(error)}", hint="Check --to, AWS_REGION and AWS_PROFILE.")
    if kind == "FlexibleChecksumError":
        return IntegrityError(
            f"{what} arrived with other bytes than the store's checksum says.", hint="Run the command again."
        )
    return Unreachable(f"No answer for {what} ({kind}: {words_of(error)}).")


def unconflicted(request: Callable[[], Any]) -> Any:
    """Make a request again that met another write of the same key in the very same moment.

    S3 then answers 409 ConditionalRequestConflict: it can't say yet which of the two wins.
    """
    from botocore.exceptions import ClientError

    for attempt in range(CONFLICTS):
        try:
            return request()
        except ClientError as error:
            if code_of(error) not in CONFLICT_CODES:
                raise
        time.sleep(CONFLICT_SECONDS * 2**attempt)
    return request()
