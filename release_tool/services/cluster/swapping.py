"""Go through a swap, forward, back or to its end, from wherever an earlier run was killed.

Promises: swap.json is written before each step that changes something in the cluster; a pipeline is changed only after
it was looked at, and only where it names the one model or the other; the old model is deployed for as long as anything
may name it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.naming import places
from release_tool.core.ml.pipelines import put_pipeline
from release_tool.core.ml.swap import (
    ENDED,
    SWAP_NAME,
    Goal,
    Position,
    Stage,
    Swap,
    can_roll_back,
    merged,
    next_put,
    plan_changes,
    position,
)
from release_tool.errors import IntegrityError, UsageError
from release_tool.services.cluster.swap_looking import cluster_id, find_model, left, look, pipelines
from release_tool.services.cluster.swap_models import ensure_deployed, ensure_undeployed, same_bytes, take_away

if TYPE_CHECKING:
    from collections.abc import Callable

    from release_tool.console import Console
    from release_tool.core.ml.swap import Change
    from release_tool.core.ml.swap_fields import Left
    from release_tool.documents import WorkFolder
    from release_tool.services.cluster.sender import Sender

ROUNDS = 20
"""How often pipelines that somebody makes meanwhile, and that name the old model, are looked for once more."""


class Swapping:
    """One swap on one cluster."""

    def __init__(self, cluster: Sender, folder: WorkFolder, console: Console, swap: Swap) -> None:
        self.cluster = cluster
        self.folder = folder
        self.console = console
        self.swap = swap

    def save(self, **changes: Any) -> None:
        """Write down what is about to happen."""
        self.swap = replace(self.swap, **changes)
        self.folder.write(SWAP_NAME, self.swap)

    def check_cluster(self) -> None:
        """Refuse to go on with a swap of another cluster.

        Raises:
            UsageError: it is another one.
        """
        if cluster_id(self.cluster) != self.swap.cluster:
            raise UsageError(
                f"{SWAP_NAME} is about another cluster than {self.cluster.cluster.shown}.",
                hint="Name the cluster that it was begun on, or another folder with --work.",
            )

    def forward(
        self, register: Callable[[], str], prove: Callable[[Swap, str], dict[str, Any]], rehearse: Callable[[], None]
    ) -> None:
        """Bring the new model, prove it, and let every pipeline name it.

        Args:
            register: registers its archive and returns its id; what is there by its hash is used.
            prove: asks it the probes and returns what is to be written down; raises where it may not be switched to.
            rehearse: runs what is to be switched with the new model; raises where that fails.

        Raises:
            IntegrityError: a pipeline was changed by somebody else.
            RemoteFailed, ValidationFailed, ServiceUnable, Unreachable: run again, or roll back.
        """
        if self.swap.new is None or find_model(self.cluster, self.swap.new) is None:
            self.save(goal=Goal.FORWARD, stage=Stage.REGISTERING, new=None, proven=None)
            self.save(new=register())
        new = str(self.swap.new)
        self.save(goal=Goal.FORWARD, stage=Stage.DEPLOYING)
        ensure_deployed(self.cluster, new, self.console)
        self.save(stage=Stage.PROVING)
        self.save(**prove(self.swap, new))
        self.look_again()
        rehearse()
        self.save(stage=Stage.SWITCHING)
        for _ in range(ROUNDS):
            self._put_all()
            if not self.look_again():
                break
        self.save(stage=Stage.SWITCHED)

    def look_again(self) -> bool:
        """Take in pipelines that name the old model and were not known; tell whether there are any."""
        found = plan_changes(pipelines(self.cluster), self.swap.old)
        changes = merged(self.swap.changes, found, self.swap.old, self.swap.new)
        if changes != self.swap.changes:
            self.save(changes=changes)
        return bool(found)

    def _put_all(self) -> None:
        while True:
            seen = pipelines(self.cluster)
            current = {(side, name): body for side, bodies in seen.items() for name, body in bodies.items()}
            step = next_put(self.swap, current)
            if step is None:
                return
            change, body = step
            if body is None:
                raise _changed(change, current.get((change.side, change.name)), self.swap)
            to = self.swap.old if self.swap.goal is Goal.BACK else self.swap.new
            self.console.info(f"The {change.side} pipeline {change.name} names {to} now.")
            self.cluster.send(put_pipeline(change.side, change.name, body))

    def back(self) -> None:
        """Let every pipeline name the old model again, and take the new one away as far as the swap brought it.

        Raises:
            UsageError: the old model is deleted, or the swap is rolled back already.
            IntegrityError: a pipeline was changed by somebody else.
            RemoteFailed, ServiceUnable, Unreachable: run again.
        """
        reason = can_roll_back(self.swap, old_is_there=find_model(self.cluster, self.swap.old) is not None)
        if reason:
            raise UsageError(f"The swap can't be rolled back: {reason}.", hint="Begin a new swap with ml swap OLD NEW.")
        if self.swap.stage is not Stage.REMOVING_NEW:
            self.save(goal=Goal.BACK, stage=Stage.RETURNING)
            if self._positions() & {Position.NEW, Position.MIXED, Position.OTHER}:
                ensure_deployed(self.cluster, self.swap.old, self.console)
            self._put_all()
            self.save(stage=Stage.REMOVING_NEW)
        self._remove_new()
        self.save(stage=Stage.ROLLED_BACK)

    def _positions(self) -> set[Position]:
        seen = pipelines(self.cluster)
        swap = self.swap
        return {position(one, seen[one.side].get(one.name), swap.old, swap.new) for one in swap.changes}

    def _remove_new(self) -> None:
        """Take away what the swap brought; what was there before it is put back into its state."""
        now = pipelines(self.cluster)
        ours = {self.swap.new} if self.swap.new else set()
        # Killed between the registration and its being written down, the model is known by its bytes only.
        if self.swap.archive_sha256 and self.swap.new is None:
            ours |= set(same_bytes(self.cluster, self.swap.archive_sha256))
        for model_id in sorted(one for one in ours if one):
            users = [name for bodies in now.values() for name, body in bodies.items() if places(body, model_id)]
            if users:
                self.console.warning(f"The model {model_id} stays: pipelines name it ({', '.join(sorted(users))}).")
            elif model_id not in self.swap.there_before:
                take_away(self.cluster, model_id, with_group=self.swap.new_group)
            elif not self.swap.new_was_deployed:
                ensure_undeployed(self.cluster, model_id)

    def finish(self, *, despite: bool) -> tuple[Left, ...]:
        """Take the old model away; return what still names it outside of pipelines.

        Args:
            despite: also where something names it that a swap can't change.

        Raises:
            UsageError: the swap is not complete, or something still names the old model.
        """
        if self.swap.stage not in {Stage.SWITCHED, Stage.REMOVING_OLD}:
            raise UsageError(
                f"The swap is not complete: it stands at {self.swap.stage}.",
                hint="Run ml swap again to complete it, or ml swap --rollback.",
            )
        seen = look(self.cluster)
        still = plan_changes(seen.pipelines, self.swap.old)
        if still:
            names = ", ".join(f"{change.side} pipeline {change.name}" for change in still)
            raise UsageError(f"The old model is still named by {names}.", hint="Run ml swap again: it switches them.")
        rest = left(self.cluster, seen, self.swap.old)
        if rest and not despite:
            raise UsageError(
                "The old model is still named by what a swap does not change:\n"
                + "\n".join(f"  - {one.where}: {one.todo}" for one in rest),
                hint="Change them, or name --despite-mentions.",
            )
        self.save(goal=Goal.FINISH, stage=Stage.REMOVING_OLD)
        take_away(self.cluster, self.swap.old, with_group=False)
        self.save(stage=Stage.FINISHED)
        return rest


def _changed(change: Change, body: Any, swap: Swap) -> IntegrityError:
    other = (swap.new if swap.goal is Goal.BACK else swap.old) or ""
    return IntegrityError(
        f"Somebody changed the {change.side} pipeline {change.name} while it was being switched: it names {other} at"
        f" {', '.join(places(body, other))}, where it was not known to.",
        hint="Put the other model's id there by hand, or take the model out, and run again.",
    )


def read_swap(folder: WorkFolder) -> Swap | None:
    """Return the swap of a work folder; null where there is none.

    Raises:
        IntegrityError: swap.json is there and is not what its schema says.
    """
    if not folder.has(SWAP_NAME):
        return None
    swap: Swap = folder.read(Swap, SWAP_NAME, made_by="ml swap")
    return swap


def open_swap(folder: WorkFolder) -> Swap | None:
    """Return the swap of a work folder that has not ended."""
    swap = read_swap(folder)
    return None if swap is None or swap.stage in ENDED else swap


def changes_of(cluster: Sender, old: str) -> tuple[Change, ...]:
    """Return the pipelines that name a model now."""
    return plan_changes(pipelines(cluster), old)
