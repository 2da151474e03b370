"""The oracle over the texts of judged sets: ``python -m release_tool.models.oracle_texts --work DIR --jobs FILE``.

As ``release_tool.models.oracle``, with the same libraries and the same answers, but block by block: each block is one
file that is whole or absent, and what is there is not answered again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from release_tool.core.kinds import ModelKind
from release_tool.core.quality_parts import Part
from release_tool.documents import WorkFolder
from release_tool.errors import IntegrityError
from release_tool.models.encoded import kept, read_block, write_block
from release_tool.models.oracle import ask_source
from release_tool.models.starting import no_collection
from release_tool.sets import JudgedSet, blocks, open_set, pair_probes
from release_tool.workers import report, run_child

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from release_tool.core.probes import Probe


def probes_of(judged: JudgedSet, part: Part, candidates: dict[str, list[int]] | None) -> Iterator[Probe]:
    """Return a part of a set as what is asked."""
    match part:
        case Part.DOCUMENTS:
            return judged.document_probes()
        case Part.QUERIES:
            return judged.query_probes()
        case Part.PAIRS:
            return pair_probes(judged, candidates or {})


def main(argv: Sequence[str] | None = None) -> int:
    """Answer what the jobs name; exit with the error's own code."""
    parser = argparse.ArgumentParser(prog="python -m release_tool.models.oracle_texts")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--jobs", type=Path, required=True)
    options = parser.parse_args(argv)
    return run_child(lambda: _run(WorkFolder(options.work), json.loads(options.jobs.read_text(encoding="utf-8"))))


def _run(work: WorkFolder, jobs: dict[str, Any]) -> None:
    with no_collection():
        from transformers.utils import logging

    logging.disable_progress_bar()
    done = 0
    for job in jobs["jobs"]:
        judged = open_set(Path(job["folder"]), job["name"])
        if judged.sha256 != job["sha256"]:
            raise IntegrityError(f"The set {judged.name} was changed while it was measured.", hint="Run it again.")
        kind = ModelKind(job["kind"])
        out = Path(jobs["out"]) / kind.value
        for block in blocks(probes_of(judged, Part(job["part"]), job["candidates"])):
            path = out / f"{block.name}.npz"
            if read_block(path, kind, len(block.probes)) is None:
                write_block(path, kept(ask_source(work, kind, block.probes), kind))
            done += len(block.probes)
            report("progress", done=done, total=jobs["total"])


if __name__ == "__main__":
    sys.exit(main())
