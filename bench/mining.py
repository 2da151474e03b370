"""Index a million documents and search them, with the embedded engine and with bm25s, each in a fresh process.

    .venv/bin/python bench/mining.py [--peer PYTHON] [--queries 1000]

Both index the same documents and are asked the same queries, one at a time, for as many hits as mining needs. Ours is
measured in three sizes, from which ten million documents are projected. Writes bench/out/mining.json and its own
section of RESULTS.md. Takes ten minutes, 5 GB of memory and 1 GB of disk; the peer needs bm25s, numba and tqdm.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import machine
import mining_report
import variants_report

BENCH = Path(__file__).resolve().parent
PARTS = (4, 2, 1)
"""Ours is measured on a quarter, a half and all of the documents."""


def one(engine: str, python: str, documents: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Let one engine index and search in a process of its own, and return its numbers."""
    print(f"{engine}, {documents:,} documents …", flush=True)
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        (folder / "files").mkdir()
        said, numbers, log = folder / "said.json", folder / "numbers.json", folder / "log"
        command = [
            python, str(BENCH / "mining_engine.py"), "--engine", engine, "--documents", str(documents), "--queries",
            str(asked.queries), "--folder", str(folder / "files"), "--out", str(said),
        ]  # fmt: skip
        measure = [sys.executable, str(BENCH / "measure.py"), "--out", str(numbers), "--log", str(log), "--"]
        if subprocess.run([*measure, *command], check=False).returncode:
            sys.exit(log.read_text(encoding="utf-8", errors="replace"))
        found = {**json.loads(said.read_text()), "process": json.loads(numbers.read_text())}
    rate = found["queries_per_s"]
    print(f"  {found['index_s']:.0f} s, {found['process']['max_rss'] / 1e6:,.0f} MB, {rate:.0f} queries/s", flush=True)
    return {"engine": engine, "documents": documents, **found}


def main() -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000, help="of the largest size; a multiple of 4,000")
    parser.add_argument("--queries", type=int, default=1000, help="a round")
    parser.add_argument("--peer", default=sys.executable, metavar="PYTHON", help="has bm25s, numba and tqdm")
    parser.add_argument("--busy-anyway", action="store_true", help="measure on a busy machine, too; the report says so")
    parser.add_argument("--folder", type=Path, help="on a disk with room; default: that for temporary files")
    parser.add_argument("--out", type=Path, default=BENCH / "out")
    parser.add_argument("--results", type=Path, default=BENCH / "RESULTS.md")
    asked = parser.parse_args()
    room = shutil.disk_usage(asked.folder or tempfile.gettempdir()).free
    if room < 1000 * asked.documents:
        sys.exit(f"Too little disk: {room / 1e9:.1f} GB free.")
    if not asked.busy_anyway:
        machine.wait_until_quiet()
    rows = [one("tantivy", sys.executable, asked.documents // part, asked) for part in PARTS]
    rows.append(one("bm25s", asked.peer, asked.documents, asked))
    asked_of_both = len(rows[-1]["found"])
    agreement = mining_report.overlap(rows[-2].pop("found"), rows[-1].pop("found"))
    for row in rows[:-2]:
        del row["found"]
    asked.out.mkdir(parents=True, exist_ok=True)
    data = {
        "machine": machine.describe(), "busy": asked.busy_anyway, "queries": asked_of_both, "agreement": agreement,
        "rows": rows,
    }  # fmt: skip
    (asked.out / mining_report.FILE).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    section = mining_report.render(asked.out)
    asked.results.write_text(
        variants_report.insert(asked.results.read_text(encoding="utf-8"), section), encoding="utf-8"
    )
    print(section)
    return 0


if __name__ == "__main__":
    sys.path.insert(1, str(BENCH.parent))
    sys.exit(main())
