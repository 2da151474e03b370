"""Credentials for Jenkins: from the environment, or from AWS Secrets Manager by the secret's name.

Promises: no credential is in an argument, an address, a document, a log or an error. ``Credentials`` shows none when it
is printed, and ``hide`` takes them out of what a server says: the webhook plugin repeats all headers of a request that
it refuses.
"""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from release_tool.core.escape import one_line
from release_tool.errors import RemoteFailed, Unreachable, UsageError
from release_tool.services.boto import boto3_of, limits, shown_code, status_of

if TYPE_CHECKING:
    from collections.abc import Mapping

USER_VARIABLE = "RELEASE_TOOL_JENKINS_USER"
TOKEN_VARIABLE = "RELEASE_TOOL_JENKINS_TOKEN"  # noqa: S105 - the name of the variable
WEBHOOK_VARIABLE = "RELEASE_TOOL_WEBHOOK_TOKEN"
KEYS = {"user": USER_VARIABLE, "token": TOKEN_VARIABLE, "webhook_token": WEBHOOK_VARIABLE}
"""Key of the secret's JSON object → variable of the environment that holds the same."""

HIDDEN = "***"
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
"""What an HTTP header can carry; anything else would come back in a library's error message, value and all."""
MAX_WORDS = 300
_TAG = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What Jenkins wants to see; each is null where nobody gave it."""

    user: str | None = None
    token: str | None = field(default=None, repr=False)
    """The user's API token."""
    webhook_token: str | None = field(default=None, repr=False)
    """Of the job's generic webhook trigger."""
    origin: str = "the environment"
    """For messages: where they are from."""

    def hide(self, text: str) -> str:
        """Take every credential out of a text."""
        for secret in self._secrets():
            text = text.replace(secret, HIDDEN)
        return text

    def _secrets(self) -> list[str]:
        found = [secret for secret in (self.token, self.webhook_token) if secret]
        if self.user and self.token:
            found.append(base64.b64encode(f"{self.user}:{self.token}".encode()).decode("ascii"))
        return sorted(found, key=len, reverse=True)

    def words_of(self, text: str) -> str:
        """Return what a server said as one short line: no markup, no credential."""
        plain = one_line(html.unescape(_TAG.sub(" ", self.hide(text))))
        plain = self.hide(plain)
        return plain if len(plain) <= MAX_WORDS else plain[:MAX_WORDS] + "…"


def read_credentials(environment: Mapping[str, str], secret: str | None = None) -> Credentials:
    """Return the credentials.

    Args:
        environment: of the process.
        secret: name of a secret of AWS Secrets Manager, a JSON object with ``user``, ``token``, ``webhook_token``;
            where one is named the environment's variables count for nothing.

    Raises:
        UsageError: a value can't be a credential, or the secret is no such object.
        MissingExtra: a secret is named and boto3 is not installed.
        RemoteFailed: Secrets Manager refused.
        Unreachable: it did not answer.
    """
    if secret is None:
        found = {key: environment.get(variable) for key, variable in KEYS.items()}
        return _checked(found, "the environment", KEYS)
    where = f"the secret {one_line(secret)[:100]}"
    return _checked(_object(_fetch(secret, where), where), where, {key: key for key in KEYS})


def _checked(values: Mapping[str, Any], origin: str, names: Mapping[str, str]) -> Credentials:
    found: dict[str, str | None] = {}
    for key in KEYS:
        value = values.get(key)
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{names[key]} in {origin} is no text.", hint="Store it as a JSON string.")
        text = (value or "").strip()
        if text and (not _PRINTABLE.fullmatch(text) or (key == "user" and ":" in text)):
            raise UsageError(
                f"{names[key]} in {origin} holds characters that can't be sent.", hint="Set it again, without them."
            )
        found[key] = text or None
    return Credentials(**found, origin=origin)


def _object(text: str, where: str) -> dict[str, Any]:
    hint = 'Store a JSON object: {"user": ..., "token": ..., "webhook_token": ...}.'
    try:
        data = json.loads(text)
    except ValueError:
        # The parser's own words would repeat a part of the secret under --debug.
        raise UsageError(f"{where} is no JSON.", hint=hint) from None
    if not isinstance(data, dict) or not data.keys() & KEYS.keys():
        raise UsageError(f"{where} is no JSON object with any of {', '.join(KEYS)}.", hint=hint)
    return data


def _fetch(secret: str, where: str) -> str:
    boto3 = boto3_of("publish")
    from botocore.exceptions import BotoCoreError, ClientError

    config = limits(attempts=4, read_seconds=30)
    try:
        answer = boto3.session.Session().client("secretsmanager", config=config).get_secret_value(SecretId=secret)
    except ClientError as error:
        said = shown_code(error)
        if status_of(error) >= 500 or "Throttling" in said:
            raise Unreachable(f"Secrets Manager can't give {where} now ({said}).") from error
        raise RemoteFailed(
            f"Secrets Manager refused {where} ({said}).",
            hint="Check --secret, the region, and the role's right secretsmanager:GetSecretValue.",
        ) from error
    except BotoCoreError as error:
        kind = type(error).__name__
        if kind in {"EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"}:
            raise Unreachable(f"No answer from Secrets Manager for {where} ({kind}).") from error
        raise UsageError(
            f"Secrets Manager can't be asked for {where} ({kind}).",
            hint="Set AWS_REGION and credentials of AWS, or run in the environment with the role.",
        ) from error
    text = answer.get("SecretString")
    if text is None:
        raise UsageError(f"{where} is binary.", hint="Store a JSON object as text.")
    return str(text)
