"""What source and archive must encode of a judged set, by the kind of the model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from release_tool.core.kinds import ModelKind

if TYPE_CHECKING:
    from collections.abc import Collection


class Part(StrEnum):
    """Which texts of a set."""

    DOCUMENTS = "documents"
    QUERIES = "queries"
    PAIRS = "pairs"
    """Queries with their candidates, for a re-ranker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One part, and who encodes it."""

    part: Part
    kind: ModelKind
    by_archive: bool = True
    """False where the archive serves only the other side: the source stands in, so that a loss is the archive's."""


def sides(kind: ModelKind, planned: Collection[ModelKind]) -> tuple[Side, ...]:
    """Return what an archive of a kind is measured on; documents come first.

    Where a release holds a sparse encoder and a tokenizer, documents are encoded by the one and queries by the other,
    as neural sparse search without inference does.
    """
    if kind is ModelKind.CROSS_ENCODER:
        return (Side(part=Part.PAIRS, kind=kind),)
    both = {ModelKind.SPARSE, ModelKind.SPARSE_TOKENIZER}
    if kind in both and both <= set(planned):
        return (
            Side(part=Part.DOCUMENTS, kind=ModelKind.SPARSE, by_archive=kind is ModelKind.SPARSE),
            Side(part=Part.QUERIES, kind=ModelKind.SPARSE_TOKENIZER, by_archive=kind is ModelKind.SPARSE_TOKENIZER),
        )
    return Side(part=Part.DOCUMENTS, kind=kind), Side(part=Part.QUERIES, kind=kind)
