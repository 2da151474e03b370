"""Checkpoints that are whole or nobody's: the last one to go on from, and the best one to end with.

A folder without its mark was being written, or being removed, when the process was killed. The mark also says what was
trained how: a checkpoint of another number of processes, say, would go on with other batches.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from release_tool.documents import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

MARK = "whole.json"
WEIGHTS = "weights.safetensors"
PREFIX = "checkpoint-"


def checkpoint(folder: Path, step: int) -> Path:
    """Return the folder of a step's checkpoint."""
    return folder / f"{PREFIX}{step}"


def _step(path: Path) -> int:
    number = path.name.removeprefix(PREFIX)
    return int(number) if number.isdigit() else -1


def mark(path: Path, layout: dict[str, Any], extra: dict[str, Any]) -> None:
    """Say that a checkpoint is whole.

    Args:
        path: its folder.
        layout: what must be the same for it to be taken.
        extra: state that the library's own files don't hold.
    """
    write_atomic(path / MARK, json.dumps({"layout": layout, "extra": extra}, sort_keys=True))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((path / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def last(folder: Path, layout: dict[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest whole checkpoint of the same layout and its extra state; what is not whole is removed."""
    found = None
    for path in sorted(folder.glob(f"{PREFIX}*"), key=_step):
        state = _read(path)
        if state is None or state.get("layout") != layout:
            remove(path)
        else:
            found = path, dict(state["extra"])
    return found


def remove(path: Path) -> None:
    """Remove a checkpoint, its mark first."""
    (path / MARK).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def sweep(folder: Path, kept: set[int]) -> None:
    """Remove the checkpoints of all other steps."""
    for path in folder.glob(f"{PREFIX}*"):
        if _step(path) not in kept:
            remove(path)
