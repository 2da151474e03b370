"""``release-tool fetch``: bring the planned files into the work folder, every byte checked."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import click

from release_tool.steps import emit

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.plan import PlannedFile, ReleasePlan
    from release_tool.core.source import SourceFile, SourceSnapshot
    from release_tool.documents import WorkFolder
    from release_tool.global_options import Context
    from release_tool.services.sources import Source

PLAN = "plan.json"
SOURCE = "source.json"
OURS = ".snapshot-of-release-tool"
"""An empty file beside the snapshot: fetch made that folder and may delete what a plan does not name."""


@click.command(short_help="Download the planned revision and check every byte.")
@click.option(
    "--model",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Where the folder lies that was planned.  [default: where it lay then]",
)
@click.option("--dry-run", is_flag=True, help="Say what is missing; download and write nothing.")
@click.pass_obj
def command(context: Context, *, model: str | None, dry_run: bool) -> None:
    """Download the planned revision and check every byte.

    Only what is missing or wrong is downloaded; a broken download goes on where it stopped. HF_ENDPOINT, HF_TOKEN and
    HF_HUB_OFFLINE hold.

    \b
    Examples:
      release-tool fetch
      release-tool fetch --dry-run
      release-tool fetch --model ./my-model
    """  # noqa: D301 - \b is click's mark
    from release_tool.core.escape import one_line
    from release_tool.lock import hold

    if dry_run:
        missing = missing_files(context)
        lines = [f"{one_line(file.path)}  {file.size:,} bytes" for file in missing]
        emit(context, "\n".join(lines) or "Nothing is missing.", missing)
        return
    with hold(context.work, "fetch"):
        snapshot = run_fetch(context, model=model)
    total = sum(file.size for file in snapshot.files)
    emit(
        context,
        f"{context.work / snapshot.FOLDER}  {len(snapshot.files)} files  {total:,} bytes  tree {snapshot.tree}",
        snapshot,
    )


def missing_files(context: Context) -> tuple[PlannedFile, ...]:
    """Return the planned files that are not in the work folder as planned.

    Raises:
        UsageError: there is no plan.
    """
    from release_tool.services.checked_files import is_whole

    work, plan = _read_plan(context)
    folder = _snapshot_folder(work)
    return tuple(file for file in plan.source.files if not is_whole(folder / file.path, file))


def run_fetch(context: Context, *, model: str | None = None) -> SourceSnapshot:
    """Complete ``snapshot`` and write source.json.

    Args:
        context: of the command.
        model: folder of the model, where it does not lie where it was planned; a hub's model needs none.

    Raises:
        UsageError: there is no plan.
        SourceError: the hub refuses; its subclasses say why.
        IntegrityError: bytes are not those that were planned.
        Unreachable: broken off; a second run goes on.
        MachineError: the disk is too small.
    """
    from release_tool.core.source import SourceSnapshot

    work, plan = _read_plan(context)
    folder = _snapshot_folder(work)
    with context.console.step("Fetch"):
        uses = work.uses(PLAN)
        if not work.has(OURS):
            work.path(OURS).touch()
        # While files come and go, no document may say that they are there.
        work.path(SOURCE).unlink(missing_ok=True)
        source = _open(work, plan, model)
        folder.mkdir(parents=True, exist_ok=True)
        foreign = tuple(code for code in plan.source.remote_code if code.repo != plan.source.model_id)
        _remove_strangers(folder, plan)
        _check_space(folder, plan)
        total = sum(file.size for file in plan.source.files)
        with context.console.progress("Download", total, "B") as bar:
            source.download(plan.source.files, folder, bar.advance)
            source.download_code(foreign, folder, bar.advance)
        shutil.rmtree(folder / _incomplete(), ignore_errors=True)
        snapshot = SourceSnapshot(
            uses=uses, model_id=plan.source.model_id, revision=plan.source.revision, files=_describe(folder, plan)
        )
        work.write(SOURCE, snapshot)
        context.console.info(f"{len(snapshot.files)} files of {snapshot.model_id} at {snapshot.revision}")
    return snapshot


def _read_plan(context: Context) -> tuple[WorkFolder, ReleasePlan]:
    from release_tool.core.plan import ReleasePlan
    from release_tool.documents import WorkFolder

    work = WorkFolder(context.work)
    return work, work.read(ReleasePlan, PLAN, made_by="plan")


def _incomplete() -> str:
    from release_tool.services.checked_files import INCOMPLETE

    return INCOMPLETE


def _snapshot_folder(work: WorkFolder) -> Path:
    """Return where the files lie; a link there would write into a folder that is not ours."""
    from release_tool.core.source import SourceSnapshot
    from release_tool.errors import UsageError

    folder = work.path(SourceSnapshot.FOLDER)
    ours = work.has(SOURCE) or work.has(OURS)
    if not ours and folder.is_dir() and any(folder.iterdir()):
        raise UsageError(
            f"{folder} was not made by release-tool: fetch would delete what lies in it.",
            hint="Move it away, or name another folder with --work.",
        )
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{folder} is no folder of its own.", hint="Remove it, or name another folder with --work.")
    return folder


def _open(work: WorkFolder, plan: ReleasePlan, model: str | None) -> Source:
    """Return the source at exactly the planned revision."""
    from release_tool.core.location import LOCATION_FILE, Location
    from release_tool.errors import IntegrityError

    facts, request = plan.source, plan.request
    if facts.origin == "hub":
        from release_tool.services.hub import HubSource

        return HubSource(
            facts.model_id,
            revision=facts.revision,
            allow_pickle=request.allow_pickle,
            trust_remote_code=request.trust_remote_code,
        )
    if facts.origin != "folder":
        raise IntegrityError(
            f"{PLAN} names the origin {facts.origin!r}, which is unknown.", hint="Run release-tool plan."
        )
    from pathlib import Path

    from release_tool.services.folder import FolderSource

    # On another machine the files may have come along with the work folder; then nobody asks for the place.
    place = model or (
        work.read(Location, LOCATION_FILE, made_by="plan").folder
        if work.has(LOCATION_FILE)
        else str(work.folder / "absent")
    )
    return FolderSource(
        Path(place),
        revision=facts.revision,
        model_id=facts.model_id,
        allow_pickle=request.allow_pickle,
        trust_remote_code=request.trust_remote_code,
    )


def _expected(plan: ReleasePlan) -> dict[str, str]:
    """Return path in the snapshot → digest of every planned file, remote code included."""
    from release_tool.core.snapshot_files import check_path, code_path

    expected = {file.path: file.digest for file in plan.source.files}
    for path in expected:
        check_path(path)
    for code in plan.source.remote_code:
        check_path(code.path)
        expected.setdefault(code_path(code, plan.source.model_id), code.digest)
    return expected


def _remove_strangers(folder: Path, plan: ReleasePlan) -> None:
    """Delete what the plan does not name: a loader would take it, and no digest covers it."""
    from release_tool.services.checked_files import INCOMPLETE, hex_of

    expected = _expected(plan)
    keep = {folder / path for path in expected}
    keep |= {folder / INCOMPLETE / hex_of(digest) for digest in expected.values()}
    above = {parent for path in keep for parent in path.parents}
    _clear(folder, keep, above)


def _clear(folder: Path, keep: set[Path], above: set[Path]) -> None:
    for entry in sorted(folder.iterdir()):
        is_folder = entry.is_dir() and not entry.is_symlink()
        if is_folder and entry in above:
            _clear(entry, keep, above)
        elif is_folder:
            shutil.rmtree(entry)
        elif entry not in keep or entry.is_symlink():
            entry.unlink()


def _check_space(folder: Path, plan: ReleasePlan) -> None:
    """Refuse before the download what could not be finished; a folder is linked where it can be.

    Raises:
        MachineError: too little is free.
    """
    from release_tool.errors import MachineError
    from release_tool.services.checked_files import INCOMPLETE, hex_of

    if plan.source.origin != "hub":
        return
    needed = 0
    for file in plan.source.files:
        there = [
            path.stat().st_size
            for path in (folder / file.path, folder / INCOMPLETE / hex_of(file.digest))
            if path.is_file()
        ]
        needed += max(0, file.size - max(there, default=0))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise MachineError(
            f"The model needs {needed / 1e6:,.0f} MB more on the disk of {folder}, {free / 1e6:,.0f} MB are free.",
            hint="Free space, or name a work folder on another disk with --work.",
        )


def _describe(folder: Path, plan: ReleasePlan) -> tuple[SourceFile, ...]:
    """Return the files as they lie there; large ones were just checked by their sha256."""
    from release_tool.core.source import SourceFile
    from release_tool.documents import file_sha256
    from release_tool.services.checked_files import SHA256, hex_of

    expected = _expected(plan)
    own = {file.path for file in plan.source.files}
    found = []
    for path, digest in sorted(expected.items()):
        place = folder / path
        from_hub = plan.source.origin == "hub" or path not in own
        found.append(
            SourceFile(
                path=path,
                size=place.stat().st_size,
                sha256=hex_of(digest) if digest.startswith(SHA256) else file_sha256(place),
                hub_digest=digest if from_hub else None,
            )
        )
    return tuple(found)
