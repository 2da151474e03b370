"""How long ``record`` and ``models list`` take with many rows in the ledger: whole processes, start included.

    python bench/records.py [rows]

The ledger is made of rows as ``record`` writes them, with both listings and a changelog that belong to it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
ROUNDS = 7
TOOL = [sys.executable, "-m", "release_tool"]


def fill(repo: Path, rows: int) -> None:
    """Write a repository whose ledger has many rows."""
    from hashlib import sha256

    from release_tool.core import ledger as ledgers
    from release_tool.core.listing import ALL_VERSIONS, SERVED

    ledger = ledgers.parse(ledgers.EMPTY)
    made = []
    for number in range(rows // 2):
        approved = sha256(f"release {number}".encode()).hexdigest()
        name, version = f"model-{number % 1000:04}", f"1.{number // 1000}.0"
        at = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(1_700_000_000 + number * 600))
        for fmt in ("onnx", "torch_script"):
            key = f"ml-models/huggingface/acme/{name}/{version}/{fmt}/acme_{name}-{version}-{fmt}.zip"
            made.append(ledgers.Row(one_row(approved, name, version, fmt, at=at, key=key)))
    ledger = ledger.with_rows(tuple(made))
    (repo / "supported_models.json").write_bytes(ledger.data())
    listed: dict[str, list[str]] = {}
    for row in made:
        listed.setdefault(row.name, []).append(row.version)
    versions = {"format": ["onnx", "torch_script"], "description": "A model that maps sentences to vectors."}
    everything = [{"name": name, "versions": dict.fromkeys(found, versions)} for name, found in sorted(listed.items())]
    served = [
        {"name": name, "version": list(dict.fromkeys(found)), "format": ["onnx", "torch_script"]}
        for name, found in sorted(listed.items())
    ]
    (repo / "model_listing").mkdir()
    (repo / ALL_VERSIONS).write_text(json.dumps(everything, indent=2), encoding="utf-8")
    (repo / SERVED).write_text(json.dumps(served, indent=2), encoding="utf-8")
    lines = [f"- `acme/model` 1.0.0, digest `{row.approved[:12]}`." for row in made[::2]]
    head = "# Changelog\n\n## [Unreleased]\n\n### Models\n\n<!-- released models follow, newest first -->\n\n"
    (repo / "CHANGELOG.md").write_text(head + "\n".join(reversed(lines)) + "\n", encoding="utf-8")


def one_row(approved: str, name: str, version: str, fmt: str, *, at: str, key: str) -> dict[str, object]:
    """Return a row as ``record`` writes it."""
    return {
        "Model Uploader": "@octocat",
        "Upload Time": at,
        "Model ID": f"acme/{name}",
        "Model Version": version,
        "Model Format": fmt.upper(),
        "Embedding Dimension": "384",
        "Pooling Mode": "MEAN",
        "Workflow Run ID": str(int(approved[:8], 16)),
        "Workflow Run URL": f"https://github.example/acme/models/actions/runs/{int(approved[:8], 16)}",
        "Model Kind": "dense",
        "Description": "A model that maps sentences and paragraphs to a 384 dimensional dense vector space and can be used for search.",
        "Revision": approved[:40],
        "Licence": "apache-2.0",
        "Artifact": fmt,
        "Archive SHA256": approved[::-1],
        "Archive Size": 90_872_065,
        "Approved Digest": approved,
        "Key": key,
        "Certificate Key": f"releases/{approved}/certificate-{fmt}.json",
        "Receipt Key": f"releases/{approved}/released.json",
        "Replaces": None,
        "Build Result": "SUCCESS",
        "Build Number": 17,
        "Build URL": "https://jenkins.example/job/ml-models-release/17/",
        "Lineage": None,
        "Fine-tuning Run ID": None,
        "Retrieval Quality": {"release-tool": "nDCG@10 0.6347 of 0.6347, 122 queries"},
    }


def timed(line: list[str], bytecode: Path) -> tuple[float, float]:
    """Return wall and CPU seconds of one process, which finds its modules compiled, as every installed one does."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(bytecode)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    before, started = os.times(), time.perf_counter()
    subprocess.run(
        [*TOOL, *line],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=env,
    )
    wall, after = time.perf_counter() - started, os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Measure and print."""
    from releases import write_release

    from release_tool.cli import run

    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as place:
        repo, work = Path(place) / "repo", Path(place) / "work"
        repo.mkdir()
        fill(repo, rows)
        write_release(work)
        assert run(["--work", str(work), "-q", "review"]) == 0
        approved = json.loads((work / "review.json").read_text())["digest"]
        assert run(["--work", str(work), "-q", "publish", "--approved", approved]) == 0
        size = (repo / "supported_models.json").stat().st_size
        ledger = (repo / "supported_models.json").read_bytes()
        print(f"{rows:,} rows, {size / 1e6:.1f} MB, best and median of {ROUNDS} processes, seconds")
        for name, line in (
            ("record, new", ["--work", str(work), "--repo", str(repo), "record"]),
            ("record, again", ["--work", str(work), "--repo", str(repo), "record"]),
            ("models list", ["--repo", str(repo), "models", "list"]),
            ("models list --json", ["--repo", str(repo), "--json", "models", "list"]),
            ("--version", ["--version"]),
        ):
            found = []
            for _ in range(1 + ROUNDS):
                if name == "record, new":
                    (repo / "supported_models.json").write_bytes(ledger)
                found.append(timed(line, Path(place) / "bytecode"))
            del found[0]  # it has compiled
            walls, cpus = zip(*found, strict=True)
            print(
                f"{name:20} wall {min(walls):.3f} {statistics.median(walls):.3f}  cpu {min(cpus):.3f} {statistics.median(cpus):.3f}"
            )


if __name__ == "__main__":
    main()
