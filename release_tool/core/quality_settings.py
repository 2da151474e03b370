"""The table ``[quality]`` of the settings: judged sets of a repository, and what its releases may lose.

.. code-block:: toml

    [quality]
    sets = ["sets/help-centre"]

    [quality.loss_points]    # of nDCG@10, by archives in float32
    dense = 0.1

    [quality.kept_per_cent]  # of the source's nDCG@10, by archives in int8
    cross-encoder = 98.5
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from release_tool.core.kinds import ModelKind
from release_tool.core.quality import POINTS, QUALITY_KINDS, Budgets
from release_tool.core.request import closest

if TYPE_CHECKING:
    from collections.abc import Callable

    from release_tool.errors import UsageError

MAX_SETS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitySettings:
    """What is measured beside the shipped set, and how much may be lost."""

    sets: tuple[str, ...] = ()
    """Folders, relative to the repository."""
    budgets: Budgets = field(default_factory=Budgets)


def parse_quality(found: Any, wrong: Callable[[str], UsageError]) -> QualitySettings:
    """Read the table strictly.

    Raises:
        UsageError: made by ``wrong``: a key that means nothing, a folder outside the repository, no percentage.
    """
    if not isinstance(found, dict):
        raise wrong("has something else than a table under quality")
    for key in found:
        if key not in ("sets", "loss_points", "kept_per_cent"):
            known = closest(key, ("sets", "loss_points", "kept_per_cent"))
            raise wrong(f"says quality.{key[:80]}, which means nothing: {known}")
    sets = found.get("sets", [])
    if not isinstance(sets, list) or not all(isinstance(one, str) and _inside(one) for one in sets):
        raise wrong("has no list of folders of the repository at quality.sets")
    if len(sets) > MAX_SETS:
        raise wrong(f"names more than {MAX_SETS} sets at quality.sets")
    budgets = Budgets(
        loss_points=_numbers(found.get("loss_points", {}), "quality.loss_points", wrong),
        kept_per_cent=_numbers(found.get("kept_per_cent", {}), "quality.kept_per_cent", wrong),
    )
    return QualitySettings(sets=tuple(sets), budgets=budgets)


def _inside(path: str) -> bool:
    return bool(path) and not path.startswith("/") and ".." not in path.split("/") and path.isprintable()


def _numbers(found: Any, where: str, wrong: Callable[[str], UsageError]) -> dict[ModelKind, float]:
    if not isinstance(found, dict):
        raise wrong(f"has no table at {where}")
    kinds = {kind.value: kind for kind in QUALITY_KINDS}
    numbers = {}
    for key, value in found.items():
        if key not in kinds:
            raise wrong(f"says {where}.{key[:80]}, which is no kind that searches: {closest(key, tuple(kinds))}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= POINTS:
            raise wrong(f"has no number from 0 to 100 at {where}.{key}")
        numbers[kinds[key]] = float(value)
    return numbers
