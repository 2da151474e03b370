"""Hold the rule of ``release-tool bench`` against this machine: an archive beside itself, and beside a slower one.

    .venv/bin/python bench/speed.py [--runs 20] [--record timings.json]

Every run measures three archives in turn, in fresh processes: all-MiniLM-L6-v2 as plain ONNX, the same file once more,
and the model with its last layer twice, which takes about 15 % longer. Wanted: the same file passes a budget of 1.05
each time, and the slower one fails each time, after as many rounds as ``bench`` would measure. ``--record`` keeps the
median of every round in microseconds, as tests/core/recorded has it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import machine
from models import SEVEN

HERE = Path(__file__).resolve().parent
BUDGET = 1.05
LENGTHS = (8, 64, 256)
NAMES = ("base", "same", "slower")


def traced(python: str, name: str, options: argparse.Namespace) -> Any:
    """Return the plain ONNX archive of a model as what is timed."""
    from release_tool.core.kinds import ModelKind
    from release_tool.services.speed_rounds import Candidate

    model, work = options.models.resolve() / name, options.out.resolve() / f"scratch-speed-{name}"
    subprocess.run([python, "-P", str(HERE / "models.py"), name, str(model)], check=True, stdout=subprocess.DEVNULL)
    command = [python, "-P", "-m", "release_tool", "-q", "--work", str(work), "trace", str(model)]
    subprocess.run(
        [*command, "--version", "1.0.0", "--format", "onnx", "--variant", "fp32", "--no-answers"], check=True
    )
    (archive,) = (work / "archives").glob("*-onnx.zip")
    path = work / "archives" / "onnx.config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    return Candidate(archive=archive, config_path=path, config=config, kind=ModelKind.DENSE, torch_script=False)


def ratios_of(found: list[dict[int, list[list[float]]]], place: int) -> list[Any]:
    """Return the ratios of one archive to the first."""
    from release_tool.core.speed_ratio import ratio_of

    return [ratio_of(length, found[place][length], found[0][length]) for length in LENGTHS]


def measure(options: argparse.Namespace) -> list[dict[str, dict[str, list[int]]]]:
    """Print a line a run; return what was recorded."""
    from release_tool.console import Console
    from release_tool.core.speed import DEFAULT_ROUNDS
    from release_tool.core.speed_ratio import undecided
    from release_tool.services.cache import cache_folder
    from release_tool.services.speed_ring import open_ring

    base, slower = (traced(options.ours, name, options) for name in ("minilm", SEVEN))

    def is_open(found: list[dict[int, list[list[float]]]]) -> bool:
        return any(undecided(ratios_of(found, place), BUDGET) for place in (1, 2))

    records, wrong = [], 0
    with open_ring(cache_folder(os.environ), Console(verbosity=-1)) as ring:
        prepared = [ring.lengths(place, one, LENGTHS) for place, one in enumerate((base, base, slower))]
        for number in range(options.runs):
            if not options.busy_anyway:
                machine.wait_until_quiet()
            timed = ring.time(prepared, LENGTHS, DEFAULT_ROUNDS, is_open)
            found = [one.rounds for one in timed]
            alarmed, caught = (any(ratio.is_over(BUDGET) for ratio in ratios_of(found, place)) for place in (1, 2))
            wrong += alarmed or not caught
            records.append({
                str(length): {
                    name: [round(median(block) * 1000) for block in rounds[length]]
                    for name, rounds in zip(NAMES, found, strict=True)
                }
                for length in LENGTHS
            })  # fmt: skip
            words = [" ".join(f"{one.ratio:.3f}" for one in ratios_of(found, place)) for place in (1, 2)]
            rounds = len(found[0][LENGTHS[0]])
            print(f"run {number + 1}, {rounds} rounds: itself {words[0]} {'FAILS' if alarmed else 'passes'}; "
                  f"seven layers {words[1]} {'fails' if caught else 'PASSES'}", flush=True)  # fmt: skip
    print(f"{options.runs - wrong} of {options.runs} runs are right by a budget of {BUDGET}")
    return records


def main() -> int:
    """Measure, and record where that is asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--ours", default=sys.executable, help="Python with release-tool [default: this one]")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--record", type=Path, help="keep the timings in this file")
    parser.add_argument("--busy-anyway", action="store_true", help="measure on a busy machine, too")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    parser.add_argument("--models", type=Path, default=HERE / "out" / "models")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    options.out.mkdir(parents=True, exist_ok=True)
    records = measure(options)
    if options.record:
        options.record.write_text(json.dumps({"runs": records}) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
