"""Fine-tune all-MiniLM-L6-v2 on documents alone, and measure what a search gains: the section "Fine-tuning" of RESULTS.md.

    .venv/bin/python bench/finetune.py --cranfield DIR [--case dense] [--case sparse]

DIR is a judged set in BEIR's layout (Cranfield). Nobody's judgements are trained on: the training sees the documents of
split train and queries that the provider ``sentences`` makes of them, no teacher and no service. Two figures: queries made
of documents that were held out, and the collection's own queries over all documents. Without DIR, or where it is not
there, nothing is measured and the reason is said.
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

import finetune_report
import foreign
import machine
import variants_report

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
NOT_BETTER = 6

COMMON = """[model]
name = "minilm-{kind}"
base = "{base}"
kind = "{kind}"
max_length = 256

[corpus]
path = "documents.jsonl"

[split]
dev = 0.1
test = 0.1

[teach]
models = []

[select]
negatives = 1
sampling = "random"

[evaluate]
sets = ["{cranfield}"]

[train]
loss = "mnrl"
batch_size = 16
total_batch_size = 16
learning_rate = 3e-5
"""
KEYS = {
    "dense": "steps = 60\nsave_steps = 30\n",
    "sparse": "steps = 40\nsave_steps = 20\n",
}
"""Of [train], written down before a run of this program was measured."""


def write_project(folder: Path, kind: str, base: Path, cranfield: Path) -> Path:
    """Write documents and recipe; a document without a text is left out, as it is in the set."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with (folder / "documents.jsonl").open("w", encoding="utf-8") as out:
        for line in (cranfield / "corpus.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if (row.get("text") or "").strip():
                data = {"id": row["_id"], "title": row.get("title") or "", "text": row["text"]}
                out.write(json.dumps(data, ensure_ascii=False) + "\n")
    text = COMMON.format(kind=kind, base=base.resolve(), cranfield=cranfield.resolve()) + KEYS[kind]
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    return folder / "recipe.toml"


def measure(kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one recipe to its end and return what was measured."""
    model = options.models.resolve() / "minilm"
    subprocess.run(
        [options.ours, "-P", str(HERE / "models.py"), "minilm", str(model)], check=True, stdout=subprocess.DEVNULL
    )
    folder = options.out.resolve() / f"scratch-finetune-{kind}"
    recipe = write_project(folder, kind, model, options.cranfield)
    if not options.busy_anyway:
        machine.wait_until_quiet()
    numbers = folder / "numbers.json"
    command = [options.ours, "-P", "-m", "release_tool", "--work", str(folder / "work"), "finetune", "run"]
    done = subprocess.run(
        [
            options.ours, str(HERE / "measure.py"), "--out", str(numbers), "--log", str(folder / "log.txt"), "--",
            *command, "--recipe", str(recipe),
        ],
        check=False,
    )  # fmt: skip
    taken = json.loads(numbers.read_text(encoding="utf-8"))
    if taken["exit_code"] not in (0, NOT_BETTER):
        sys.exit(f"finetune run ended with {taken['exit_code']} ({done.returncode}); see {folder / 'log.txt'}")
    run = folder / "work" / "finetune"
    stages = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(run.glob("*/stage.json"))
    }
    return {
        "kind": kind,
        "keys": COMMON.partition("[split]")[2].replace("{cranfield}", "cranfield") + KEYS[kind],
        "evaluation": json.loads((run / "09-evaluate" / "evaluation.json").read_text(encoding="utf-8")),
        "stages": {
            name.partition("-")[2]: {"seconds": state["seconds"], "counts": state["counts"]}
            for name, state in stages.items()
        },
        "numbers": {key: taken[key] for key in (*foreign.KEYS, "cpu_s", "max_rss", "sum_rss")},
        "machine": machine.describe(),
        "versions": machine.versions(options.ours, ("release-tool", "torch", "sentence-transformers")),
        "busy": options.busy_anyway,
    }


def main() -> int:
    """Measure, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--ours", default=sys.executable, help="Python with release-tool [default: this one]")
    parser.add_argument("--cranfield", type=Path, help="judged set in BEIR's layout")
    parser.add_argument("--case", action="append", choices=list(KEYS), help="may be repeated [default: both]")
    parser.add_argument("--busy-anyway", action="store_true", help="measure on a busy machine, too; the report says so")
    parser.add_argument("--report", action="store_true", help="measure nothing, render what was measured")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    parser.add_argument("--models", type=Path, default=HERE / "out" / "models")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the section goes [default: RESULTS.md]")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.report:
        if options.cranfield is None or not (options.cranfield / "corpus.jsonl").is_file():
            print("skipped: no judged set is there; name Cranfield in BEIR's layout with --cranfield")
            return 0
        for kind in options.case or list(KEYS):
            found = measure(kind, options)
            path = options.out / f"finetune-{kind}.json"
            path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(finetune_report.line_of(found), flush=True)
    text = options.results.read_text(encoding="utf-8") if options.results.is_file() else ""
    options.results.write_text(variants_report.insert(text, finetune_report.render(options.out)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
