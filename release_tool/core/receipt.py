"""The receipt: what a publication left in the bucket, object by object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

RECEIPT_NAME = "receipt.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedObject:
    """One object as the store answered for it after everything had been sent."""

    key: str
    size: int
    sha256: str
    """Lower-case hex; the store's checksum was compared with these bytes."""
    etag: str
    version_id: str | None
    """Null where the store keeps no versions."""
    replaced: str | None = None
    """The sha256 of the object that it overwrote on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """receipt.json."""

    SCHEMA: ClassVar[str] = "release-tool/receipt@1"

    schema: str = "release-tool/receipt@1"
    uses: dict[str, str] = field(default_factory=dict)
    approved: str
    """The digest that was approved and published."""
    to: str
    """Address of the bucket; every key is relative to it."""
    released_at: str
    """UTC, ``YYYY-MM-DDTHH:MM:SSZ``, as the claims and the marker have it."""
    objects: tuple[PublishedObject, ...]
    """Sorted by key: archives, config.json, everything that proves them, claims, and the marker."""
