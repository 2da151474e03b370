"""Bring a pinned model of a run onto this machine: every byte checked, once, and offline from then on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from release_tool.documents import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.steps.finetune.running import Work

MODELS = "models"
WHOLE = ".whole"


def model_folder(work: Work, pin: str) -> Path:
    """Return the folder of a model of the plan, downloaded where that is needed.

    Args:
        work: of the stage.
        pin: its name in the plan: ``base``, ``teacher:0``, ``writer``.

    Raises:
        IntegrityError: a folder is not what it was when the run was planned.
        SourceError: the hub refuses.
        Unreachable: broken off; a second run goes on.
    """
    from release_tool.core.digest import sha256_bytes
    from release_tool.services.open_source import open_source
    from release_tool.steps.finetune.pinning import allows_pickle, models_of

    text = work.plan.pins[pin]
    folder = work.run.path / MODELS / f"{pin.replace(':', '-')}-{sha256_bytes(text.encode())[:16]}"
    if _is_whole(folder):
        return folder
    model, _ = models_of(work.recipe)[pin]
    place = work.place(model)
    source = open_source(
        place if place.is_dir() else model,
        revision=text.rpartition("@")[2],
        allow_pickle=allows_pickle(work.recipe, pin),
    )
    pinned = source.pin()
    folder.mkdir(parents=True, exist_ok=True)
    with work.context.console.progress(f"Download {model}", sum(file.size for file in pinned.files), "B") as bar:
        source.download(pinned.files, folder, bar.advance)
    write_atomic(folder / WHOLE, json.dumps(_digests(folder), sort_keys=True))
    return folder


def _digests(folder: Path) -> dict[str, str]:
    from release_tool.documents import file_sha256

    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != WHOLE)
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}


def _is_whole(folder: Path) -> bool:
    """Tell whether a model was brought here whole.

    Its bytes are looked at again: large files may share theirs with the folder that they came from, which somebody may
    write into.

    Raises:
        IntegrityError: it is not what it was.
    """
    from release_tool.errors import IntegrityError

    try:
        noted = json.loads((folder / WHOLE).read_bytes())
    except (OSError, ValueError):
        return False
    if noted != _digests(folder):
        raise IntegrityError(
            f"The model in {folder} is not the one that the run was planned with: a file of it was changed.",
            hint="Remove that folder, and run release-tool finetune plan again where the model itself has changed.",
        )
    return True
