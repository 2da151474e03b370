"""The real node: OpenSearch with ML Commons on this machine, started, found again, and ended.

One node a cache. Promises: ``up`` is safe to repeat; ``down`` ends exactly the process that was started, known by
number and start time or by the marker in its environment, so a killed tool leaves nothing that ``down`` can't find;
everything a start writes lies in one folder that ``down`` deletes.
"""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from release_tool.errors import IntegrityError, MachineError, ReleaseError, UsageError
from release_tool.services.cache import cache_folder, locked
from release_tool.services.jdk import find_jdk
from release_tool.services.mlcommons import Client
from release_tool.services.node_home import prepare
from release_tool.services.node_pins import pins_of
from release_tool.services.node_process import http_port, server_user
from release_tool.services.node_start import healthy_port, is_healthy, start
from release_tool.services.node_state import NodeState, processes_of, read_state, stop, write_state
from release_tool.services.processes import is_alive, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from release_tool.console import Console
    from release_tool.services.node_home import NodeHome


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that answers."""

    version: str
    """Of OpenSearch, as pinned."""
    port: int
    pid: int
    folder: Path
    libraries: dict[str, str]
    """What answers in it: opensearch, ml-commons, djl, libtorch, onnxruntime, tokenizers → version."""
    start_seconds: float
    """Seconds from the process's start to the first healthy answer."""

    @property
    def url(self) -> str:
        """The address for other programs on this machine."""
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Client:
        """Return a client of this node."""
        return Client("127.0.0.1", self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """What ``node status`` tells."""

    state: str
    """``down``, ``starting``, ``up``, ``silent`` (the process lives and does not answer) or ``dead``."""
    version: str | None = None
    url: str | None = None
    pid: int | None = None
    folder: str | None = None
    kept: bool | None = None
    resident_bytes: int | None = None
    start_seconds: float | None = None
    libraries: dict[str, str] = field(default_factory=dict)


def up(console: Console, *, env: Mapping[str, str], version: str | None = None, keep: bool = True) -> Node:
    """Start the node, or return the one that runs; get and prepare it first if need be.

    Args:
        console: where progress goes.
        env: the environment: cache, JDK, PATH.
        version: a pinned version, null for the default one.
        keep: a person's node, which stays until ``down``.

    Raises:
        MachineError: no JDK, no Maven, too little memory or disk, or the server did not come up (its words are in
            the message).
        Unreachable: the files can't be downloaded, or the server is not healthy in time.
        IntegrityError: other bytes than the pinned ones.
        UsageError: another version is running.
    """
    cache = cache_folder(env)
    name, pins = pins_of(version)
    started = False
    with locked(cache / "node" / "state.lock"):
        state = _running(cache)
        if state is not None:
            if state.version != name or state.pins != pins.digest:
                raise UsageError(
                    f"Another node is running: OpenSearch {state.version}.", hint="Run release-tool node down first."
                )
            if keep and not state.kept:
                state = replace(state, kept=True)
                write_state(cache, state)
        else:
            state = start(cache, name, pins, console, env=env, keep=keep)
            started = True
    try:
        return _wait(cache, state, console)
    except BaseException as error:
        # A failed start is of no use to anybody. An interrupt ends only what this call began for a person; what was
        # borrowed is given back by ``running_node``.
        if isinstance(error, ReleaseError) or (started and keep):
            _discard(cache, state)
        raise


def make_ready(console: Console, *, env: Mapping[str, str], version: str | None = None) -> NodeHome:
    """Get and prepare a node without starting it; errors as in ``up``."""
    name, pins = pins_of(version)
    jdk = find_jdk(env, minimum=pins.java, for_others=server_user() is not None)
    return prepare(cache_folder(env), name, pins, jdk, console, env=env)


def down(*, env: Mapping[str, str]) -> bool:
    """End the node and delete its folder; return False when there was none.

    Raises:
        MachineError: the process does not end, or belongs to another user.
    """
    cache = cache_folder(env)
    with locked(cache / "node" / "state.lock"):
        state = read_state(cache)
        if state is None:
            return False
        stop(cache, state)
    return True


def status(*, env: Mapping[str, str]) -> NodeStatus:
    """Tell what is there; changes nothing."""
    state = read_state(cache_folder(env))
    if state is None:
        return NodeStatus(state="down")
    processes = processes_of(state)
    pid = processes[0].pid if processes else None
    facts = NodeStatus(
        state="dead", version=state.version, pid=pid, folder=state.folder, kept=state.kept,
        start_seconds=state.start_seconds, libraries=state.libraries,
    )  # fmt: skip
    if pid is None:
        return facts
    facts = replace(facts, resident_bytes=resident_bytes(pid))
    port = state.port or http_port(Path(state.folder))
    if port is None:
        return replace(facts, state="starting")
    return replace(facts, state="up" if is_healthy(port) else "silent", url=f"http://127.0.0.1:{port}")


@contextmanager
def running_node(console: Console, *, env: Mapping[str, str], version: str | None = None) -> Iterator[Node]:
    """Lend a node: the one that runs, or one started now.

    Several processes may use it at once; the last one to leave ends it, unless ``node up`` was asked for it.

    Raises:
        ReleaseError: as ``up`` says.
    """
    cache = cache_folder(env)
    (cache / "node").mkdir(parents=True, exist_ok=True)
    with (cache / "node" / "users.lock").open("a") as users:
        # Shared by everybody who uses the node; a killed user lets go of it without doing anything.
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield up(console, env=env, version=version, keep=False)
        finally:
            _leave(cache, users.fileno())


def _leave(cache: Path, users: int) -> None:
    with locked(cache / "node" / "state.lock"):
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        state = read_state(cache)
        if state is not None and not state.kept:
            stop(cache, state)


def _running(cache: Path) -> NodeState | None:
    """Return the state of a node whose process lives; clean up after one that does not."""
    state = read_state(cache)
    if state is None:
        return None
    if state.process is not None and is_alive(state.process):
        return state
    # Started by a run that was killed before it could write the number down, or ended by itself: start afresh.
    stop(cache, state)
    return None


def _wait(cache: Path, state: NodeState, console: Console) -> Node:
    """Wait until the node answers, and write down where."""
    if state.port is not None and is_healthy(state.port):
        return _node(state, state.port)
    with console.step(f"Start OpenSearch {state.version}"):
        port, seconds = healthy_port(state)
    with locked(cache / "node" / "state.lock"):
        now = read_state(cache)
        if now is None or now.folder != state.folder:
            raise MachineError("The node was taken down while it started.", hint="Run release-tool node up again.")
        state = replace(now, port=port, start_seconds=now.start_seconds or seconds)
        write_state(cache, state)
    return _node(state, port)


def _discard(cache: Path, state: NodeState) -> None:
    with locked(cache / "node" / "state.lock"):
        now = read_state(cache)
        if now is not None and now.folder == state.folder:
            stop(cache, now)


def _node(state: NodeState, port: int) -> Node:
    if state.process is None:
        raise IntegrityError("state.json names a port and no process.", hint="Run release-tool node down.")
    return Node(
        version=state.version, port=port, pid=state.process.pid, folder=Path(state.folder),
        libraries=state.libraries, start_seconds=state.start_seconds or 0.0,
    )  # fmt: skip
