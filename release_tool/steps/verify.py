"""``release-tool verify``: a job of a workflow looks at what the jobs before it handed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from release_tool.core.handover import MAKES, PAID
from release_tool.steps import emit

if TYPE_CHECKING:
    from collections.abc import Collection

    from release_tool.documents import WorkFolder
    from release_tool.global_options import Context

HELP = """Hold what other jobs handed on against what they said.

Every file of the work folder must be one that an earlier job made, with the sha256 that this job gave as its output
``files``; every file so named must be there. Anything else ends here with exit code 7. The files of the snapshot are
named by source.json, and looked at by the commands that use them. No job answers for what was paid for when a model is
tuned, an attempt that failed kept it: with --paid it may be here, and nothing but such files.

\b
Examples:
  release-tool verify --needs "$NEEDS"                 # GitHub's toJSON(needs)
  release-tool verify --needs "$NEEDS" --from review --from publish
"""
MAY_LACK = {"archives": "archives/", "notice": "notice.json", "stages": "finetune/"}
"""What a job may go without → how its files' paths begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was handed on, and is what it should be."""

    files: dict[str, str]
    """Path → sha256."""


@click.command(help=HELP, short_help="Hold what other jobs handed on against what they said.")
@click.option("--needs", required=True, metavar="JSON", help="GitHub's toJSON(needs) of this job.")
@click.option("--before", metavar="JSON", help="The same of the job that called this workflow.")
@click.option(
    "--from",
    "makers",
    multiple=True,
    type=click.Choice(sorted(MAKES)),
    help="Only what this command made is here; repeatable.  [default: everything]",
)
@click.option("--lacks", multiple=True, type=click.Choice(sorted(MAY_LACK)), help="These may stay away; repeatable.")
@click.option("--snapshot", is_flag=True, help="The snapshot is here, too.")
@click.option("--paid", is_flag=True, help="Answers that were paid for may be here, too.")
@click.pass_obj
def command(
    context: Context,
    needs: str,
    before: str | None,
    makers: tuple[str, ...],
    lacks: tuple[str, ...],
    *,
    snapshot: bool,
    paid: bool,
) -> None:
    """Verify the work folder."""
    said = (needs,) if before is None else (before, needs)
    found = run_verify(context, said, makers=makers or MAKES, lacks=lacks, snapshot=snapshot, paid=paid)
    emit(context, f"{len(found.files)} files are what the jobs before have made.", found)


def run_verify(
    context: Context,
    needs: tuple[str, ...],
    *,
    makers: Collection[str] = MAKES,
    lacks: Collection[str] = (),
    snapshot: bool = False,
    paid: bool = False,
) -> Verified:
    """Hold the files of the work folder against the outputs of jobs.

    Args:
        context: of the command.
        needs: as ``core.handover.expected`` takes them.
        makers: whose files are here.
        lacks: names of ``MAY_LACK`` that need not be there. A notice that no job gave out is removed: it is that of an
            earlier attempt, and says nothing of this one.
        snapshot: whether the snapshot lies in the work folder.
        paid: whether what was paid for may lie there.

    Raises:
        IntegrityError: a file is missing, changed, or was made by nobody; an output is not to be trusted.
    """
    from release_tool.core.handover import HINT, expected
    from release_tool.documents import WorkFolder
    from release_tool.errors import IntegrityError

    work = WorkFolder(context.work)
    wanted = {path: sha256 for path, (sha256, maker) in expected(*needs).items() if maker in makers}
    there = _files_in(work, snapshot=snapshot)
    there = {path for path in there if not (paid and PAID.fullmatch(path) and not work.path(path).is_symlink())}
    stale = {path for name in lacks for path in there - set(wanted) if path == MAY_LACK[name]}
    for path in sorted(stale):
        work.path(path).unlink()
        context.console.warning(f"{path} is of an attempt that nobody answers for, and is removed.")
    free = tuple(MAY_LACK[name] for name in lacks)
    problems = [f"{path} was made by no job" for path in sorted(there - stale - set(wanted))]
    for path, sha256 in sorted(wanted.items()):
        if path not in there:
            problems += [] if path.startswith(free) else [f"{path} is gone"]
        elif work.path(path).is_symlink() or work.sha256(path) != sha256:
            problems.append(f"{path} is not what its job made")
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems[:20])
        raise IntegrityError(f"The work folder is not what the jobs handed on:\n{lines}", hint=HINT)
    return Verified(files={path: sha256 for path, sha256 in wanted.items() if path in there})


def _files_in(work: WorkFolder, *, snapshot: bool) -> set[str]:
    from release_tool.core.source import SourceSnapshot
    from release_tool.steps.handing import files_in

    files = set(files_in(work))
    return {path for path in files if not (snapshot and path.startswith(f"{SourceSnapshot.FOLDER}/"))}
