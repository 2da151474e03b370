"""A command that dies before it writes a file of the repository, as a program for ``python -c``."""

from __future__ import annotations

KILLED_AT_A_WRITE = """
import os, signal, sys
from release_tool.steps import worktree
left = int(sys.argv[1])
real = worktree.write_atomic
def write(path, data):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    real(path, data)
worktree.write_atomic = write
from release_tool.cli import run
sys.exit(run(sys.argv[2:]))
"""
"""Arguments: how many files are written before, then those of the command line."""
