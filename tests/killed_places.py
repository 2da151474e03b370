"""Run a stage again and again, killed with SIGKILL at one place after the other, and each time once more to the end.

A program of its own, because it forks: everything is imported once, and a run costs a fork. It reads a job from stdin
and prints the digest of what each killed run and its successor made together, and how many of them were killed.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path


def killed_everywhere(work, stage, *, modules, places, step=1):
    """Run the program, and return (digests, how many runs were killed).

    Args:
        work: folder that the stage can be run in; each kill has a copy of it.
        stage: name of the command.
        modules: what is imported before anything is forked.
        places: "module:name" of functions before each call of which a kill comes, one after the other over all of them.
        step: how many calls later each run is killed than the one before.
    """
    import release_tool

    job = {"work": str(work), "stage": stage, "modules": modules, "places": places, "step": step}
    package = str(Path(release_tool.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps(job), env={**os.environ, "PYTHONPATH": package},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    return said["digests"], said["killed"]


def main():
    job = json.load(sys.stdin)
    for name in ("release_tool.cli", f"release_tool.steps.finetune.{job['stage'].replace('-', '_')}", *job["modules"]):
        importlib.import_module(name)
    os.fsync = lambda _: None  # a kill loses nothing that was written; only a power cut does
    gc.freeze()
    digests, killed = [], 0
    for number in itertools.count():
        copy = Path(job["work"] + f"-{number}")
        shutil.copytree(job["work"], copy)
        code = child(copy, job, number * job["step"])
        if code not in (0, -signal.SIGKILL):
            raise SystemExit(f"the stage ended with {code}")
        if code and child(copy, job, None):
            raise SystemExit(f"the stage can't go on after kill {number}")
        digests.append(digest(copy, job["stage"]))
        shutil.rmtree(copy)
        if code == 0:
            break
        killed += 1
    sys.stdout.write(json.dumps({"digests": digests, "killed": killed}) + "\n")


def child(work, job, kill_at):
    """Run the stage in a child, and return its exit code, or minus the signal that ended it."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if kill_at is not None:
            kill_self(job["places"], kill_at)
        from release_tool.cli import run

        code = run(["-q", "--work", str(work), "finetune", job["stage"]])
        sys.stderr.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def kill_self(places, number):
    """Make this process kill itself before a call."""
    counter = itertools.count()

    def dying(function):
        def call(*args, **named):
            if next(counter) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **named)

        return call

    for place in places:
        module, _, name = place.partition(":")
        owner, _, attribute = name.rpartition(".")
        holder = importlib.import_module(module)
        holder = getattr(holder, owner) if owner else holder
        setattr(holder, attribute, dying(getattr(holder, attribute)))


def digest(work, stage):
    from release_tool.core.finetune.stages import Stage
    from release_tool.run_folder import RunFolder

    return RunFolder.below(work).finished(Stage(stage)).digest


if __name__ == "__main__":
    main()
