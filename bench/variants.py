"""Measure every variant of an archive on one real node beside the peer's TorchScript archive, and what a search finds.

    .venv/bin/python bench/variants.py --peer PEER_PYTHON --cranfield FOLDER [--case minilm ...] [--rounds 100]

For each model: ours in TorchScript, ONNX as exported (fp32), fused and int8, and for dense models the archive of
opensearch-py-ml; ``release-tool bench --on node`` asks all of them in turn, in one run. What is proven of ours is
``validate``'s, and nDCG@10 ``quality``'s, on a folder in BEIR's layout; random weights have none. Every model's numbers
lie in bench/out/variants-MODEL.json, and the section of bench/RESULTS.md is rendered from those alone (``--report``).
Archives and proofs stay in bench/out/scratch-variants-MODEL, so that ``--prepare`` can make them on a busy machine, and
only the times need a quiet one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import machine
import variants_report
from predict import peer_archive

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
ROUNDS = 100
PEER = "peer, TorchScript"
OURS = {
    "ours, TorchScript": ("variants", "torch_script"),
    "ours, ONNX fp32": ("plain", "onnx"),
    "ours, ONNX fused": ("variants", "onnx"),
    "ours, ONNX int8": ("int8", "onnx-int8"),
}
"""What it is called → (work folder, artifact id): fp32 and fused share a key, so they are two releases."""
OVER_BUDGET, EXPORT_FAILED = 6, 5
"""Exit codes: numbers over budget are to be shown here; a model may not bear int8."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model."""

    model: str
    kind: str
    lengths: str
    has_peer: bool
    is_judged: bool
    """It has weights of its own: what a search finds with random ones says nothing."""


# The peer's archive of MiniLM cuts at 128 tokens, as the model's own tokenizer.json says; ours takes the model's 256.
CASES = (
    Case(model="minilm", kind="dense", lengths="8,64,128", has_peer=True, is_judged=True),
    Case(model="bert-base", kind="dense", lengths="8,64,256,512", has_peer=True, is_judged=False),
    Case(model="cross-encoder", kind="cross-encoder", lengths="16,64,256,512", has_peer=False, is_judged=False),
    Case(model="sparse", kind="sparse", lengths="8,64,256,512", has_peer=False, is_judged=False),
)


