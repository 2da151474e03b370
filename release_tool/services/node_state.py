"""What is written down about the real node while it runs, and how it is ended from that."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from release_tool.core.codec import encode_text
from release_tool.documents import read_document, write_atomic
from release_tool.errors import IntegrityError, MachineError
from release_tool.services.node_process import MARKER
from release_tool.services.processes import ProcessId, carrying, end, is_alive

STOP_SECONDS = 20.0
FOLDER_PREFIX = "release-tool-node-"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """state.json: the node that runs, or is being started."""

    SCHEMA: ClassVar[str] = "release-tool/node-state@1"

    schema: str = "release-tool/node-state@1"
    version: str
    pins: str
    folder: str
    """Everything of this start lies here."""
    process: ProcessId | None = None
    """Null from before the start until its number is known; the marker finds it then."""
    port: int | None = None
    """HTTP on the loopback address; null until the server is up."""
    kept: bool = False
    """True when a person asked for it (``node up``): only ``node down`` ends it."""
    user: int | None = None
    """The user that the server runs as, where that is not the one who started it."""
    start_seconds: float | None = None
    libraries: dict[str, str] = field(default_factory=dict)


def state_path(cache: Path) -> Path:
    """Return where the state of a cache's node lies."""
    return cache / "node" / "state.json"


def read_state(cache: Path) -> NodeState | None:
    """Return the state, null where there is no node.

    Raises:
        IntegrityError: the file is damaged, or names a folder that no start made.
    """
    try:
        text = state_path(cache).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        state = read_document(NodeState, text, "state.json", made_by="node up")
    except IntegrityError as error:
        raise IntegrityError(str(error), hint=f"End the server by hand, then delete {state_path(cache)}.") from error
    if not Path(state.folder).name.startswith(FOLDER_PREFIX):
        raise IntegrityError(f"state.json names a folder that is no node's: {state.folder}", hint="Delete state.json.")
    return state


def write_state(cache: Path, state: NodeState) -> None:
    """Write the state, whole or not at all."""
    write_atomic(state_path(cache), encode_text(state))


def processes_of(state: NodeState) -> tuple[ProcessId, ...]:
    """Return the living processes of a node: the one that was written down, and those that carry its marker."""
    marked = carrying(MARKER, state.folder)
    known = (state.process,) if state.process is not None and is_alive(state.process) else ()
    return known + tuple(item for item in marked if item not in known)


def stop(cache: Path, state: NodeState) -> None:
    """End a node, delete its folder and its state.

    Raises:
        MachineError: a process belongs to another user, or does not end.
    """
    # While it starts, the server is a shell that starts others: looked for again until nothing is left.
    while processes := processes_of(state):
        for process in processes:
            _end(process)
    folder = Path(state.folder)
    if folder.is_dir():
        shutil.rmtree(folder)
    state_path(cache).unlink(missing_ok=True)


def _end(process: ProcessId) -> None:
    try:
        gone = end(process, patience=STOP_SECONDS)
    except PermissionError as error:
        raise MachineError(
            f"The node's process {process.pid} belongs to another user.", hint="Run node down as that user."
        ) from error
    if not gone:
        raise MachineError(
            f"The node's process {process.pid} does not end.", hint="Look at it with ps, then run node down again."
        )
