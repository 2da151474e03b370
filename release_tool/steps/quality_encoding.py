"""Encode judged sets: the source in one process beside the archives, each archive as the server would.

Everything goes block by block into ``quality/`` of the work folder, under names made of who answers and what is asked;
so a killed run goes on, a second archive finds the source's answers, and no text is encoded twice. What archives have
encoded is removed when it is measured, the source's answers stay until plan or source change.
"""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from release_tool import __version__
from release_tool.core.digest import sha256_bytes
from release_tool.core.quality_parts import Part, Side, sides

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

    from release_tool.console import Progress
    from release_tool.core.bundle import Bundle
    from release_tool.core.kinds import ModelKind
    from release_tool.core.probes import Probe
    from release_tool.global_options import Context
    from release_tool.services.ring_processes import Running
    from release_tool.sets import Block, JudgedSet
    from release_tool.steps.measuring import Target
    from release_tool.steps.release_reading import Release

FOLDER = "quality"
SOURCE = "source"
MODULE = "release_tool.models.oracle_texts"

Candidates = dict[str, list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An archive and a set that it is measured on."""

    bundle: Bundle
    judged: JudgedSet
    candidates: Candidates | None = None
    """Cross-encoder: places of each query's candidates."""


def sides_of(release: Release, bundle: Bundle) -> tuple[Side, ...]:
    """Return what an archive is measured on."""
    return sides(bundle.kind, release.plan.kinds)


def source_folder(release: Release) -> Path:
    """Return where the source's answers lie: another plan, source or release-tool has another place."""
    return _owned(release, SOURCE, release.work.sha256("plan.json"), release.source.tree)


def archive_folder(release: Release, bundle: Bundle) -> Path:
    """Return where an archive's answers lie."""
    return _owned(release, bundle.artifact, bundle.archive.sha256, bundle.config.sha256)


def _owned(release: Release, name: str, *digests: str) -> Path:
    return release.work.path(FOLDER) / f"{name}-{sha256_bytes(json.dumps([__version__, *digests]).encode())[:20]}"


def block_path(folder: Path, kind: ModelKind, block: Block) -> Path:
    """Return the file of a block's answers."""
    return folder / kind.value / f"{block.name}.npz"


def part_blocks(wanted: Wanted, part: Part) -> Iterator[Block]:
    """Cut a part of the set into blocks."""
    from release_tool.models.oracle_texts import probes_of
    from release_tool.sets import blocks

    return blocks(probes_of(wanted.judged, part, wanted.candidates))


def answers_of(folder: Path, wanted: Wanted, side: Side) -> Iterator[dict[str, np.ndarray]]:
    """Yield the arrays of a part, block by block.

    Raises:
        IntegrityError: one that was written is gone, or its numbers changed.
    """
    from release_tool.errors import IntegrityError
    from release_tool.models.encoded import read_block

    for block in part_blocks(wanted, side.part):
        arrays = read_block(block_path(folder, side.kind, block), side.kind, len(block.probes))
        if arrays is None:
            raise IntegrityError(
                f"What was encoded of {wanted.judged.name} has changed.", hint="Run release-tool quality again."
            )
        yield arrays


def encode(context: Context, release: Release, wanted: list[Wanted]) -> None:
    """Let the source and every archive encode what is missing.

    Raises:
        ValidationFailed: the server would refuse an archive.
        MachineError, MissingExtra: source or ring can't work here.
    """
    from release_tool.services.ring_processes import Running
    from release_tool.steps.asking import PARALLEL_RINGS, ROOM_PER_ARCHIVE, fits
    from release_tool.workers import start

    _sweep(release)
    sources = _missing_of_source(release, wanted)
    total = sum(_size(one, side) for one in wanted for side in sides_of(release, one.bundle) if side.by_archive)
    running = Running()
    bundles = {one.bundle.artifact: one.bundle for one in wanted}
    targets = [_target(release, bundle) for bundle in bundles.values()]
    largest = sorted(targets, key=lambda target: target.bundle.archive.size)[-PARALLEL_RINGS:]
    at_once = PARALLEL_RINGS if fits(largest, ROOM_PER_ARCHIVE) else 1
    oracle = None
    try:
        with context.console.progress("Encode", total, "texts") as bar, ThreadPoolExecutor(at_once) as pool:
            if sources:
                oracle = start("oracle", MODULE, _request(release, sources), debug=context.debug)
            told = _Told(bar)
            try:
                futures = [pool.submit(_archive, release, target, wanted, told, running) for target in targets]
                if oracle is not None:
                    oracle.wait(context.console)
                for future in futures:
                    future.exception()
                for future in futures:
                    future.result()
            except BaseException:
                running.end()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    finally:
        if oracle is not None:
            oracle.stop()


def _target(release: Release, bundle: Bundle) -> Target:
    from release_tool.steps.proving import target_of

    return target_of(release.work, release.plan, bundle, release.probes)


def _size(wanted: Wanted, side: Side) -> int:
    match side.part:
        case Part.DOCUMENTS:
            return wanted.judged.documents
        case Part.QUERIES:
            return len(wanted.judged.queries)
        case Part.PAIRS:
            return sum(map(len, (wanted.candidates or {}).values()))


def _missing_of_source(release: Release, wanted: list[Wanted]) -> list[tuple[Wanted, Side]]:
    from release_tool.models.encoded import read_block

    folder = source_folder(release)
    found: dict[tuple[str, Side], tuple[Wanted, Side]] = {}
    for one in wanted:
        for side in sides_of(release, one.bundle):
            whole = Side(part=side.part, kind=side.kind)
            if (one.judged.name, whole) in found:
                continue
            if any(
                read_block(block_path(folder, side.kind, block), side.kind, len(block.probes)) is None
                for block in part_blocks(one, side.part)
            ):
                found[one.judged.name, whole] = (one, whole)
    return list(found.values())


def _request(release: Release, sources: list[tuple[Wanted, Side]]) -> list[str]:
    from release_tool.documents import write_atomic
    from release_tool.steps.trace import check_snapshot

    check_snapshot(release.work, release.source)
    jobs = [
        {
            "folder": str(wanted.judged.folder.absolute()),
            "name": wanted.judged.name,
            "sha256": wanted.judged.sha256,
            "part": side.part.value,
            "kind": side.kind.value,
            "candidates": wanted.candidates,
        }
        for wanted, side in sources
    ]
    total = sum(_size(wanted, side) for wanted, side in sources)
    path = release.work.path(FOLDER) / "jobs.json"
    write_atomic(path, json.dumps({"out": str(source_folder(release)), "total": total, "jobs": jobs}))
    return ["--work", str(release.work.folder), "--jobs", str(path)]


class _Told:
    """Counts texts of several threads into one bar."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._lock = Lock()

    def advance(self, count: int) -> None:
        """Count texts in."""
        with self._lock:
            self._bar.advance(count)


def _archive(release: Release, target: Target, wanted: list[Wanted], told: _Told, running: Running) -> None:
    from release_tool.models.encoded import read_block

    folder = archive_folder(release, target.bundle)
    for one in wanted:
        if one.bundle.artifact != target.bundle.artifact:
            continue
        for side in sides_of(release, one.bundle):
            if not side.by_archive:
                continue
            for block in part_blocks(one, side.part):
                path = block_path(folder, side.kind, block)
                if read_block(path, side.kind, len(block.probes)) is None:
                    serve_block(target, block.probes, path, running)
                told.advance(len(block.probes))


def serve_block(target: Target, probes: tuple[Probe, ...], path: Path, running: Running) -> None:
    """Let an archive encode a block as the server would, in fresh processes, and write what it answers."""
    from release_tool.console import Console
    from release_tool.models.encoded import kept, write_block
    from release_tool.services import runtime_ring
    from release_tool.services.cache import cache_folder

    got = runtime_ring.answer(
        target.archive,
        target.config,
        probes,
        target.bundle.kind,
        console=Console(verbosity=-1),
        cache=cache_folder(os.environ),
        running=running,
    )
    write_block(path, kept(got.arrays, target.bundle.kind))


def _sweep(release: Release) -> None:
    """Remove what was encoded by archives and sources that are no longer those of the work folder."""
    root = release.work.path(FOLDER)
    current = {SOURCE: source_folder(release)}
    current |= {bundle.artifact: archive_folder(release, bundle) for bundle in release.bundles}
    for name, kept in current.items():
        for folder in root.glob(f"{name}-*"):
            if folder != kept and folder.name.removeprefix(f"{name}-").isalnum():
                shutil.rmtree(folder, ignore_errors=True)


def forget(release: Release, bundle: Bundle) -> None:
    """Remove what an archive has encoded, once it is measured."""
    shutil.rmtree(archive_folder(release, bundle), ignore_errors=True)
