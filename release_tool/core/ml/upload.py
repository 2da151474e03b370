"""What an upload that was cut must know of itself: upload-<sha256>.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One upload on its way; written before each request that can't be taken back."""

    SCHEMA: ClassVar[str] = "release-tool/upload@1"

    schema: str = "release-tool/upload@1"
    uses: dict[str, str] = field(default_factory=dict)
    cluster: str
    """Its address; it holds no credential."""
    name: str
    """Of the model."""
    sha256: str
    size: int
    group_name: str | None = None
    """Of the group that this upload makes, or made; null where it found one."""
    group_id: str | None = None
    model_id: str | None = None
    """Null until the server has told it."""


def upload_name(sha256: str) -> str:
    """Return the document's file name."""
    return f"upload-{sha256[:16]}.json"
