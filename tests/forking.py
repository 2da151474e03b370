"""Programs of tests that fork: everything is imported once in a process of its own, and a run costs a fork."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def run_program(file, job, *, seconds=300):
    """Run a program with a job on stdin, and return what it did; it ended with exit code 0.

    Args:
        file: the program.
        job: goes there as JSON, what is no JSON as text.
        seconds: that all of it may take.
    """
    import release_tool

    done = subprocess.run(
        [sys.executable, file],
        input=json.dumps(job, default=str),
        env={**os.environ, "PYTHONPATH": str(Path(release_tool.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr
    return done


def run_in_child(arguments, prepare=None):
    """Run the command line in a fork, and return its exit code, or minus the signal that ended it.

    Args:
        arguments: of ``release-tool``.
        prepare: called in the child before.
    """
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if prepare is not None:
            prepare()
        from release_tool.cli import run

        code = run(arguments)
        sys.stderr.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
