"""The program as a job would have it: what its lock does not hold is not there, and every run is written down."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import re
import shlex
import sys
from pathlib import Path

import release_tool

SITE = '''"""Know only what the lock of the job holds."""

import sys
from importlib.machinery import PathFinder

MODULES = frozenset({modules})
PACKAGES = frozenset({packages})


class Locked(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname in MODULES else super().find_spec(fullname, path, target)

    @classmethod
    def find_distributions(cls, *context):
        for found in super().find_distributions(*context):
            if found.metadata["Name"].lower().replace("_", "-").replace(".", "-") not in PACKAGES:
                yield found


sys.meta_path[sys.meta_path.index(PathFinder)] = Locked
'''
START = "import sys; sys.argv[0] = 'release-tool'; from release_tool.cli import main; main()"
SCRIPT = """#!/usr/bin/env bash
# Write down how the program was called, then become it.
{{ printf '%s\\0' {lock} "$@"; printf '\\0'; env -0; }} >"$STAND_IN_RECORDS/$(date +%s%N)-$$"
export PYTHONPATH={path}
exec {python} -P -c {start} "$@"
"""


@functools.cache
def modules():
    """Return the top modules of this environment → the packages that bring them."""
    return {
        name: frozenset(re.sub(r"[-_.]+", "-", each).lower() for each in brought)
        for name, brought in importlib.metadata.packages_distributions().items()
    }


def make_programs(folder, checkout):
    """Write one folder a lock, to be put on PATH, and return the folder above."""
    own = Path(release_tool.__file__).resolve().parent.parent
    path = [] if own.is_relative_to(Path(sys.prefix).resolve()) else [str(own)]
    for lock in sorted((checkout / "requirements").glob("*.txt")):
        target = folder / lock.stem
        target.mkdir(parents=True)
        held = set(re.findall(r"^([a-z0-9][a-z0-9.-]*)==", lock.read_text(encoding="utf-8"), re.MULTILINE))
        held |= {"release-tool", "pip", "setuptools"}
        gone = sorted(name for name, brought in modules().items() if not brought & held)
        packages = sorted({name for brought in modules().values() for name in brought} - held)
        (target / "python").mkdir()
        site = SITE.format(modules=json.dumps(gone), packages=json.dumps(packages))
        (target / "python" / "sitecustomize.py").write_text(site, encoding="utf-8")
        text = SCRIPT.format(
            lock=shlex.quote(lock.stem),
            path=shlex.quote(":".join([str(target / "python"), *path])),
            python=shlex.quote(sys.executable),
            start=shlex.quote(START),
        )
        (target / "release-tool").write_text(text, encoding="utf-8")
        (target / "release-tool").chmod(0o755)
    return folder
