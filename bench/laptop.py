"""Run the laptop's recipe on 50,000 documents, and say how long it took: the section "On a laptop" of RESULTS.md.

    .venv/bin/python bench/laptop.py

The recipe is examples/finetune/laptop.toml as it stands, but for the addresses of its models and documents. The documents
are what botocore says of AWS's services, one operation, structure or member each: texts that people wrote, of a package
that is locked. No hub is asked, so the teacher has the size of its namesake and random weights: it scores as slowly and knows
nothing. So this is a measurement of time and memory; what the model learned means nothing, and is not shown.
"""

from __future__ import annotations

import argparse
import gzip
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import foreign
import machine
import variants_report

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parent / "examples" / "finetune" / "laptop.toml"
HEADING = "## On a laptop"
FILE = "laptop.json"
DOCUMENTS, MIN_WORDS = 50_000, 20
WANTED_MINUTES = 60
NOT_BETTER = 6


def texts() -> Iterator[str]:
    """Yield what botocore says, each text once."""
    import botocore

    seen = set()
    for path in sorted((Path(botocore.__file__).parent / "data").glob("*/*/service-2.json.gz")):
        service = json.loads(gzip.decompress(path.read_bytes()))
        for kind in ("operations", "shapes"):
            for thing in service.get(kind, {}).values():
                for said in (thing, *thing.get("members", {}).values()):
                    text = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", said.get("documentation") or "")).split())
                    if len(text.split()) >= MIN_WORDS and text not in seen:
                        seen.add(text)
                        yield text


def write_project(folder: Path, models: dict[str, Path], count: int) -> tuple[Path, int]:
    """Write documents and recipe, and return the recipe and how many words the documents have."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    words, written = 0, 0
    with (folder / "articles.jsonl").open("w", encoding="utf-8") as out:
        for text in texts():
            out.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
            words += len(text.split())
            written += 1
            if written == count:
                break
    if written < count:
        sys.exit(f"botocore has only {written:,} texts of {MIN_WORDS} words; {count:,} are wanted.")
    text = RECIPE.read_text(encoding="utf-8")
    for address, place in models.items():
        if f'"{address}"' not in text:
            sys.exit(f"{RECIPE.name} does not name {address}.")
        text = text.replace(f'"{address}"', json.dumps(str(place.resolve())))
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    return folder / "recipe.toml", words


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the recipe to its end and return what it took."""
    models = {}
    recipe = tomllib.loads(RECIPE.read_text(encoding="utf-8"))
    for name, address in (("minilm", recipe["model"]["base"]), ("cross-encoder", recipe["teach"]["models"][0])):
        models[address] = options.models.resolve() / name
        command = [options.ours, "-P", str(HERE / "models.py"), name, str(models[address])]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    versions = machine.versions(options.ours, ("release-tool", "torch", "sentence-transformers", "botocore"))
    folder = options.out.resolve() / "scratch-laptop"
    path, words = write_project(folder, models, options.documents)
    if not options.busy_anyway:
        machine.wait_until_quiet()
    measured = [
        options.ours, str(HERE / "measure.py"), "--out", str(folder / "numbers.json"), "--log", str(folder / "log.txt")
    ]  # fmt: skip
    command = [options.ours, "-P", "-m", "release_tool", "--work", str(folder / "work"), "finetune", "run"]
    subprocess.run([*measured, "--", *command, "--recipe", str(path)], check=False)
    numbers = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    if numbers["exit_code"] not in (0, NOT_BETTER):
        sys.exit(f"finetune run ended with {numbers['exit_code']}; see {folder / 'log.txt'}")
    run = folder / "work" / "finetune"
    stages = [json.loads(one.read_text(encoding="utf-8")) for one in sorted(run.glob("*/stage.json"))]
    return {
        "documents": options.documents,
        "words": words,
        "stages": [{key: stage[key] for key in ("stage", "seconds", "counts")} for stage in stages],
        "numbers": {key: numbers[key] for key in (*foreign.KEYS, "cpu_s", "max_rss")},
        "machine": machine.describe(),
        "versions": versions,
        "busy": options.busy_anyway,
    }


def render(out: Path) -> str:
    """Return the section; empty where nothing was measured."""
    if not (out / FILE).is_file():
        return ""
    found = json.loads((out / FILE).read_text(encoding="utf-8"))
    numbers = found["numbers"]
    minutes, others = numbers["wall_s"] / 60, foreign.foreign_share(numbers)
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    lines = [
        HEADING,
        "",
        (
            "Written by `bench/laptop.py`: `examples/finetune/laptop.toml` as it stands, on texts of botocore's documentation, with "
            "a teacher of random weights. Times and memory alone; what was learned means nothing."
        ),
        "",
        "| Stage | Seconds |",
        "|---|---|",
        *(f"| {stage['stage']} | {stage['seconds']:,.1f} |" for stage in found["stages"]),
        f"| whole run | {numbers['wall_s']:,.0f} |",
        "",
        (
            f"{found['documents']:,} documents of {found['words'] / found['documents']:.0f} words in the mean: {minutes:.0f} minutes "
            f"(goal: < {WANTED_MINUTES} {'✓' if minutes < WANTED_MINUTES else '**missed**'}), {numbers['cpu_s'] / 60:.0f} of CPU; the "
            f"largest process {numbers['max_rss'] / 1e9:.2f} GB."
        ),
        "",
    ]
    if found["busy"] or others > foreign.NOTED:
        lines += [f"Other work used {others:.2f} of a core meanwhile: on a quiet machine it takes less.", ""]
    return "\n".join([*lines, f"{found['machine']['CPU']}; {versions}.", ""])


def main() -> int:
    """Measure, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--ours", default=sys.executable, help="Python with release-tool [default: this one]")
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    parser.add_argument("--busy-anyway", action="store_true", help="measure on a busy machine, too; the report says so")
    parser.add_argument("--report", action="store_true", help="measure nothing, render what was measured")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    parser.add_argument("--models", type=Path, default=HERE / "out" / "models")
    parser.add_argument("--results", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.report:
        (options.out / FILE).write_text(json.dumps(measure(options), indent=1) + "\n", encoding="utf-8")
    section = render(options.out)
    text = options.results.read_text(encoding="utf-8")
    options.results.write_text(variants_report.insert(text, section), encoding="utf-8")
    print(section)
    return 0


if __name__ == "__main__":
    sys.exit(main())
