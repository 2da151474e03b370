"""Run a command of this tool in a process of its own that kills itself at a request, as kill -9 does."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["killed_swaps", "release_tool.steps.ml.swap_running", "release_tool.models.compare", "opensearchpy", "numpy"]
)


def run_killed(arguments: list[str], place: int, *, after: bool) -> bool:
    """Run a command that is killed at its n-th request that changes something, before it is sent or after its answer.

    Returns:
        Whether there was such a request; else the command ended well.
    """
    process = CONTEXT.Process(target=_command, args=(arguments, place, after))
    process.start()
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def _command(arguments: list[str], place: int, after: bool) -> None:
    from release_tool.cli import run
    from release_tool.services.cluster.transport import Cluster

    exchange = Cluster._exchange
    left = place

    def counted(self, request, timeout):
        nonlocal left
        if not request.repeatable and "/_simulate" not in request.path:
            left -= 1
            if left == 0 and not after:
                os.kill(os.getpid(), signal.SIGKILL)
        answer = exchange(self, request, timeout)
        if left == 0 and not request.repeatable:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    Cluster._exchange = counted
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os._exit(run(["-q", *arguments]))
