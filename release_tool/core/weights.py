"""Which files of a model hold its weights, decided by name alone.

The loaders prefer safetensors over pickle and read one file or a numbered set; other variants that lie beside
(``model.fp16.safetensors``, ONNX) are not loaded. Refusals stand in ``core.snapshot_files``; this here only counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from release_tool.core.plan import PlannedFile

_SAFETENSORS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")
_PICKLE = re.compile(r"pytorch_model(-\d{5}-of-\d{5})?\.bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFiles:
    """The weights of one folder of a model."""

    format: str | None
    """``safetensors`` or ``pickle``; null without any."""
    paths: tuple[str, ...]
    size: int
    """Bytes of all paths."""


def weights_in(files: Iterable[PlannedFile], folder: str) -> WeightFiles:
    """Return the weights in ``folder`` (empty: the model's root); sub-folders are not looked at."""
    prefix = f"{folder}/" if folder else ""
    here = [
        (file.path.removeprefix(prefix), file)
        for file in files
        if file.path.startswith(prefix) and "/" not in file.path.removeprefix(prefix)
    ]
    for name, pattern in (("safetensors", _SAFETENSORS), ("pickle", _PICKLE)):
        found = sorted((file for base, file in here if pattern.fullmatch(base)), key=lambda file: file.path)
        single = [file for file in found if "-of-" not in file.path.rsplit("/", 1)[-1]]
        chosen = single or found
        if chosen:
            return WeightFiles(
                format=name,
                paths=tuple(file.path for file in chosen),
                size=sum(file.size for file in chosen),
            )
    return WeightFiles(format=None, paths=(), size=0)
