"""References to code in a model's configuration: ``module.Class``, or ``org/name--module.Class`` elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.request import MODEL_ID_PATTERN
from release_tool.errors import SourceError, UnsupportedModel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def check_own(references: Iterable[str], model_id: str, folders: Iterable[str], paths: Collection[str]) -> None:
    """Refuse a model whose configuration wants code of its own that it does not have.

    Args:
        references: as the configuration has them.
        model_id: ``org/name``.
        folders: of its modules; code lies there or at the root.
        paths: every file of the model.

    Raises:
        UnsupportedModel: a file of Python is missing.
    """
    prefixes = ["", *(f"{folder}/" for folder in folders if folder)]
    for reference in references:
        repository, _, own = reference.rpartition("--")
        file = own.split(".", 1)[0] + ".py"
        if repository in ("", model_id) and not any(prefix + file in paths for prefix in prefixes):
            raise UnsupportedModel(
                f"The model wants {reference} and has no {file}.",
                hint="The model is incomplete; choose another --revision.",
            )


def code_repositories(references: Iterable[str], model_id: str) -> tuple[str, ...]:
    """Return the other repositories before ``--``, sorted.

    Raises:
        SourceError: one is no model id.
    """
    repositories = dict.fromkeys(ref.split("--", 1)[0] for ref in references if "--" in ref)
    for repository in repositories:
        if not MODEL_ID_PATTERN.fullmatch(repository):
            raise SourceError(
                f"The model wants code from {repository!r}, which is no model id.",
                hint="Repair auto_map in the model's config.json.",
            )
    return tuple(sorted(set(repositories) - {model_id}))
