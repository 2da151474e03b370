"""The document of a swap, and what is to be done next: pure, so that every order of events can be tried.

What a cluster shows is never written down: each pipeline is looked at before it is changed. The document holds what
can't be seen later: which model is to give way to which, where each pipeline named the old one, what was there before.
That is why a swap that was killed anywhere can be completed, and can be undone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from release_tool.core.ml.naming import places, value_at, with_values
from release_tool.core.ml.pipelines import Side

if TYPE_CHECKING:
    from collections.abc import Mapping

SWAP_NAME = "swap.json"


class Goal(StrEnum):
    """Where a swap is going."""

    FORWARD = "forward"
    BACK = "back"
    FINISH = "finish"


class Stage(StrEnum):
    """How far a swap has come; written before what it names is sent."""

    PLANNED = "planned"
    REGISTERING = "registering"
    DEPLOYING = "deploying"
    PROVING = "proving"
    SWITCHING = "switching"
    SWITCHED = "switched"
    RETURNING = "returning"
    REMOVING_NEW = "removing the new model"
    ROLLED_BACK = "rolled back"
    REMOVING_OLD = "removing the old model"
    FINISHED = "finished"


ENDED = frozenset({Stage.ROLLED_BACK, Stage.FINISHED})


class Position(StrEnum):
    """Which model a pipeline names at the places of a change."""

    OLD = "old"
    NEW = "new"
    MIXED = "mixed"
    """Some places name the one, some the other."""
    GONE = "gone"
    """There is no such pipeline any more."""
    OTHER = "other"
    """Somebody has changed it: some of the places are gone or name a third model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One pipeline that named the old model when it was looked at."""

    side: Side
    name: str
    before: dict[str, Any]
    """Its whole body, as it was."""
    places: tuple[str, ...]
    """JSON pointers at which it names the old model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What the new model answered on that cluster, beside the oracle."""

    probes: int
    worst: float | None
    """The largest difference; null where only answers are compared."""
    answers_sha256: str
    probes_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """swap.json."""

    SCHEMA: ClassVar[str] = "release-tool/swap@1"

    schema: str = "release-tool/swap@1"
    uses: dict[str, str] = field(default_factory=dict)
    cluster: str
    """The cluster's own unique id: an address may lead to another one tomorrow."""
    old: str
    new: str | None
    """Id of the new model; null until it is registered."""
    archive_sha256: str
    """Of the new model's archive."""
    there_before: tuple[str, ...]
    """Ids of the models with these bytes that were there before the swap: a rollback deletes none of them."""
    new_group: bool
    """Whether the new model's group comes with it, so that a rollback takes it away, too."""
    new_was_deployed: bool
    old_was_deployed: bool
    goal: Goal = Goal.FORWARD
    stage: Stage = Stage.PLANNED
    changes: tuple[Change, ...] = ()
    """Ingest pipelines first: documents are encoded by the new model before queries are."""
    proven: Proven | None = None
    stale: tuple[str, ...] = ()
    """Indices whose documents a person has let be older than the model."""


def plan_changes(pipelines: Mapping[Side, Mapping[str, Any]], old: str) -> tuple[Change, ...]:
    """Return a change for each pipeline that takes its model by the old id."""
    return tuple(
        Change(side=side, name=name, before=body, places=found)
        for side in (Side.INGEST, Side.SEARCH)
        for name, body in sorted(pipelines.get(side, {}).items())
        if (found := places(body, old))
    )


def merged(known: tuple[Change, ...], found: tuple[Change, ...], old: str, new: str | None) -> tuple[Change, ...]:
    """Return the changes of an earlier run with those that a new look adds.

    A pipeline that still names the old model is taken as it is now, with the places that were switched already; one
    that does not was switched, or is gone, and is kept as it was known.
    """
    fresh = {(change.side, change.name): change for change in found}
    result: list[Change] = []
    for change in known:
        now = fresh.pop((change.side, change.name), None)
        if now is None:
            result.append(change)
            continue
        done = tuple(place for place in change.places if new is not None and value_at(now.before, place) == new)
        both = tuple(dict.fromkeys((*now.places, *done)))
        result.append(replace(now, before=with_values(now.before, done, old), places=both))
    result += fresh.values()
    return tuple(sorted(result, key=lambda change: (change.side is Side.SEARCH, change.name)))


def position(change: Change, current: Any, old: str, new: str | None) -> Position:
    """Return which model a pipeline names now; ``current`` is null where it is gone."""
    if current is None:
        return Position.GONE
    named = {value_at(current, place) for place in change.places}
    if named == {old}:
        return Position.OLD
    if new is not None and named == {new}:
        return Position.NEW
    return Position.MIXED if named <= {old, new} - {None} else Position.OTHER


def next_put(
    swap: Swap, current: Mapping[tuple[Side, str], Any]
) -> tuple[Change, dict[str, Any]] | tuple[Change, None] | None:
    """Return the next pipeline to send with its body, by the swap's goal; null where all are as they should be.

    A change with no body is one that a person must look at: its pipeline is not as anybody here left it.

    Args:
        swap: has the id of the new model.
        current: side and name → body as the cluster has it now.
    """
    forward = swap.goal is not Goal.BACK
    wanted, target = (Position.NEW, swap.new) if forward else (Position.OLD, swap.old)
    for change in swap.changes if forward else reversed(swap.changes):
        body = current.get((change.side, change.name))
        now = position(change, body, swap.old, swap.new)
        if now in {wanted, Position.GONE}:
            continue
        if now is Position.OTHER:
            other = swap.old if forward else swap.new
            if other is None or not places(body, other):
                continue  # somebody wrote it anew, and it does not name the model that it must not name
            return change, None
        return change, with_values(body, change.places, target)
    return None


def can_roll_back(swap: Swap, *, old_is_there: bool) -> str | None:
    """Say why a swap can't be rolled back; null where it can."""
    if swap.stage is Stage.ROLLED_BACK:
        return "it is rolled back already"
    if not old_is_there:
        return f"the old model {swap.old} is deleted"
    return None
