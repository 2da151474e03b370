"""What a cluster wants to see: from the environment or from AWS's own chain, never from an argument.

Promises: no credential is in an address, a document, a log or an error.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.clusters import Auth
from release_tool.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from release_tool.core.ml.clusters import ClusterAddress

USER_VARIABLE = "RELEASE_TOOL_CLUSTER_USER"
PASSWORD_VARIABLE = "RELEASE_TOOL_CLUSTER_PASSWORD"  # noqa: S105 - the name of the variable
EXTRA = "ml"


@dataclass(frozen=True, slots=True)
class Shown:
    """What is sent with each request."""

    headers: dict[str, str] = field(default_factory=dict, repr=False)
    sign: Callable[..., dict[str, str]] | None = field(default=None, repr=False)
    """Makes the headers of AWS's signature from method, address and body."""


def read_shown(cluster: ClusterAddress, environment: Mapping[str, str]) -> Shown:
    """Return what one shows to a cluster.

    Raises:
        UsageError: the environment, or AWS's chain, does not hold what the cluster's ``auth`` asks for.
        MissingExtra: boto3 is needed and not installed.
    """
    if cluster.auth is Auth.BASIC:
        return Shown({"authorization": _basic(environment)})
    if cluster.auth is Auth.SIGV4:
        return Shown({}, _signer(cluster))
    return Shown()


def has_user(environment: Mapping[str, str]) -> bool:
    """Tell whether the environment names a user."""
    return bool(environment.get(USER_VARIABLE))


def _basic(environment: Mapping[str, str]) -> str:
    user, password = environment.get(USER_VARIABLE, ""), environment.get(PASSWORD_VARIABLE, "")
    if not user or not password:
        missing = USER_VARIABLE if not user else PASSWORD_VARIABLE
        raise UsageError(f"{missing} is not set.", hint=f"Set {USER_VARIABLE} and {PASSWORD_VARIABLE}.")
    if ":" in user:
        raise UsageError(f"{USER_VARIABLE} holds ':', which no user's name can.", hint="Set it again.")
    try:
        pair = f"{user}:{password}".encode()
    except UnicodeEncodeError:
        raise UsageError(f"{USER_VARIABLE} or {PASSWORD_VARIABLE} is no text.", hint="Set them in UTF-8.") from None
    return "Basic " + base64.b64encode(pair).decode("ascii")


def _signer(cluster: ClusterAddress) -> Callable[..., dict[str, str]]:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
        from opensearchpy import Urllib3AWSV4SignerAuth
    except ModuleNotFoundError as error:
        raise MissingExtra(EXTRA, error.name or "boto3") from error
    try:
        found: Any = boto3.session.Session().get_credentials()
    except BotoCoreError as error:
        raise UsageError(
            f"AWS's own chain of credentials is broken ({type(error).__name__}).",
            hint="Check AWS_PROFILE and the files it names.",
        ) from error
    if found is None:
        raise UsageError(
            f"There are no credentials of AWS for {cluster.shown}.",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or run with a role.",
        )
    sign: Callable[..., dict[str, str]] = Urllib3AWSV4SignerAuth(found, cluster.region, cluster.service)
    return sign
