"""A command that dies after a request that changes something, as a program: it forks, so that a run costs no imports.

Each line of stdin is a job: arguments of the command line, and how many changing requests go well before the last one.
Each is answered by a line: the exit code, or minus the signal.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

IMPORTS = (
    "jinja2.sandbox", "release_tool.cli", "release_tool.lock", "release_tool.services.github_repository",
    "release_tool.steps.propose", "release_tool.steps.proposing", "release_tool.steps.recording", "requests",
)  # fmt: skip


@contextmanager
def mortal():
    """Run the program; yields a function: arguments, number → exit code of a run that dies after that request."""
    import release_tool

    package = str(Path(release_tool.__file__).parent.parent)
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": package},
        text=True,
    )

    def die(arguments, number):
        process.stdin.write(json.dumps([arguments, number]) + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    try:
        yield die
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=60)


def main():
    for name in IMPORTS:
        importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        arguments, number = json.loads(line)
        sys.stdout.write(f"{child(arguments, number)}\n")
        sys.stdout.flush()


def child(arguments, number):
    """Run the command line in a child that kills itself, and return how it ended."""
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        die_after(number)
        from release_tool.cli import run

        os._exit(run(arguments))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def die_after(number):
    """Let this process kill itself once the changing request of that number has been answered."""
    import requests

    send, left = requests.Session.send, [number]

    def dying(self, request, **options):
        answer = send(self, request, **options)
        if request.method != "GET":
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
        return answer

    requests.Session.send = dying


if __name__ == "__main__":
    main()