class Measuring:
    """One model: its archives, what is proven of them, what a search finds, and their times."""

    def __init__(self, case: Case, options: argparse.Namespace) -> None:
        self.case = case
        self.options = options
        self.scratch = options.out.resolve() / f"scratch-variants-{case.model}"

    def prepare(self) -> dict[str, Any]:
        """Make and prove all archives, once, and return what is known of them without a clock."""
        kept = self.scratch / "made.json"
        if kept.is_file():
            return json.loads(kept.read_text(encoding="utf-8"))
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)
        model = self.options.models.resolve() / self.case.model
        command = [self.options.ours, "-P", str(HERE / "models.py"), self.case.model, str(model)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        self._make("plain", model, ("--format", "onnx", "--variant", "fp32"))
        self._make("variants", model, ("--variant", "fused"))
        seconds, refused = self._make_int8(model)
        ours = {name: where for name, where in OURS.items() if not (refused and where[0] == "int8")}
        archives = {name: self._archive(work, artifact) for name, (work, artifact) in ours.items()}
        numbers = {name: self._numbers(work, artifact) for name, (work, artifact) in ours.items()}
        if self.case.has_peer:
            archives[PEER] = self._peer(model)
            numbers[PEER] = self._peer_numbers(archives[PEER])
        made = {
            "case": self.case.model,
            "kind": self.case.kind,
            "int8_seconds": seconds,
            "int8_refused": refused,
            "places": {name: str(path.relative_to(self.scratch)) for name, path in archives.items()},
            "numbers": numbers,
        }
        kept.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        return made

    def run(self) -> dict[str, Any]:
        """Return everything that was measured."""
        made = self.prepare()
        archives = {name: self.scratch / place for name, place in made.pop("places").items()}
        numbers = made.pop("numbers")
        found = self._bench(archives)
        return {
            **made,
            "against": list(archives)[-1] if self.case.has_peer else next(iter(archives)),
            "archives": {name: {**numbers[name], "bench": row} for name, row in found.items()},
            "rounds": self.options.rounds,
            "busy": self.options.busy_anyway,
        }

    def _tool(self, work: str, *arguments: str, fails: tuple[int, ...] = (OVER_BUDGET,)) -> tuple[int, str, str]:
        command = [self.options.ours, "-P", "-m", "release_tool", "-q", "--work", str(self.scratch / work), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode not in (0, *fails):
            sys.exit(f"{' '.join(command)} ended with {done.returncode}\n{done.stderr}")
        return done.returncode, done.stdout, done.stderr

    def _make(self, work: str, model: Path, variants: tuple[str, ...]) -> None:
        """Trace, prove and judge one release."""
        self._tool(work, "trace", str(model), "--version", "1.0.0", "--kind", self.case.kind, *variants)
        self._prove(work)

    def _make_int8(self, model: Path) -> tuple[float, str | None]:
        """Do the same in int8; return the seconds of trace, and why there is no such archive where there is none."""
        asked = ("--version", "1.0.0", "--kind", self.case.kind, "--format", "onnx", "--variant", "int8")
        started = monotonic()
        code, _, words = self._tool("int8", "trace", str(model), *asked, fails=(EXPORT_FAILED,))
        took = monotonic() - started
        if code:
            return took, " ".join(words.split())
        self._prove("int8")
        return took, None

    def _prove(self, work: str) -> None:
        self._tool(work, "validate")
        if self.case.is_judged and self.options.cranfield:
            self._tool(work, "quality", "--set", str(self.options.cranfield))

    def _archive(self, work: str, artifact: str) -> Path:
        bundle = self._document(work, f"bundle-{artifact}.json")
        return self.scratch / work / bundle["archive"]["path"]

    def _document(self, work: str, name: str) -> Any:
        path = self.scratch / work / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def _numbers(self, work: str, artifact: str) -> dict[str, Any]:
        """Return what is proven of one of our archives, and what a search finds with it."""
        rows = self._document(work, f"proof-runtime-{artifact}.json").get("comparisons", [])
        sets = self._document(work, f"quality-{artifact}.json").get("sets", [])
        judged = next((one for one in sets if one["name"] == self._set_name()), None)
        return {
            "max_abs": max((row["max_abs"] for row in rows if row.get("max_abs") is not None), default=None),
            "cosine": min((row["cosine"] for row in rows if row.get("cosine") is not None), default=None),
            "ndcg": judged and judged["archive"]["ndcg_10"],
            "source_ndcg": judged and judged["source"]["ndcg_10"],
            "export": self._document(work, f"bundle-{artifact}.json").get("export"),
        }

    def _set_name(self) -> str:
        return self.options.cranfield.name if self.options.cranfield else ""

    def _peer(self, model: Path) -> Path:
        """Export the peer's archive, and put a register request beside it: ours, with its own size and digest."""
        ours = self._document("variants", "archives/torch_script.config.json")
        archive, config = peer_archive(self.options.peer, model, self.scratch / "peer", ours)
        (archive.parent / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return archive

    def _peer_numbers(self, archive: Path) -> dict[str, Any]:
        """Return how far the peer's answers are from the source's; probes that it cuts elsewhere are counted apart."""
        import numpy as np

        from release_tool.console import Console
        from release_tool.core.kinds import ModelKind
        from release_tool.models.answers import read_answers
        from release_tool.packaged import packaged_probes
        from release_tool.services.cache import cache_folder
        from release_tool.services.runtime_ring import answer

        kind = ModelKind(self.case.kind)
        got = answer(
            archive, archive.parent / "config.json", packaged_probes().for_kind(kind), kind,
            console=Console(verbosity=-1), cache=cache_folder(os.environ),
        )  # fmt: skip
        wanted = read_answers(self.scratch / "variants" / f"answers-{kind.value}.safetensors").arrays
        same = got.arrays["tokens"] == wanted["tokens"]
        apart = np.abs(got.arrays["embedding"] - wanted["embedding"])[same]
        return {"max_abs": float(np.nanmax(apart)), "cut_otherwise": int((~same).sum())}

    def _bench(self, archives: dict[str, Path]) -> dict[str, Any]:
        """Return a row of ``bench`` a name; the first is the other archive where there is no peer."""
        names = list(archives)
        base = names[-1] if self.case.has_peer else names[0]
        others = [name for name in names if name != base]
        if not self.options.busy_anyway:
            machine.wait_until_quiet()
        said = self._tool(
            "none", "--json", "bench", *(str(archives[name]) for name in others), "--against", str(archives[base]),
            "--on", "node", "--rounds", str(self.options.rounds), "--lengths", self.case.lengths,
        )[1]  # fmt: skip
        return dict(zip([*others, base], json.loads(said)["archives"], strict=True))


def main() -> int:
    """Measure, then render the section."""
    options = _options()
    os.environ["HF_HUB_OFFLINE"] = "1"
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for case in () if options.report else CASES:
        if options.case and case.model not in options.case:
            continue
        measuring = Measuring(case, options)
        if options.prepare:
            measuring.prepare()
            continue
        found = measuring.run()
        (out / f"variants-{case.model}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(variants_report.model_table(found), flush=True)
    if options.prepare:
        return 0
    target: Path = options.results
    text = target.read_text(encoding="utf-8") if target.is_file() else ""
    target.write_text(variants_report.insert(text, variants_report.render(out)), encoding="utf-8")
    print(f"wrote {target}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--ours", default=sys.executable, help="Python with release-tool [default: this one]")
    parser.add_argument("--peer", help="Python with opensearch-py-ml")
    parser.add_argument("--cranfield", type=Path, help="judged set in BEIR's layout; without it nothing is judged")
    parser.add_argument("--case", action="append", choices=[case.model for case in CASES], help="may be repeated")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"turns of each archive [default: {ROUNDS}]")
    parser.add_argument("--busy-anyway", action="store_true", help="measure on a busy machine, too; the report says so")
    parser.add_argument("--prepare", action="store_true", help="make and prove the archives, measure no times")
    parser.add_argument("--report", action="store_true", help="measure nothing, render what was measured")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    parser.add_argument("--models", type=Path, default=HERE / "out" / "models")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the section goes [default: RESULTS.md]")
    options = parser.parse_args()
    if not options.report and not options.peer:
        parser.error("--peer is missing: the Python with bench/peer-requirements.txt")
    return options


if __name__ == "__main__":
    sys.exit(main())
