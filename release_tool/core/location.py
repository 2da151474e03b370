"""Where a folder source lies on this machine: the one document that is no part of a release."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

LOCATION_FILE = "location.json"
IDF_FILE = "inputs/idf.json"
"""A copy of the file behind --idf; the plan's request holds its sha256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """location.json; absent for a model of the hub. No other document names its digest."""

    SCHEMA: ClassVar[str] = "release-tool/location@1"

    schema: str = "release-tool/location@1"
    uses: dict[str, str] = field(default_factory=dict)
    folder: str
    """Absolute path."""
