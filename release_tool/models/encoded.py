"""What a block of texts or pairs became: one file, whole or absent, with a digest over its numbers.

The file's name is made of the content of the block, its folder of who answered, so an interrupted run goes on where it
ended and a second archive is compared with answers that are there already.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from release_tool.documents import write_atomic
from release_tool.models.answers import REQUIRED, content_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from release_tool.core.kinds import ModelKind

DIGEST = "digest"


def kept(arrays: Mapping[str, np.ndarray], kind: ModelKind) -> dict[str, np.ndarray]:
    """Return the arrays that ranking needs: those of the kind, without inputs and lengths."""
    return {name: np.ascontiguousarray(arrays[name]) for name in REQUIRED[kind]}


def write_block(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays atomically.

    Raises:
        MachineError: the disk is full.
    """
    digest = np.frombuffer(content_of(arrays).encode(), np.uint8)
    buffer = io.BytesIO()
    everything: dict[str, Any] = {**arrays, DIGEST: digest}
    np.savez(buffer, **everything)
    write_atomic(path, buffer.getvalue())


def read_block(path: Path, kind: ModelKind, count: int) -> dict[str, np.ndarray] | None:
    """Return the arrays of a block of so many texts; null where there are none that hold."""
    try:
        # numpy leaves a file open that it opened itself and that is no archive.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    digest = arrays.pop(DIGEST, None)
    if (
        digest is None
        or set(arrays) != set(REQUIRED[kind])
        or digest.tobytes().decode("ascii", "replace") != content_of(arrays)
    ):
        return None
    first = arrays[REQUIRED[kind][0]]
    rows = len(first) - 1 if REQUIRED[kind][0] == "indptr" else len(first)
    return arrays if rows == count else None
