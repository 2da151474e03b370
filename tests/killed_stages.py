"""``finetune run``, killed with SIGKILL at one moment after the other, and each time once more to the end.

A program of its own, because it forks: everything is imported once, and a run costs a fork. It reads a job from stdin
and prints a line for each kill: exit code or minus the signal, exit code of the run after it, and the digest of every
stage then. A moment is before or after a file gets its name, a buffer reaches the disk, or an object is written into a
folder that stands for a bucket. Work of child processes goes on between two such moments and is lost with them.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path

from forking import run_in_child, run_program

IMPORTS = (
    "release_tool.cli", "release_tool.lock", "release_tool.part_files", "release_tool.run_folder",
    "release_tool.services.bucket_folder", "release_tool.services.finetune.state_keeper",
    "release_tool.steps.finetune.run", "release_tool.steps.finetune.running", "release_tool.services.folder",
)  # fmt: skip
"""What a child would import otherwise, each anew."""


def killed_at(first, then, base, *, points, start=None, toys=False, seconds=300, part_rows=None, imports=()):
    """Run the program and return a dict a kill: ``point``, ``codes`` and ``digests`` (stage → digest).

    Args:
        first: arguments of the run that is killed; ``{place}`` is a folder of its own.
        then: arguments of the run after it.
        base: where the folders of the runs are made.
        points: moments, from 0; the first run that ends by itself is the last. "" counts them only.
        start: a folder of which each run gets a copy as ``{place}``.
        toys: whether tests/toy_stages.py stand in the place of the stages.
        seconds: that all of it may take.
        part_rows: rows of a part file, where others than usual.
        imports: modules of the stages that run; their unlinking of files has moments, too.
    """
    job = {"first": first, "then": then, "base": base, "points": points, "start": start,
           "toys": toys, "part_rows": part_rows, "imports": imports}  # fmt: skip
    done = run_program(__file__, job, seconds=seconds)
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert all(one["codes"][-1] == 0 for one in said), done.stderr
    return said


def main():
    job = json.load(sys.stdin)
    from release_tool import part_files

    part_files.PART_ROWS = job["part_rows"] or part_files.PART_ROWS  # before those are imported that take it
    for name in (*IMPORTS, *job["imports"]):
        importlib.import_module(name)
    if job["toys"]:
        import toy_stages

        toy_stages.put_for_good()
        from release_tool.services import extras

        extras.require_finetune_extras = lambda _: None
    os.fsync = lambda _: None  # a kill loses nothing that was written; only a power cut does
    gc.freeze()
    points = job["points"]
    for point in range(10_000) if points == "all" else points:
        place = Path(job["base"]) / str(point)
        if job["start"]:
            shutil.copytree(job["start"], place)
        dying = partial(kill_self, point, unlinks=bool(job["imports"]))
        codes = [run_in_child([word.format(place=place) for word in job["first"]], dying)]
        if codes[0] != 0:
            codes.append(run_in_child([word.format(place=place) for word in job["then"]]))
        work = place / ("work" if len(codes) == 1 else "again" if (place / "again").is_dir() else "work")
        sys.stdout.write(json.dumps({"point": point, "codes": codes, "digests": digests(work)}) + "\n")
        sys.stdout.flush()
        if codes[0] == 0:
            return
        shutil.rmtree(place)


def digests(work):
    """Return stage → digest of what is finished; files that are not what they were are an error."""
    from release_tool.core.finetune.stages import Stage
    from release_tool.run_folder import RunFolder

    run = RunFolder.below(work)
    return {stage.value: state.digest for stage in Stage if (state := run.finished(stage)) is not None}


def kill_self(number, *, unlinks):
    """Make this process kill itself at a moment, of which each call below has two: before it and after it."""
    count = 0

    def tick():
        nonlocal count
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    def dying(method):
        def call(*args, **named):
            tick()
            found = method(*args, **named)
            tick()
            return found

        return call

    from release_tool.services.bucket_folder import FolderBucket

    moments = [(Path, "replace"), (os, "fsync"), (FolderBucket, "write")]
    for owner, name in [*moments, (Path, "unlink")] if unlinks else moments:
        setattr(owner, name, dying(getattr(owner, name)))


if __name__ == "__main__":
    main()
