"""Group the documents that were read: sketches of every part, then the groups, then a row a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.finetune.records import Document, Grouped
from release_tool.models.finetune.near_duplicates import group
from release_tool.models.finetune.sketches import Pieces, SketchFiles
from release_tool.part_files import PartWriter, parts, read_part

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.console import Console

SKETCHES = "sketches"


def group_corpus(folder: Path, scratch: Path, similarity: float | None, console: Console) -> dict[str, float]:
    """Make the parts of groups, and return how many documents, groups and duplicates there are.

    Args:
        folder: of the stage, with its documents.
        scratch: of the stage; sketches in it are kept over a kill.
        similarity: the threshold; null where only exact duplicates are grouped.
        console: gets bars.

    Raises:
        MachineError: the disk is full.
    """
    import numpy as np

    files = SketchFiles(scratch / SKETCHES, similarity)
    documents = parts(folder, Document.STEM)
    with files, console.progress("Sketch the documents", len(documents), "parts") as bar:
        bar.set(files.parts)
        for path in documents[files.parts :]:
            files.add_part(read_part(path, Document))
            bar.advance()
    with console.progress("Group near duplicates", files.bands, "bands") as bar:
        named = group(files, bar.advance)
    with Pieces(files, "ids", "id-sizes", 1) as ids, PartWriter(folder, Grouped.STEM) as rows:
        for place, owner in enumerate(named.tolist()):
            rows.add(Grouped(id=ids.of(place).decode(), group=ids.of(owner).decode()))
    groups = int(np.count_nonzero(named == np.arange(len(named))))
    exact = int(np.count_nonzero(np.diff(np.sort(files.read("exact"))) == 0))
    return {
        "documents": len(named),
        "groups": groups,
        "exact_duplicates": exact,
        "near_duplicates": len(named) - groups - exact,
    }
