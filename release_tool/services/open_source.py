"""Open the source behind a MODEL: a folder here, or a model of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from release_tool.errors import ModelNotFound

if TYPE_CHECKING:
    from release_tool.services.sources import Source


def open_source(
    model: str | Path,
    *,
    revision: str | None,
    model_id: str | None = None,
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
) -> Source:
    """Return the source behind the MODEL that a person gave.

    Args:
        model: a folder here, or ``org/name`` on the hub.
        revision: branch, tag or commit; for a folder ``None``, or the ``sha256:`` revision that it
            must still have.
        model_id: what to call a folder instead of ``local/<folder name>``; a hub's models have their own.
        allow_pickle: take pickle weights where there is nothing better.
        trust_remote_code: take the Python files that the model asks for.

    Raises:
        ModelNotFound: the text looks like a path and no folder is there.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        from release_tool.services.folder import FolderSource

        return FolderSource(
            path,
            revision=revision,
            model_id=model_id,
            allow_pickle=allow_pickle,
            trust_remote_code=trust_remote_code,
        )
    text = str(model)
    if isinstance(model, Path) or text.startswith((".", "/", "~")) or path.exists():
        raise ModelNotFound(
            f"{text!r} is no folder here.", hint="Give the folder of a model, or an id such as org/name."
        )
    from release_tool.services.hub import HubSource

    return HubSource(text, revision=revision, allow_pickle=allow_pickle, trust_remote_code=trust_remote_code)
