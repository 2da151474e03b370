"""A command that asks Jenkins, killed with SIGKILL at one call after the other, and each time once more to the end.

A program of its own, because it forks: everything is imported once, and a run costs a fork. It reads a job from stdin
and prints a line for each kill: ``[exit code or minus the signal, exit code of the run after it]``. A call is a request
to Jenkins, a document written, or an object written into a folder that stands for a bucket.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path

from forking import run_program

IMPORTS = ("jenkins", "release_tool.cli", "release_tool.steps.listing_asking")
"""What a child would import otherwise, each anew."""
LIMIT = 60
"""More calls than any command makes."""
SECONDS_PASSED = 30
"""Nothing is waited for, but the time has passed all the same: an object is older when anybody asks."""


def job_name(point):
    """Return the job of Jenkins that the run is about which is killed at that call."""
    return f"job-{point}"


def killed_at_every_call(command, base, *, when, start=None, lost=None):
    """Run the program, and return the pair of exit codes of each run; the first that ends by itself is the last.

    Args:
        command: arguments of the command; ``{place}`` is the folder of a run, which holds ``work``.
        base: where the folders of the runs are made.
        when: ``before`` or ``after`` the call.
        start: a work folder of which each run gets a copy.
        lost: name of a document of the work folder that is gone when it is run again.
    """
    done = run_program(__file__, {"command": command, "base": base, "when": when, "start": start, "lost": lost})
    codes = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert codes[-1] == [0, 0], done.stderr
    assert codes[:-1] == [[-signal.SIGKILL, 0]] * (len(codes) - 1), done.stderr
    return codes


def main():
    for name in IMPORTS:
        importlib.import_module(name)
    import requests

    from release_tool import documents
    from release_tool.services import clock
    from release_tool.services.bucket_folder import FolderBucket

    job = json.load(sys.stdin)
    clock.Clock.sleep = lambda *_: None
    FolderBucket.head = older(FolderBucket.head)
    death = Death(job["when"])
    requests.Session.send = death.after(requests.Session.send)
    documents.write_atomic = death.after(documents.write_atomic)
    FolderBucket.write = death.after(FolderBucket.write)
    for point in range(LIMIT):
        place = Path(job["base"]) / str(point)
        if job["start"]:
            shutil.copytree(job["start"], place / "work")
        arguments = ["--work", str(place / "work"), "-q", *(word.format(place=place) for word in job["command"])]
        arguments += ["--job", job_name(point)]
        first = child(arguments, job_name(point), death, point)
        if job["lost"]:
            (place / "work" / job["lost"]).unlink(missing_ok=True)
        then = child(arguments, job_name(point), death, None)
        sys.stdout.write(json.dumps([first, then]) + "\n")
        sys.stdout.flush()
        if first == 0:
            break


class Death:
    """Kills this process at a call, before or after it is done, once somebody has said at which."""

    def __init__(self, when):
        self.when = when
        self.left = None

    def after(self, method):
        """Return the method, which from now on counts as a call."""

        def call(*args, **named):
            if self.left is None:
                return method(*args, **named)
            self.left -= 1
            if self.left < 0 and self.when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            found = method(*args, **named)
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return call


def older(head):
    """Return a folder's ``head`` by which objects were written some time ago."""

    def later(self, key):
        found = head(self, key)
        if found is not None:
            object.__setattr__(found, "age", found.age + SECONDS_PASSED)
        return found

    return later


def child(arguments, job, death, left):
    """Run the command line in a child that is killed after so many calls, null for never; return how it ended."""
    process = os.fork()
    if process == 0:
        death.left = left
        os.environ["RELEASE_TOOL_WEBHOOK_TOKEN"] += job
        from release_tool.cli import run

        code = 99
        try:
            code = run(arguments)
        finally:  # whatever it is, the child ends here, and says so
            if code == 99:
                traceback.print_exc()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


if __name__ == "__main__":
    main()
