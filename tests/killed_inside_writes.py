"""A command that dies inside of ``write_atomic``, before the file gets its name, as a program for ``python -c``."""

from __future__ import annotations

KILLED_INSIDE_A_WRITE = """
import os, pathlib, signal, sys
real = pathlib.Path.replace
def replace(self, target):
    if str(target).endswith(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, target)
pathlib.Path.replace = replace
from release_tool.cli import run
sys.exit(run(sys.argv[2:]))
"""
"""Arguments: how the path ends that is not written any more, then those of the command line."""
