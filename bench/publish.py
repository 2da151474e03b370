"""What ``publish`` takes beside the least that anybody could do: sha256sum of the file and a bare upload of it.

    python bench/publish.py [--gib 1] [--rounds 3] [--parts MIB] [--senders N]

Both send the same archive to the same versitygw (on PATH) on loopback with SHA-256 checksums, in turns. The bare upload
is boto3's ``upload_file`` by the client that ``publish`` makes, with boto3's own settings for parts and threads. Whole
processes are measured, start and imports included, by ``measure.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BENCH = Path(__file__).resolve().parent
sys.path[:0] = [str(BENCH.parent), str(BENCH.parent / "tests")]
WANTED_RATIO = 0.8
WANTED_MIB = 150

BARE = """
import sys
from release_tool.services.s3_words import make_client
make_client(10).upload_file(sys.argv[1], sys.argv[2], "archive.zip", ExtraArgs={"ChecksumAlgorithm": "SHA256"})
"""
OURS = """
import sys
from release_tool import documents
from release_tool.services import bucket_s3, s3_parts
documents.PART_BYTES = int(sys.argv[1]) or documents.PART_BYTES
s3_parts.SENDERS = bucket_s3.SENDERS = int(sys.argv[2]) or s3_parts.SENDERS
from release_tool.cli import main
main(sys.argv[3:])
"""


def measured(command: list[str], folder: Path) -> dict[str, float]:
    """Run a command to its end and return its numbers."""
    out, log = folder / "numbers.json", folder / "log"
    measure = [sys.executable, str(BENCH / "measure.py"), "--out", str(out), "--log", str(log), "--", *command]
    subprocess.run(measure, check=True)
    numbers = json.loads(out.read_text())
    assert numbers["exit_code"] == 0, log.read_text()
    return numbers


def make_release(work: Path, size: int) -> tuple[str, Path]:
    """Write a reviewed release with one archive of random bytes; return its digest and the archive."""
    from factories import make_plan
    from publications import reviewed

    plan = make_plan()
    plan = make_plan(artifacts=plan.artifacts[:1])
    digest = reviewed(work, plan=plan, archive_of=lambda _: os.urandom(size))
    return digest, work / "archives" / plan.artifacts[0].file_name


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", type=int, default=0, help="MiB of a part; the default is the tool's own")
    parser.add_argument("--senders", type=int, default=0, help="parts in the air; the default is the tool's own")
    asked = parser.parse_args()
    from s3.server import running_server

    with tempfile.TemporaryDirectory() as name, running_server(Path(name, "s3")) as server:
        folder = Path(name)
        os.environ.update(server.environment(), PYTHONPATH=str(BENCH.parent))
        subprocess.run(
            [sys.executable, __file__, "--make", str(folder / "work"), str(int(asked.gib * 2**30))], check=True
        )
        digest, archive = json.loads((folder / "work" / "made.json").read_text())
        Path(folder / "work" / "made.json").unlink()
        ours = [sys.executable, "-c", OURS, str(asked.parts << 20), str(asked.senders)]
        ours += ["--work", str(folder / "work"), "-q", "publish", "--approved", digest, "--to"]
        rows = []
        for number in range(asked.rounds):
            turns = {
                "sha256sum": lambda: ["sha256sum", archive],
                "bare": lambda: [sys.executable, "-c", BARE, archive, server.make_bucket()],
                "publish": lambda: [*ours, f"s3://{server.make_bucket()}"],
            }
            names = list(turns) if number % 2 == 0 else list(turns)[::-1]
            row = {name: measured(turns[name](), folder) for name in names}
            rows.append(row)
            print(f"round {number + 1}: {line(row)}", flush=True)
        report(rows, asked.gib)


def line(row: dict[str, dict[str, float]]) -> str:
    """Return the times and the memory of one round."""
    parts = [f"{name} {found['wall_s']:.2f} s ({found['cpu_s']:.2f} s CPU)" for name, found in row.items()]
    return f"{', '.join(parts)}; ratio {ratio(row):.2f}; {row['publish']['max_rss'] / 2**20:.0f} MiB"


def ratio(row: dict[str, dict[str, float]]) -> float:
    """Return how fast publish is beside sha256sum and the bare upload together; 1 is as fast."""
    return (row["sha256sum"]["wall_s"] + row["bare"]["wall_s"]) / row["publish"]["wall_s"]


def report(rows: list[dict[str, dict[str, float]]], gib: float) -> None:
    """Print the medians and whether they are what is wanted."""
    middle = statistics.median(ratio(row) for row in rows)
    memory = max(row["publish"]["max_rss"] for row in rows) / 2**20
    walls = {name: statistics.median(row[name]["wall_s"] for row in rows) for name in rows[0]}
    print(f"{gib:g} GiB, medians: " + ", ".join(f"{name} {wall:.2f} s" for name, wall in walls.items()))
    print(f"ratio {middle:.2f} (wanted: {WANTED_RATIO}), largest memory {memory:.0f} MiB (wanted: below {WANTED_MIB})")
    foreign = max(found["foreign_cpu_s"] / found["wall_s"] for row in rows for found in row.values())
    print(f"largest share of other processes, the server included: {foreign:.2f} cores")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        made = make_release(Path(sys.argv[2]), int(sys.argv[3]))
        Path(sys.argv[2], "made.json").write_text(json.dumps(made, default=str))
    else:
        main()
