"""Small judged sets on disk, and what can be wrong with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = {
    "d1": "The red apple tree stands behind the house.",
    "d2": "Trains are late when it snows in the mountains.",
    "d3": "A violin is smaller than a viola and sounds higher.",
    "d4": "Bees fly to the flowers of the apple tree in spring.",
    "d5": "Boil water with vinegar and the kettle is clean again.",
    "d6": "The library lends books for four weeks.",
}
ASKED = {"q1": "apple tree", "q2": "late trains in snow", "q3": "clean kettle", "q4": "nobody judged this"}
GRADES = (("q1", "d1", 2), ("q1", "d4", 1), ("q2", "d2", 1), ("q3", "d5", 3), ("q3", "d6", 0))


def write_set(
    folder: Path, *, texts: Any = None, asked: Any = None, grades: Any = None, qrels: str = "test.tsv"
) -> Path:
    """Write a set in BEIR's layout; a value of a text may be a whole line in bytes."""
    (folder / "qrels").mkdir(parents=True)
    for name, entries in (("corpus.jsonl", texts or TEXTS), ("queries.jsonl", asked or ASKED)):
        lines = [
            text if isinstance(text, bytes) else json.dumps({"_id": key, "text": text}).encode()
            for key, text in entries.items()
        ]
        (folder / name).write_bytes(b"\n".join(lines) + b"\n")
    rows = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in grades or GRADES)]
    (folder / "qrels" / qrels).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder
