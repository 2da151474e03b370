"""Copy artifacts out of the store as actions/download-artifact does: one into the folder itself, several by name."""

import fnmatch
import os
import re
import shutil
import sys
from pathlib import Path

BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")


def spread(pattern):
    """Return the patterns that one with ``{a,b}`` stands for."""
    braces = BRACES.search(pattern)
    if braces is None:
        return [pattern]
    start, end = braces.span()
    return [one for choice in braces[1].split(",") for one in spread(pattern[:start] + choice + pattern[end:])]


def main():
    store, workspace = Path(os.environ["STAND_IN_STORE"]), Path(os.environ["GITHUB_WORKSPACE"])
    name, target = os.environ["NAME"], workspace / os.environ["TARGET"]
    there = sorted(path.name for path in store.iterdir() if not path.name.startswith("."))
    if name:
        if name not in there:
            sys.exit(f"::error::Unable to download artifact(s): Artifact not found for name: {name}")
        copy(store / name, target)
        return
    patterns = spread(os.environ["PATTERN"] or "*")
    wanted = [each for each in there if any(fnmatch.fnmatchcase(each, pattern) for pattern in patterns)]
    for each in wanted:
        copy(store / each, target if os.environ["MERGE"] == "true" else target / each)
    sys.stdout.write(f"Total of {len(wanted)} artifact(s) downloaded: {' '.join(wanted)}\n")


def copy(artifact, target):
    """Unpack one artifact; a file of the same name is replaced."""
    target.mkdir(parents=True, exist_ok=True)
    shutil.copytree(artifact, target, copy_function=shutil.copyfile, dirs_exist_ok=True)


main()
