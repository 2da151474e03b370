"""Measure release-tool beside opensearch-py-ml on this machine, and write bench/RESULTS.md.

    .venv/bin/python bench/run.py --peer PEER_PYTHON [--quick] [--case minilm ...] [--runs 5]

Ours and the peer's runs alternate, so that a slow minute of the machine hits both; each pair begins only on a quiet
machine. Every number is kept in ``bench/out``; the report is rendered from those files alone (``--report`` only
renders). bench/README.md says what to install first and what the numbers mean.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import machine
import report
from cases import CASES, Case

HERE = Path(__file__).resolve().parent
OURS_PACKAGES = ("release-tool", "torch", "transformers", "sentence-transformers", "onnx", "onnxruntime", "tokenizers")
PEER_PACKAGES = ("opensearch-py-ml", "torch", "transformers", "sentence-transformers", "onnx", "onnxscript")
COMPILED, FRESH = "compiled", "fresh"
CONDITIONS = (COMPILED, FRESH)
RUNS, QUICK_RUNS = 5, 1


class Bench:
    """One session of measuring; every result is a file, so that a broken session can go on."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.out: Path = options.out.resolve()
        self.scratch = self.out / "scratch"
        self.runs = options.runs or (QUICK_RUNS if options.quick else RUNS)
        self.scratch.mkdir(parents=True, exist_ok=True)
        if machine.file_system(self.scratch) in {"tmpfs", "ramfs"}:
            sys.exit(f"{self.scratch} lies in memory, where written bytes are not counted: name a disk with --out.")

    def case(self, case: Case, condition: str) -> None:
        """Measure one model under one condition."""
        model = self._model(case.model)
        rounds = self.runs - self._kept(case, condition)
        if rounds <= 0:
            return
        # Once unmeasured: caches of the system, bytecode, our environment with the servers' libraries.
        self._ours(case, condition, model, save=None)
        self._bytes(case, condition, model)
        for form in case.formats:
            self._peer(case, condition, model, form, save=None)
        for _ in range(rounds):
            self._pair(case, condition, model)

    def _pair(self, case: Case, condition: str, model: Path) -> None:
        used = machine.cores_used() if self.options.busy_anyway else machine.wait_until_quiet()
        number = self._kept(case, condition)
        pair: dict[str, Any] = {"case": case.model, "condition": condition, "cores_used_before": used, "peer": {}}
        # Who goes first changes from pair to pair.
        sides = ["ours", *case.formats]
        for side in sides if number % 2 == 0 else reversed(sides):
            if side == "ours":
                pair["ours"] = self._ours(case, condition, model, save="validate" if not case.proven else "")
                pair["certificate"] = pair["ours"].pop("certificate", None)
            else:
                pair["peer"][side] = self._peer(case, condition, model, side, save="facts")
        name = f"pair-{case.model}-{condition}-{number}.json"
        pair["busy"] = self.options.busy_anyway
        _write(self.out / name, pair)
        ours, peer = pair["ours"]["wall_s"], sum(item["wall_s"] for item in pair["peer"].values())
        print(
            f"{case.model}, {condition}, pair {number + 1}: {ours:.1f} s / {peer:.1f} s = {ours / peer:.2f}", flush=True
        )

    def _ours(self, case: Case, condition: str, model: Path, *, save: str | None) -> dict[str, Any]:
        work = self._empty("work")
        numbers = self._measured(case.ours(self.options.ours, model, work), condition)
        if save == "validate":
            numbers["certificate"] = self._measured(case.validate(self.options.ours, work), condition)
        numbers["archives"] = {path.name: path.stat().st_size for path in sorted((work / "archives").glob("*.zip"))}
        shutil.rmtree(work)
        return numbers

    def _bytes(self, case: Case, condition: str, model: Path) -> None:
        kept = self.out / f"bytes-{case.model}.json"
        if kept.exists():
            return
        work = self._empty("work")
        numbers = self._measured(case.trace(self.options.ours, model, work), condition)
        shutil.rmtree(work)
        numbers["model_bytes"] = (model / "model.safetensors").stat().st_size
        _write(kept, {**numbers, "formats": len(case.formats)})

    def _peer(self, case: Case, condition: str, model: Path, form: str, *, save: str | None) -> dict[str, Any]:
        out = self._empty("peer")
        numbers = self._measured(case.peer(self.options.peer, HERE / "peer.py", form, model, out), condition)
        if save:
            facts = self.scratch / "facts.json"
            command = [self.options.peer, "-P", str(HERE / "peer.py"), "--model", str(model), "--out", str(out)]
            subprocess.run([*command, "--facts", str(facts)], check=True)
            numbers["archive"] = json.loads(facts.read_text(encoding="utf-8"))
        shutil.rmtree(out)
        return numbers

    def _measured(self, command: list[str], condition: str) -> dict[str, Any]:
        numbers, log = self.scratch / "numbers.json", self.scratch / "said.txt"
        measuring = [
            sys.executable,
            "-P",
            str(HERE / "measure.py"),
            "--out",
            str(numbers),
            "--log",
            str(log),
            "--",
            *command,
        ]
        done = subprocess.run(measuring, env=self._environment(condition), check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\nended with {done.returncode}:\n{log.read_text(errors='replace')[-2000:]}")
        return json.loads(numbers.read_text(encoding="utf-8"))

    def _environment(self, condition: str) -> dict[str, str]:
        """Return the same environment for both sides: offline, and with or without compiled bytecode."""
        env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        env |= {"HF_HUB_OFFLINE": "1", "PYTHONPYCACHEPREFIX": str(self.out / "bytecode" / condition)}
        if condition == FRESH:
            # Nothing is read from this folder, for nothing is ever written to it.
            env["PYTHONDONTWRITEBYTECODE"] = "1"
        return env

    def _model(self, name: str) -> Path:
        folder = self.options.models.resolve() / name
        subprocess.run(
            [self.options.ours, "-P", str(HERE / "models.py"), name, str(folder)], check=True, stdout=subprocess.DEVNULL
        )
        return folder

    def _empty(self, name: str) -> Path:
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        if name == "peer":
            folder.mkdir()
        return folder

    def _kept(self, case: Case, condition: str) -> int:
        return len(list(self.out.glob(f"pair-{case.model}-{condition}-*.json")))


def _write(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--ours", default=sys.executable, help="Python with release-tool [default: this one]")
    parser.add_argument("--peer", help="Python with opensearch-py-ml")
    parser.add_argument(
        "--case", action="append", choices=[case.model for case in CASES], help="only this model; may be repeated"
    )
    parser.add_argument("--condition", action="append", choices=CONDITIONS, help="only this condition; may be repeated")
    parser.add_argument("--runs", type=int, help=f"pairs a case and condition [default: {RUNS}]")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS} pair, MiniLM only, compiled only")
    parser.add_argument("--busy-anyway", action="store_true", help="measure on a busy machine, too; the report says so")
    parser.add_argument("--again", action="store_true", help="forget what was measured before")
    parser.add_argument("--report", action="store_true", help="measure nothing, render what was measured")
    parser.add_argument("--out", type=Path, default=HERE / "out", help="where numbers go [default: bench/out]")
    parser.add_argument("--models", type=Path, default=HERE / "out" / "models", help="where models are made")
    options = parser.parse_args()
    if not options.peer and not options.report:
        parser.error("--peer is missing: the Python with bench/peer-requirements.txt")
    return options


def main() -> int:
    """Measure, then render the report."""
    options = _options()
    bench = Bench(options)
    if not options.report:
        if options.again:
            for path in (*bench.out.glob("pair-*.json"), *bench.out.glob("bytes-*.json")):
                path.unlink()
        about = {"machine": machine.describe(), "file_system": machine.file_system(bench.scratch)}
        about |= {
            "ours": machine.versions(options.ours, OURS_PACKAGES),
            "peer": machine.versions(options.peer, PEER_PACKAGES),
        }
        _write(bench.out / "about.json", about)
        names = options.case or (["minilm"] if options.quick else [case.model for case in CASES])
        for condition in options.condition or ([COMPILED] if options.quick else CONDITIONS):
            for case in CASES:
                if case.model in names:
                    bench.case(case, condition)
    text = report.render(bench.out, CASES, CONDITIONS)
    target = bench.out / "RESULTS.md" if options.quick else HERE / "RESULTS.md"
    target.write_text(text, encoding="utf-8")
    print(f"wrote {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
