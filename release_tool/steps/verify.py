"""``release-tool verify``: a job of a workflow looks at what the jobs before it handed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from release_tool.cli import Context

HELP = """Hold what other jobs handed on against what they said.

Every file of the work folder must be one that an earlier job made, with the sha256 that this job gave as its output
``files``; every file so named must be there. Anything else ends here with exit code 7. The files of the snapshot are
named by source.json, and looked at by the commands that use them.

\b
Examples:
  release-tool verify --made plan:"$PLAN" --made fetch:"$SOURCE"
  release-tool verify --documents --made plan:"$PLAN" --made trace:"$ARCHIVES"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was handed on, and is what it should be."""

    files: dict[str, str]
    """Path → sha256."""


@click.command(help=HELP, short_help="Hold what other jobs handed on against what they said.")
@click.option("--made", multiple=True, required=True, metavar="MAKER:JSON", help="Output of a job, in their order.")
@click.option("--documents", is_flag=True, help="The archives stay away: this job does not need them.")
@click.pass_obj
def command(context: Context, made: tuple[str, ...], *, documents: bool) -> None:
    """Verify the work folder."""
    found = run_verify(context, made, documents=documents)
    emit(context, f"{len(found.files)} files are what the jobs before have made.", found)


def run_verify(context: Context, made: tuple[str, ...], *, documents: bool = False) -> Verified:
    """Hold the files of the work folder against the outputs of jobs.

    Args:
        context: of the command.
        made: as ``core.handover.expected`` takes them.
        documents: archives need not be there.

    Raises:
        IntegrityError: a file is missing, changed, or was made by nobody; an output is not to be trusted.
    """
    from release_tool.core.handover import HINT, expected
    from release_tool.core.source import SourceSnapshot
    from release_tool.documents import WorkFolder
    from release_tool.errors import IntegrityError
    from release_tool.steps.handing import files_in

    work = WorkFolder(context.work)
    wanted = expected(made)
    there = {path for path in files_in(work) if not path.startswith(f"{SourceSnapshot.FOLDER}/")}
    problems = [f"{path} was made by no job" for path in sorted(there - set(wanted))]
    for path, sha256 in sorted(wanted.items()):
        if path not in there and documents and path.startswith("archives/"):
            continue
        if path not in there:
            problems.append(f"{path} is gone")
        elif work.path(path).is_symlink() or work.sha256(path) != sha256:
            problems.append(f"{path} is not what its job made")
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems[:20])
        raise IntegrityError(f"The work folder is not what the jobs handed on:\n{lines}", hint=HINT)
    return Verified(files={path: sha256 for path, sha256 in wanted.items() if path in there})
