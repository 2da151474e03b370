"""Which judged sets are measured: those that are named, else the shipped one and those of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from release_tool.core.quality import SHIPPED_SET
from release_tool.errors import Fault, RequestError
from release_tool.packaged import packaged_set
from release_tool.sets import JudgedSet, open_set

if TYPE_CHECKING:
    from release_tool.global_options import Context


def chosen_sets(context: Context, folders: tuple[Path, ...], named: tuple[str, ...]) -> tuple[JudgedSet, ...]:
    """Look through the sets and return them.

    Args:
        context: says where the repository lies.
        folders: of --set; with none, the shipped set and those of the settings.
        named: folders that the settings name, relative to the repository.

    Raises:
        RequestError: two sets have one name.
        UsageError: a set can't be read or says what it can't.
    """
    found = [(path.resolve().name, path) for path in folders]
    if not folders:
        found = [(SHIPPED_SET, packaged_set()), *((Path(name).name, context.repo / name) for name in named)]
    names = [name for name, _ in found]
    faults = [
        Fault("--set", f"two sets have the name {name[:80]!r}", "give one of the folders another name")
        for name in dict.fromkeys(names)
        if names.count(name) > 1 or (name == SHIPPED_SET and folders)
    ]
    if faults:
        raise RequestError(tuple(faults))
    sets = tuple(open_set(path, name) for name, path in found)
    for judged in sets:
        if judged.empty:
            ids = ", ".join(judged.empty[:5])
            context.console.warning(f"{judged.name}: documents without a text, which nobody can find: {ids}.")
        if judged.unjudged:
            context.console.debug(f"{judged.name}: {judged.unjudged:,} queries have no judgement and are not asked.")
    return sets
