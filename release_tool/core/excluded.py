"""``model_listing/excluded.json``: what the listings leave out although its objects exist. People write it.

A yank is for a version that the ledger knows; this file is for what is older than the ledger, or never meant for
others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.core.codec import DocumentFault, decode, encode, parse_text
from release_tool.core.listing import FOLDER
from release_tool.core.ordered import version_key
from release_tool.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterable

EXCLUDED = f"{FOLDER}/excluded.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """One version that is not listed."""

    name: str
    """Registered name."""
    version: str
    reason: str
    format: str | None = None
    """Null: every format."""


def parse_excluded(data: bytes | None) -> tuple[Exclusion, ...]:
    """Read the file; null, no file, excludes nothing.

    Raises:
        RecordError: it is not what it must be.
    """
    if data is None:
        return ()
    try:
        found = decode(_Excluded, {"models": parse_text(data.decode())}, EXCLUDED)
    except (DocumentFault, UnicodeDecodeError) as error:
        raise RecordError(
            f"{EXCLUDED}: {error}", hint="It is a list of objects with name, version, reason and, if need be, format."
        ) from error
    return found.models


@dataclass(frozen=True, slots=True, kw_only=True)
class _Excluded:
    models: tuple[Exclusion, ...]


def excluded_text(exclusions: Iterable[Exclusion]) -> str:
    """Return the file, sorted by name, version and format."""
    ordered = sorted(set(exclusions), key=lambda one: (one.name, version_key(one.version), one.format or ""))
    return json.dumps([encode(one) for one in ordered], indent=2) + "\n"


def hides(exclusions: Iterable[Exclusion], name: str, version: str, fmt: str) -> bool:
    """Tell whether an archive is left out."""
    return any((one.name, one.version) == (name, version) and one.format in (None, fmt) for one in exclusions)
