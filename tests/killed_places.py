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
import sys
from functools import partial
from pathlib import Path

from forking import run_in_child, run_program


def killed_everywhere(work, stage, *, modules, places, step=1):
    """Run the program, and return (digests, how many runs were killed).

    Args:
        work: folder that the stage can be run in; each kill has a copy of it.
        stage: name of the command.
        modules: what is imported before anything is forked.
        places: "module:name" of functions before each call of which a kill comes, one after the other over all of them.
        step: how many calls later each run is killed than the one before.
    """
    job = {"work": work, "stage": stage, "modules": modules, "places": places, "step": step}
    said = json.loads(run_program(__file__, job).stdout)
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
        arguments = ["-q", "--work", str(copy), "finetune", job["stage"]]
        code = run_in_child(arguments, partial(kill_self, job["places"], number * job["step"]))
        if code not in (0, -signal.SIGKILL):
            raise SystemExit(f"the stage ended with {code}")
        if code and run_in_child(arguments):
            raise SystemExit(f"the stage can't go on after kill {number}")
        digests.append(digest(copy, job["stage"]))
        shutil.rmtree(copy)
        if code == 0:
            break
        killed += 1
    sys.stdout.write(json.dumps({"digests": digests, "killed": killed}) + "\n")


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
