"""Compatibility of an archive as rows of the review page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.opensearch import number
from release_tool.core.page import SIGN, CompatRow, Level
from release_tool.core.quantity import clip
from release_tool.core.verdicts import Basis

if TYPE_CHECKING:
    from release_tool.core.verdicts import Range

MAX_REASONS = 6


def compat_rows(artifact: str, ranges: tuple[Range, ...], targets: tuple[str, ...]) -> tuple[CompatRow, ...]:
    """Return one row a range, newest versions first; marked where a target of the plan lies in it."""
    rows = []
    for item in sorted(ranges, key=lambda one: number(one.first), reverse=True):
        level = _level(item)
        reasons = tuple(clip(reason, 400) for reason in item.reasons[:MAX_REASONS])
        more = len(item.reasons) - MAX_REASONS
        rows.append(
            CompatRow(
                artifact=clip(artifact, 60),
                versions=item.versions,
                level=level,
                sign=SIGN[level],
                verdict=item.word,
                basis=item.basis,
                reasons=(*reasons, f"and {more} more") if more > 0 else reasons,
                target=any(number(item.first) <= number(version) <= number(item.last) for version in targets),
            )
        )
    return tuple(rows)


def unread_row(artifact: str, why: str) -> CompatRow:
    """Return the row of an archive into which nobody could look."""
    return CompatRow(
        artifact=clip(artifact, 60),
        versions="every version",
        level=Level.ATTENTION,
        sign=SIGN[Level.ATTENTION],
        verdict="unknown",
        basis=Basis.UNKNOWN,
        reasons=(clip(why, 400),),
        target=True,
    )


def _level(item: Range) -> Level:
    if item.basis is Basis.UNKNOWN:
        return Level.ATTENTION
    if not item.deploys:
        return Level.STOP
    return Level.NOTE if item.reasons else Level.OK
