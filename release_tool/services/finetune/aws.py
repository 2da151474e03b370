"""Services of AWS for fine-tuning: a client with limits on every wait, and refusals in this tool's own errors."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.core.quantity import clip
from release_tool.errors import Refused, Unreachable, UsageError
from release_tool.services.boto import (
    NO_CREDENTIALS,
    WRONG_SETTINGS,
    boto3_of,
    is_forbidden,
    limits,
    said_by,
    shown_code,
    status_of,
    words_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ATTEMPTS = 8
"""Of one request, with growing pauses: a batch that runs for hours outlives many a throttling."""
READ_SECONDS = 60
BUSY = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "ServiceUnavailableException"})


def client(service: str, region: str = "", *, read_seconds: int = READ_SECONDS) -> Any:
    """Return a client with the credentials that the environment names.

    Args:
        service: as boto3 names it.
        region: "" for that of the environment.
        read_seconds: without a byte after which a request is given up.

    Raises:
        MissingExtra: boto3 is not installed.
        UsageError: no region, or settings that make no client.
    """
    boto3 = boto3_of("finetune")
    from botocore.exceptions import BotoCoreError

    config = limits(attempts=ATTEMPTS, read_seconds=read_seconds)
    # boto3 itself reads AWS_DEFAULT_REGION only.
    region = region or os.environ.get("AWS_REGION", "")
    try:
        return boto3.session.Session().client(service, region_name=region or None, config=config)
    except (BotoCoreError, ValueError) as error:
        raise UsageError(
            f"The settings for AWS make no client of {service}: {words_of(error)}",
            hint="Set AWS_REGION, or queries.region in the recipe, and check AWS_PROFILE.",
        ) from error


@contextmanager
def asked(what: str, right: str) -> Iterator[None]:
    """Turn whatever a request can raise into this tool's errors.

    Args:
        what: was wanted, for the message.
        right: the action of IAM that it needs, for the hint.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise refusal(error, what, right) from error
    except BotoCoreError as error:
        raise unanswered(error, what) from error
    except Boto3Error as error:
        # Of a transfer in parts: the words hold the store's own.
        raise Refused(f"{what} failed: {words_of(error)}", hint=f"Check that the role may {right}.") from error


def refusal(error: Any, what: str, right: str) -> Exception:
    """Return what a refusal means to a person."""
    code, status, said = shown_code(error), status_of(error), said_by(error)
    if code in BUSY or status >= 500:
        return Unreachable(f"{what} can't be had now ({code}: {said}).")
    hint = f"Allow {right} to the role that runs this." if is_forbidden(error) else "The service's own words are above."
    return Refused(f"{what} was refused ({code}: {said}).", hint=hint, status=status, said=said)


def unanswered(error: Any, what: str) -> Exception:
    """Return what it means that there was no answer."""
    kind = type(error).__name__
    if kind in NO_CREDENTIALS:
        return UsageError(
            f"There are no credentials of AWS for {what} ({kind}).",
            hint="Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with a role.",
        )
    if kind in WRONG_SETTINGS:
        return UsageError(f"{what} can't be asked for: {words_of(error)}", hint="Check AWS_REGION and the recipe.")
    return Unreachable(f"No answer for {what} ({kind}: {words_of(error)}).")


def split_s3(address: str) -> tuple[str, str]:
    """Return bucket and key, or prefix without slashes around it, of ``s3://bucket/key``.

    Raises:
        UsageError: it is none.
    """
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not address.startswith("s3://") or not bucket:
        raise UsageError(f"{clip(one_line(address), 100)} is no address of S3.", hint="Write s3://bucket/prefix.")
    return bucket, key.strip("/")
