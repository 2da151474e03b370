"""Every document of a run as numbers: its place in the corpus, its group, its split; and its id by its place.

The arrays lie in a folder and are mapped, so that ten million documents take disk and not memory: 21 bytes a document,
and its id.
"""

from __future__ import annotations

import json
import os
import shutil
from array import array
from hashlib import blake2b
from typing import TYPE_CHECKING

from release_tool.core.finetune.dividing import SPLITS
from release_tool.core.finetune.records import Grouped, Placed
from release_tool.documents import disk_error
from release_tool.errors import IntegrityError
from release_tool.part_files import parts, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import Self

    import numpy as np

IDS, MADE_OF = "ids.bin", "made-of.json"
ARRAYS = ("ends", "hashes", "order", "groups", "splits")
HINT = "Run the stages again: release-tool finetune run."


class DocumentTable:
    """Looks up documents by id and by place; ``open`` makes it."""

    def __init__(self, folder: Path) -> None:
        """Map the arrays of a folder."""
        import numpy as np

        # An empty file can't be mapped.
        ids = np.memmap(folder / IDS, np.uint8, "r") if (folder / IDS).stat().st_size else np.zeros(0, np.uint8)
        self._ids: np.ndarray = np.asarray(ids)
        # As plain arrays: memmap's own indexing takes ten times as long.
        mapped = (np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in ARRAYS)
        ends, hashes, order, groups, splits = mapped
        self._ends: np.ndarray = ends
        self._hashes: np.ndarray = hashes
        self._order: np.ndarray = order
        self.groups: np.ndarray = groups
        """int32 [documents]: a number a group."""
        self.splits: np.ndarray = splits
        """uint8 [documents]: place in ``SPLITS``."""

    @classmethod
    def open(cls, corpus: Path, places: Path, folder: Path) -> Self:
        """Open the table of a run, made where it is not there.

        Args:
            corpus: folder of stage corpus.
            places: folder of stage split.
            folder: where it is kept; made whole or not at all.

        Raises:
            IntegrityError: groups and splits are not those of the same documents.
            MachineError: the disk is full.
        """
        files = [*parts(corpus, Grouped.STEM), *parts(places, Placed.STEM)]
        made_of = json.dumps([[path.name, path.stat().st_size] for path in files])
        known = folder / MADE_OF
        if not (known.is_file() and known.read_text(encoding="utf-8") == made_of):
            try:
                _build(_rows(corpus, places), folder, made_of)
            except OSError as error:
                raise disk_error(error, folder) from error
        return cls(folder)

    def __len__(self) -> int:
        """Return how many documents there are."""
        return len(self._ends)

    def id(self, place: int) -> str:
        """Return the id of a document."""
        first = int(self._ends[place - 1]) if place else 0
        return bytes(self._ids[first : int(self._ends[place])]).decode()

    def place(self, wanted: str) -> int | None:
        """Return the place of an id; null where the corpus does not hold it."""
        import numpy as np

        key = np.uint64(_hash(wanted))
        first, end = (int(self._hashes.searchsorted(key, side)) for side in ("left", "right"))
        return next((place for place in map(int, self._order[first:end]) if self.id(place) == wanted), None)

    def split(self, place: int) -> str:
        """Return the split of a document."""
        return SPLITS[self.splits[place]]


def _rows(corpus: Path, places: Path) -> Iterator[tuple[str, str, str]]:
    """Yield id, group, split of every document, in order.

    Raises:
        IntegrityError: the two stages do not tell of the same documents.
    """
    try:
        for group, place in zip(read_rows(corpus, Grouped), read_rows(places, Placed), strict=True):
            if group.id != place.id:
                raise IntegrityError("Groups and splits are not those of the same documents.", hint=HINT)
            yield group.id, group.group, place.split
    except ValueError as error:  # zip's: one is longer
        raise IntegrityError("There are not as many groups as splits.", hint=HINT) from error


def _build(rows: Iterable[tuple[str, str, str]], folder: Path, made_of: str) -> None:
    import numpy as np

    aside = folder.with_name(f"{folder.name}.part{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    ends, hashes, groups, splits, end = array("Q"), array("Q"), array("Q"), array("B"), 0
    with (aside / IDS).open("wb") as ids:
        for name, group, split in rows:
            data = name.encode()
            ids.write(data)
            end += len(data)
            ends.append(end)
            hashes.append(_hash(name))
            groups.append(_hash(group))
            splits.append(SPLITS.index(split))
    found = np.frombuffer(hashes, np.uint64) if hashes else np.empty(0, np.uint64)
    order = np.argsort(found, kind="stable")
    # Two groups with one hash, once in 10^7 such corpora of ten million, would leave out a document more than need be.
    _, numbered = np.unique(np.frombuffer(groups, np.uint64) if groups else found, return_inverse=True)
    made: tuple[np.ndarray, ...] = (
        np.array(ends, np.uint64),
        found[order],
        order.astype(np.uint32),
        numbered.astype(np.int32),
        np.array(splits, np.uint8),
    )
    for name, one in zip(ARRAYS, made, strict=True):
        np.save(aside / f"{name}.npy", one)
    (aside / MADE_OF).write_text(made_of, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
