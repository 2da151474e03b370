"""How fast and how large the archives are, as rows of the review page; every verdict is ``Speed``'s own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.page import SIGN, Level, SpeedRow
from release_tool.core.quantity import clip, number_text, size_text
from release_tool.core.speed import SLOWER, over, over_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.core.certificate import Certificate
    from release_tool.core.speed import Measured, Speed, Times


def speed_rows(certificate: Certificate) -> tuple[SpeedRow, ...]:
    """Return a row a ring; none where nothing was measured."""
    speed = certificate.speed
    planned = certificate.plan.budgets or {}
    return () if speed is None else tuple(_row(speed, measured, planned) for measured in speed.measured)


def _row(speed: Speed, measured: Measured, planned: Mapping[str, float]) -> SpeedRow:
    reasons = (*over_size(speed.size, speed.budgets), *over(measured, speed.size, speed.budgets))
    judged = set(measured.judged()).intersection(speed.budgets)
    doubtful = _open(speed, measured)
    level = Level.STOP if reasons else Level.OK if judged and not doubtful else Level.NOTE
    nothing = "left open" if doubtful else "not judged" if speed.budgets else "no budget"
    verdict = {Level.STOP: "over budget", Level.OK: "within budget", Level.NOTE: nothing}[level]
    memory = (measured.loaded_bytes, measured.peak_bytes)
    return SpeedRow(
        artifact=clip(speed.artifact, 60),
        variant=speed.variant,
        ring=measured.ring,
        level=level,
        sign=SIGN[level],
        verdict=verdict,
        size=size_text(speed.size),
        load=f"{measured.load_seconds:.2f} s",
        memory=" / ".join(size_text(count) for count in memory if count is not None) or "not told",
        times=tuple(_times(times) for times in measured.times),
        beside=_beside(measured),
        note="; ".join(_notes(speed, measured, planned)),
        reasons=tuple(clip(reason) for reason in reasons),
    )


def _open(speed: Speed, measured: Measured) -> tuple[str, ...]:
    """Return the lengths at which the rounds do not tell whether the budget is kept."""
    limit = speed.budgets.get(SLOWER)
    if limit is None or measured.beside is None:
        return ()
    return tuple(f"{ratio.tokens} tokens" for ratio in measured.beside.ratios if ratio.is_open(limit))


def _times(times: Times) -> str:
    return f"{times.tokens} tokens: {times.p50_ms:.1f} / {times.p95_ms:.1f} ms"


def _beside(measured: Measured) -> tuple[str, ...]:
    other = measured.beside
    if other is None:
        return ()
    return (
        clip(other.file_name, 80),
        *(f"{ratio.tokens} tokens: x{ratio.ratio:.2f} ({ratio.low:.2f} to {ratio.high:.2f})" for ratio in other.ratios),
    )


def _notes(speed: Speed, measured: Measured, planned: Mapping[str, float]) -> list[str]:
    notes = [f"{measured.rounds} rounds on {clip(measured.machine, 100)}"]
    if measured.note:
        notes.append(clip(measured.note))
    if speed.not_judged():
        notes.append(f"not judged: {', '.join(speed.not_judged())}")
    if doubtful := _open(speed, measured):
        notes.append(f"left open by the rounds: {', '.join(doubtful)}")
    # bench takes budgets in the place of the plan's: an approver has read the plan's.
    notes += [
        f"{clip(name, 40)} {number_text(speed.budgets[name])} in the place of the plan's {number_text(limit)}"
        for name, limit in planned.items()
        if name in speed.budgets and speed.budgets[name] != limit
    ]
    notes += [f"the plan's {clip(name, 40)} was left out" for name in planned if name not in speed.budgets]
    return notes
