"""The columns of the ledger: their names, their order, what may stand in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from release_tool.core.digest import SHA256_HEX

if TYPE_CHECKING:
    from collections.abc import Mapping

UPLOADER = "Model Uploader"
TIME = "Upload Time"
MODEL_ID = "Model ID"
VERSION = "Model Version"
FORMAT = "Model Format"
DIMENSION = "Embedding Dimension"
POOLING = "Pooling Mode"
RUN_ID = "Workflow Run ID"

FIRST = (UPLOADER, TIME, MODEL_ID, VERSION, FORMAT, DIMENSION, POOLING, RUN_ID)
"""The columns of the catalogue that is carried on. All are texts: ``@user``, ``YYYY-MM-DD HH:MM:SS`` (ours in UTC, with
``Z`` after it; older ones name no zone), ``TORCH_SCRIPT``, ``384``, ``MEAN``."""

RUN_URL = "Workflow Run URL"
KIND = "Model Kind"
DESCRIPTION = "Description"
REVISION = "Revision"
LICENCE = "Licence"
ARTIFACT = "Artifact"
ARCHIVE = "Archive SHA256"
SIZE = "Archive Size"
APPROVED = "Approved Digest"
KEY = "Key"
CERTIFICATE = "Certificate Key"
RECEIPT = "Receipt Key"
REPLACES = "Replaces"
BUILD_RESULT = "Build Result"
BUILD_NUMBER = "Build Number"
BUILD_URL = "Build URL"
LINEAGE = "Lineage"
TUNING_RUN = "Fine-tuning Run ID"
QUALITY = "Retrieval Quality"
"""Set → nDCG@10 of the archive and of its source, and the queries that it was measured with."""
VARIANT = "Variant"
"""How the model file was made, such as ``fused`` or ``int8``."""

OURS = (
    RUN_URL, KIND, DESCRIPTION, REVISION, LICENCE, ARTIFACT, ARCHIVE, SIZE, APPROVED, KEY, CERTIFICATE, RECEIPT,
    REPLACES, BUILD_RESULT, BUILD_NUMBER, BUILD_URL, LINEAGE, TUNING_RUN, QUALITY, VARIANT,
)  # fmt: skip
YANKED = "Yanked"
"""Stands in a row only while its version is yanked."""

BOTH = "BOTH"
"""What a row may say that is older than one row a format."""

NUMBERS = frozenset({SIZE, BUILD_NUMBER})
OBJECTS = frozenset({LINEAGE, QUALITY, YANKED})
TEXTS = frozenset({*FIRST, *OURS}) - NUMBERS - OBJECTS
NEEDED = (MODEL_ID, VERSION, FORMAT)

KEY_SHAPE = re.compile(r"ml-models(?:/[A-Za-z0-9_][A-Za-z0-9._-]*+){5,}")
"""``ml-models/source/name/version/format/file`` at the least."""


def row_fault(data: Mapping[str, Any]) -> str | None:
    """Say what is wrong with the values of a row; null when nothing is."""
    shape = (*data, *map(type, data.values()))
    if shape not in _FITTING:  # most rows have the columns and types of another one that was looked at
        fault = _shape_fault(data)
        if fault:
            return fault
        _FITTING.add(shape)
    return _own_fault(data)


_FITTING: set[tuple[object, ...]] = set()


def _shape_fault(data: Mapping[str, Any]) -> str | None:
    for column in NEEDED:
        if not isinstance(data.get(column), str):
            return f"it has no {column!r}"
    for column, value in data.items():
        if value is None:
            continue
        if column in TEXTS and not isinstance(value, str):
            return f"{column!r} is no text"
        if column in NUMBERS and (not isinstance(value, int) or isinstance(value, bool)):
            return f"{column!r} is no whole number"
        if column in OBJECTS and not isinstance(value, dict):
            return f"{column!r} is no object"
    return None


def _own_fault(data: Mapping[str, Any]) -> str | None:
    key, approved, yanked = data.get(KEY), data.get(APPROVED), data.get(YANKED)
    if key is not None and approved is not None:
        if not SHA256_HEX.fullmatch(approved):
            return f"{APPROVED!r} is no sha256"
        if not KEY_SHAPE.fullmatch(key):
            return f"{KEY!r} is no object key of an archive"
    elif key is not approved:
        return f"it has {KEY if key else APPROVED!r} without {APPROVED if key else KEY!r}"
    if yanked is not None and not all(isinstance(yanked.get(part), str) for part in ("at", "reason")):
        return f"{YANKED!r} does not say when and why"
    return None
