"""Start the server of a node: look whether there is room, spawn it in a folder of its own, wait until it is healthy.

What is started is written down before there is a process, so that ``services.node`` finds and ends it whatever happens.
"""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from release_tool.documents import disk_error
from release_tool.errors import MachineError, Unreachable
from release_tool.services.jdk import find_jdk
from release_tool.services.mlcommons import Client
from release_tool.services.node_home import check_disk, prepare
from release_tool.services.node_process import http_port, last_words, make_folder, run_parent, server_user, spawn
from release_tool.services.node_state import FOLDER_PREFIX, NodeState, stop, write_state
from release_tool.services.processes import ProcessId, available_memory, identify, is_alive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from release_tool.console import Console
    from release_tool.services.jdk import Jdk
    from release_tool.services.node_home import NodeHome
    from release_tool.services.node_pins import NodePins

MIN_MEMORY_BYTES = 3 * 1000**3
"""The process was seen to take 1.8 GB with one model; registering a large one takes more."""
START_SECONDS = 240
POLL_SECONDS = 0.25


def check_memory() -> None:
    """Refuse to start where the server would be killed for want of memory.

    Raises:
        MachineError: less than ``MIN_MEMORY_BYTES`` can be had.
    """
    free = available_memory()
    if free is not None and free < MIN_MEMORY_BYTES:
        raise MachineError(
            f"The real node needs {MIN_MEMORY_BYTES / 1e9:.0f} GB of free memory; {free / 1e9:.1f} GB can be had.",
            hint="Close other programs, or validate without --on node.",
        )


def start(
    cache: Path, version: str, pins: NodePins, console: Console, *, env: Mapping[str, str], keep: bool
) -> NodeState:
    """Spawn the server and return its state, written down; errors as ``services.node.up`` says."""
    check_memory()
    owner = server_user()
    jdk = find_jdk(env, minimum=pins.java, for_others=owner is not None)
    home = prepare(cache, version, pins, jdk, console, env=env)
    parent = run_parent(env, cache)
    check_disk(parent)
    folder = parent / f"{FOLDER_PREFIX}{secrets.token_hex(8)}"
    state = NodeState(
        version=version, pins=pins.digest, folder=str(folder), kept=keep, user=None if owner is None else owner[0],
        libraries={"opensearch": version, **home.prepared.libraries},
    )  # fmt: skip
    # Written before there is a process: whatever happens from here on, ``down`` finds the folder and the marker.
    write_state(cache, state)
    try:
        return _spawned(cache, state, home, jdk, env=env)
    except OSError as error:
        stop(cache, state)
        raise disk_error(error, folder) from error
    except BaseException:
        stop(cache, state)
        raise


def _spawned(cache: Path, state: NodeState, home: NodeHome, jdk: Jdk, *, env: Mapping[str, str]) -> NodeState:
    folder = Path(state.folder)
    # Fails if somebody else made it first: the parent may be open to all.
    folder.mkdir(mode=0o700)
    owner = server_user()
    make_folder(folder, home, owner)
    process = identify(spawn(folder, jdk, owner, env))
    state = replace(state, process=process)
    write_state(cache, state)
    return state


def healthy_port(state: NodeState) -> tuple[int, float]:
    """Wait until the server is healthy; return (port, seconds since the process began).

    Raises:
        MachineError: it ended; its last words are in the message.
        Unreachable: not in time.
    """
    folder, process = Path(state.folder), state.process
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process is None or not is_alive(process):
            raise MachineError(
                f"The server ended while it started: {last_words(folder)}",
                hint="Run release-tool doctor; with a damaged cache delete its node folder and run again.",
            )
        port = http_port(folder)
        if port is not None and is_healthy(port):
            return port, _age_seconds(process)
        time.sleep(POLL_SECONDS)
    raise Unreachable(
        f"The server was not healthy after {START_SECONDS} s: {last_words(folder)}",
        hint="The machine may be too busy; run again.",
    )


def is_healthy(port: int) -> bool:
    """Tell whether a server answers there and says that it is well."""
    with Client("127.0.0.1", port) as client:
        return client.is_healthy()


def _age_seconds(process: ProcessId) -> float:
    booted = time.clock_gettime(time.CLOCK_BOOTTIME)
    return round(booted - process.started_ticks / os.sysconf("SC_CLK_TCK"), 1)
