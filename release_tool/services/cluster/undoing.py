"""Take away what a register request that failed has left, and only that."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from release_tool.core.ml.api import delete_group, delete_model, get_model, undeploy
from release_tool.errors import IntegrityError, Refused, ReleaseError, RemoteFailed, Unreachable, ValidationFailed
from release_tool.services.cluster.grouping import find_group, is_empty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.console import Console
    from release_tool.services.cluster.sender import Sender

DELETE_SECONDS = 60.0
GROUP_SECONDS = 20.0
PAUSE_SECONDS = 0.25
REFUSALS = (RemoteFailed, IntegrityError, ValidationFailed)
"""Errors after which running again would meet the same end, so that nothing need be kept for it."""


class Undo:
    """What was made on the way; ``undoing`` takes it away again."""

    def __init__(self) -> None:
        self.model_id: str | None = None
        self.group_id: str | None = None
        """Of a group that was made for this model."""
        self.group_name: str | None = None
        """Of a group that the server may have made by itself; there was none before."""


@contextmanager
def undoing(cluster: Sender, console: Console, *, keep: bool) -> Iterator[Undo]:
    """Run a register; after a refusal take away what it made, after a lost connection say what is there.

    Args:
        cluster: where it happens.
        console: for what stays.
        keep: leave everything as it is.
    """
    undo = Undo()
    try:
        yield undo
    except REFUSALS:
        if keep:
            _tell(console, undo, "is kept")
        else:
            _take_away(cluster, console, undo)
        raise
    except (Unreachable, KeyboardInterrupt):
        _tell(console, undo, "is there; run again to go on")
        raise


def _tell(console: Console, undo: Undo, what: str) -> None:
    for name, ident in (("model", undo.model_id), ("model group", undo.group_id)):
        if ident:
            console.warning(f"The {name} {ident} {what}.")


def _take_away(cluster: Sender, console: Console, undo: Undo) -> None:
    try:
        if undo.model_id:
            remove_model(cluster, undo.model_id)
        group_id = undo.group_id
        if group_id is None and undo.group_name is not None:
            found = find_group(cluster, undo.group_name)
            group_id = found.group_id if found else None
        if group_id and is_empty(cluster, group_id):
            remove_group(cluster, group_id)
    except ReleaseError as error:
        what = undo.model_id or undo.group_id or undo.group_name
        console.warning(f"What the failed register left ({what}) could not be taken away: {error}")


def remove_model(cluster: Sender, model_id: str, *, limit: float = DELETE_SECONDS) -> None:
    """Undeploy a model and delete it; one that is gone is no error.

    Raises:
        RemoteFailed, Unreachable: it is still there.
    """
    try:
        cluster.send(get_model(model_id))
        cluster.send(undeploy([model_id], generation=cluster.generation))
    except Refused as error:
        if error.status == 404:
            return
    deadline = time.monotonic() + limit
    while True:
        try:
            cluster.send(delete_model(model_id))
        except Refused as error:
            if error.status == 404:
                return
            # The state follows the undeploy a moment later; until then delete is refused. A remote model that was
            # being deployed by its first question when it was undeployed is deployed again after that.
            if "deployed state" not in error.said or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_SECONDS)
            with suppress(Refused):
                cluster.send(undeploy([model_id], generation=cluster.generation))
        else:
            return


def remove_group(cluster: Sender, group_id: str, *, limit: float = GROUP_SECONDS) -> None:
    """Delete a group whose models are gone; one that is gone is no error.

    The chunks of a deleted model name its group, and a search sees them until the next refresh: until then the server
    refuses.

    Raises:
        RemoteFailed, Unreachable: it is still there.
    """
    deadline = time.monotonic() + limit
    while True:
        try:
            cluster.send(delete_group(group_id))
        except Refused as error:
            if error.status == 404:
                return
            if "associated model" not in error.said or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return
