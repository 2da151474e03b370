"""boto3 for every service of AWS: limits on every wait, and what its errors hold."""

from __future__ import annotations

from typing import Any

from release_tool.core.escape import one_line
from release_tool.core.quantity import clip
from release_tool.errors import MissingExtra

CONNECT_SECONDS = 10
MAX_WORDS, MAX_CODE = 300, 100
FORBIDDEN = frozenset(
    {
        "403", "AccessDenied", "AccessDeniedException", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch",
        "UnauthorizedOperation",
    }
)  # fmt: skip
"""Codes of refusals for want of a right; so is every one with status 403."""
NO_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"})
WRONG_SETTINGS = frozenset(
    {"NoRegionError", "ParamValidationError", "ProfileNotFound", "ConfigParseError", "InvalidRegionError"}
)
"""Kinds of errors before anything is sent."""


def boto3_of(extra: str) -> Any:
    """Return the module boto3.

    Raises:
        MissingExtra: it is not installed; the extra is named that brings it.
    """
    try:
        import boto3
    except ModuleNotFoundError as error:
        raise MissingExtra(extra, "boto3") from error
    return boto3


def limits(*, attempts: int, read_seconds: float, **more: Any) -> Any:
    """Return the settings of a client.

    Args:
        attempts: of one request, with growing pauses.
        read_seconds: without a byte after which a request is given up.
        more: as botocore names it.
    """
    from botocore.config import Config

    return Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        **more,
    )


def code_of(error: Any) -> str:
    """Return the code of a refusal: the service's word, or the number where the answer had no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def shown_code(error: Any) -> str:
    """Return the code of a refusal as one short word for people."""
    return clip(one_line(code_of(error)), MAX_CODE)


def status_of(error: Any) -> int:
    """Return the status of a refusal; 0 where there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def said_by(error: Any) -> str:
    """Return the service's own words of a refusal, as one line."""
    return words_of(error.response.get("Error", {}).get("Message", ""))


def words_of(error: Any) -> str:
    """Return the words of an error as one line."""
    return clip(one_line(str(error)), MAX_WORDS)


def is_forbidden(error: Any) -> bool:
    """Tell whether a refusal is for want of a right."""
    return code_of(error) in FORBIDDEN or status_of(error) == 403
