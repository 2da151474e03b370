"""Publish again and again, killed with SIGKILL at one request after the other, and each time once more to the end.

A program of its own, because it forks: everything is imported once, and a run costs a fork. It reads a job from stdin
and prints what became of each run: ``[exit code or minus the signal, exit code of the run after it]``.
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
import threading
from functools import partial
from pathlib import Path

from forking import run_in_child, run_program

IMPORTS = (
    "botocore.httpsession", "release_tool.cli", "release_tool.lock", "release_tool.services.bucket_folder",
    "release_tool.services.buckets", "release_tool.steps.approved", "release_tool.steps.listing",
    "release_tool.steps.listing_asking", "release_tool.steps.publish", "release_tool.steps.publishing",
    "release_tool.steps.settings",
)  # fmt: skip
"""What a child would import otherwise, each anew."""
FOLDER_CALLS = ("head", "read", "digest", "write", "send", "remove")


def killed_at_every_request(arguments, addresses, *, when, start=None, again=True, step=1, part_bytes=None):
    """Run the program, and return what it says.

    Args:
        arguments: of ``release-tool``, without --to.
        addresses: one a kill; the first run that ends by itself is the last.
        when: ``before`` or ``after`` the request.
        start: a folder whose copy each address begins with.
        again: whether each killed run is followed by one that is not.
        step: how many requests later each run is killed than the one before.
        part_bytes: of the parts in which large files are sent, where others than usual.
    """
    job = {"arguments": arguments, "addresses": addresses, "when": when, "start": start, "again": again, "step": step,
           "part_bytes": part_bytes}  # fmt: skip
    return json.loads(run_program(__file__, job).stdout)


def main():
    job = json.load(sys.stdin)
    for name in IMPORTS:
        importlib.import_module(name)
    from release_tool import documents
    from release_tool.services import bucket_s3
    from release_tool.steps import review_reading

    os.fsync = lambda _: None  # a kill loses nothing that was written; only a power cut does
    documents.PART_BYTES = job["part_bytes"] or documents.PART_BYTES
    probes = review_reading.packaged_probes()
    review_reading.packaged_probes = lambda: probes
    if any(address.startswith("s3:") for address in job["addresses"]):
        client = bucket_s3.make_client(bucket_s3.SENDERS + 1)
        bucket_s3.make_client = lambda _: client
    gc.freeze()
    said = []
    for number, address in enumerate(job["addresses"]):
        if job["start"]:
            shutil.copytree(job["start"], address.removeprefix("file://"))
        arguments = [*job["arguments"], "--to", address]
        first = run_in_child(arguments, partial(kill_self, number * job["step"], job["when"]))
        said.append([first, run_in_child(arguments) if job["again"] and first != 0 else None])
        if first == 0:
            break
    sys.stdout.write(f"{json.dumps(said)}\n")


def kill_self(number, when):
    """Make this process kill itself before or after a request: of S3, or one that a folder stands for."""
    from botocore.httpsession import URLLib3Session

    from release_tool.services.bucket_folder import FolderBucket

    counter, lock = itertools.count(), threading.Lock()

    def dying(method):
        def call(*args, **named):
            with lock:
                last = next(counter) == number
            if last and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            found = method(*args, **named)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return call

    URLLib3Session.send = dying(URLLib3Session.send)
    for name in FOLDER_CALLS:
        setattr(FolderBucket, name, dying(getattr(FolderBucket, name)))
    # What a folder does inside: between each two of these a kill leaves something else.
    for owner, name in ((os, "link"), (Path, "replace"), (Path, "unlink")):
        setattr(owner, name, dying(getattr(owner, name)))


if __name__ == "__main__":
    main()
