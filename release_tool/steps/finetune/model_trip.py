"""The round trip by the base model, in a process of its own."""

from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING

from release_tool.core.finetune.stages import Stage
from release_tool.documents import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np

    from release_tool.core.finetune.filtering import Judged
    from release_tool.document_table import DocumentTable
    from release_tool.steps.finetune.running import Work

MODULE = "release_tool.models.finetune.round_trip"
FOLDER, BEFORE = "model", "before.npy"


class ModelTrip:
    """Knows of each query how many documents come before its own, near duplicates left out."""

    def __init__(self, work: Work, table: DocumentTable, asked: Iterator[Judged]) -> None:
        """Let the model search for all queries at once.

        Args:
            work: of the stage.
            table: of the documents.
            asked: all queries that are asked, in order.

        Raises:
            UnsupportedModel: the base can't be loaded.
            MachineError: out of memory or disk.
        """
        import numpy as np

        folder = work.scratch / FOLDER
        folder.mkdir(exist_ok=True)
        numbers, places = _write(folder, asked)
        self._depth = work.recipe.filter.round_trip_depth
        self._numbers = np.array(numbers, np.int64)
        self._before: np.ndarray = np.zeros(0, np.int64)
        if len(numbers):
            np.save(folder / "places.npy", np.array(places, np.int64))
            np.save(folder / "groups.npy", table.groups)
            _run(work, folder, 2 * len(numbers) + len(table), len(table))
            self._before = np.load(folder / BEFORE)

    def found(self, asked: Sequence[Judged]) -> list[bool]:
        """See ``RoundTrip``."""
        import numpy as np

        rows = np.searchsorted(self._numbers, [one.number for one in asked])
        return [bool(count < self._depth) for count in self._before[rows]]


def _write(folder: Path, asked: Iterator[Judged]) -> tuple[array[int], array[int]]:
    """Write texts of queries and names of their documents; return the queries' numbers and the documents' places."""
    numbers, places = array("q"), array("q")
    with (
        (folder / "queries.jsonl").open("w", encoding="utf-8") as queries,
        (folder / "names.jsonl").open("w", encoding="utf-8") as names,
    ):
        for one in asked:
            queries.write(json.dumps(one.query.text) + "\n")
            names.write(json.dumps(one.query.document) + "\n")
            numbers.append(one.number)
            places.append(one.place)
    return numbers, places


def _run(work: Work, folder: Path, total: int, documents: int) -> None:
    from release_tool.steps.finetune.models_there import model_folder
    from release_tool.workers import start

    job = {
        "folder": str(model_folder(work, "base").absolute()),
        "kind": work.recipe.model.kind,
        "max_length": work.recipe.model.max_length,
        "corpus": str(work.of(Stage.CORPUS).absolute()),
        "documents": documents,
        "out": str((folder / "out").absolute()),
    }
    job |= {name: str((folder / f"{name}.jsonl").absolute()) for name in ("queries", "names")}
    job |= {name: str((folder / f"{name}.npy").absolute()) for name in ("places", "groups")}
    write_atomic(folder / "job.json", json.dumps(job))
    if (folder / BEFORE).is_file():
        return
    with work.context.console.progress("Encode", total, "texts") as bar:
        child = start("round trip", MODULE, ["--job", str(folder / "job.json")], debug=work.context.debug, gpu=True)
        try:
            child.wait(work.context.console, bar.reach)
        finally:
            child.stop()
    (folder / "out" / BEFORE).replace(folder / BEFORE)
