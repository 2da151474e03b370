"""Which operators each libtorch and each onnxruntime knows: the tables of ``data/*-operators.json``.

``lookup`` answers one of three words, because a table may not know: a name that no version of the table has is a
question, not a fault.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Known(StrEnum):
    """What a table says about an operator."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionTable:
    """Names by version of a library."""

    versions: tuple[str, ...]
    names: dict[str, str]
    """Name → one ``0`` or ``1`` a version."""

    def lookup(self, name: str, version: str) -> Known:
        """Tell whether a version knows a name; a name that no listed version has is unknown."""
        mask = self.names.get(name)
        if mask is None or version not in self.versions:
            return Known.UNKNOWN
        return Known.YES if mask[self.versions.index(version)] == "1" else Known.NO


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTables:
    """Both tables."""

    torch: VersionTable
    """``namespace::name`` by version of libtorch."""
    contrib: VersionTable
    """Names of com.microsoft by version of onnxruntime."""
    standard: dict[str, dict[str, tuple[int, int | None]]]
    """Domain → operator → (first opset, opset that deprecated it)."""

    def onnx_lookup(self, operator: str, *, opset: int, onnxruntime: str) -> Known:
        """Tell whether an onnxruntime can resolve ``domain::Name`` at the opset that the model imports."""
        domain, _, name = operator.rpartition("::")
        if domain == "com.microsoft":
            found = self.contrib.lookup(name, onnxruntime)
            # onnxruntime registers com.microsoft whole: what none of its versions knows is somebody's own.
            return Known.NO if found is Known.UNKNOWN and onnxruntime in self.contrib.versions else found
        if domain not in self.standard:
            return Known.NO
        entry = self.standard[domain].get(name)
        if entry is None:
            return Known.UNKNOWN
        first, deprecated = entry
        return Known.YES if first <= opset and (deprecated is None or opset < deprecated) else Known.NO


def parse_tables(torch_text: str, onnx_text: str) -> OperatorTables:
    """Read both data files."""
    torch, onnx = json.loads(torch_text), json.loads(onnx_text)
    return OperatorTables(
        torch=_versions(torch),
        contrib=_versions(onnx["contrib"]),
        standard={
            domain: {name: (first, deprecated) for name, (first, deprecated) in table.items()}
            for domain, table in onnx["standard"].items()
        },
    )


def _versions(data: dict[str, Any]) -> VersionTable:
    names = {name: mask for mask, group in data["operators"].items() for name in group.split()}
    return VersionTable(versions=tuple(data["versions"]), names=names)
