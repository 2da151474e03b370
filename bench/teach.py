"""What teachers' scores cost: batches of as many tokens as fit beside plain CrossEncoder.predict, at equal scores.

    .venv/bin/python bench/teach.py --cranfield FOLDER [--queries 40] [--rounds 3]

The model has the size of ms-marco-MiniLM-L6 and random weights: what a score costs does not depend on them. Each query
is paired with 21 documents (one and ``teach.negatives`` more), drawn by a fixed seed. Ours is the process of stage teach
as ``finetune`` starts it: it reads candidates and texts from part files and writes the logits into others. The other side
has all pairs in memory and calls ``predict(pairs, batch_size=32)`` once, with an Identity in place of its sigmoid and as
many threads as torch likes. Both are whole processes, measured by ``measure.py``, in turns; the first round is not
counted. The seconds that are compared begin when the libraries are imported, and hold the loading of the model.

Writes its section of RESULTS.md from bench/out/teach.json alone (``--report`` only renders).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import foreign
import machine
import numpy as np
import variants_report

HERE = Path(__file__).resolve().parent
HEADING = "## Scores of teachers"
PREDICT, OURS = "predict", "ours"
DOCUMENTS, BATCH, MAX_LENGTH, SEED = 21, 32, 512, 20
WANTED, SAME = 1.0, 1e-5
VERSIONS = ("torch", "transformers", "sentence-transformers", "tokenizers")


def prepare(options: argparse.Namespace, scratch: Path) -> None:
    """Write the part files of corpus, queries and candidates, and the job of the process."""
    from release_tool.core.codec import encode_text
    from release_tool.core.finetune.records import Document, Mined, Query
    from release_tool.core.finetune.teach_job import Teacher, TeachJob
    from release_tool.part_files import PartWriter

    shutil.rmtree(scratch, ignore_errors=True)
    draw = np.random.default_rng(SEED)
    ids = []
    with PartWriter(scratch / "corpus", Document.STEM) as writer:
        for row in lines(options.cranfield / "corpus.jsonl"):
            if row["text"].strip():
                ids.append(row["_id"])
                writer.add(Document(id=row["_id"], text=row["text"], title=row.get("title") or None))
    asked = list(lines(options.cranfield / "queries.jsonl"))[: options.queries]
    with PartWriter(scratch / "queries", Query.STEM) as writer, PartWriter(scratch / "mine", Mined.STEM) as candidates:
        for row in asked:
            first, *others = draw.choice(ids, DOCUMENTS, replace=False).tolist()
            writer.add(Query(id=row["_id"], text=row["text"], document=first))
            scores = tuple(0.0 for _ in others)
            candidates.add(
                Mined(query=row["_id"], positive=first, split="train", documents=tuple(others), scores=scores)
            )
    model = options.models.resolve() / "cross-encoder"
    subprocess.run([sys.executable, "-P", str(HERE / "models.py"), "cross-encoder", str(model)], check=True)
    teacher = Teacher(name="cross-encoder", model=str(model), out=str(scratch / "logits"))
    job = TeachJob(
        teachers=(teacher,),
        corpus=str(scratch / "corpus"),
        queries=str(scratch / "queries"),
        candidates=str(scratch / "mine"),
        scratch=str(scratch / "scratch"),
        negatives=DOCUMENTS - 1,
        batch_tokens=0,
        precision="fp32",
        max_length=MAX_LENGTH,
    )
    (scratch / "job.json").write_text(encode_text(job), encoding="utf-8")


def lines(path: Path) -> Any:
    """Yield the objects of a JSONL file."""
    with path.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def predict(scratch: Path) -> None:
    """Score as a person would, in this process; keep the scores and the seconds."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    from release_tool.core.codec import decode_text
    from release_tool.core.finetune.records import Document, Mined, Query
    from release_tool.core.finetune.teach_job import TeachJob
    from release_tool.part_files import read_rows

    logging.disable_progress_bar()
    job = decode_text(TeachJob, (scratch / "job.json").read_text(encoding="utf-8"))
    documents = {row.id: row.whole for row in read_rows(Path(job.corpus), Document)}
    queries = {row.id: row.text for row in read_rows(Path(job.queries), Query)}
    pairs = [
        (queries[row.query], documents[one])
        for row in read_rows(Path(job.candidates), Mined)
        for one in (row.positive, *row.documents)
    ]
    began = time.perf_counter()
    model = CrossEncoder(job.teachers[0].model, device="cpu", max_length=job.max_length)
    scores = model.predict(pairs, batch_size=BATCH, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    seconds = time.perf_counter() - began
    np.save(scratch / "predicted.npy", scores)
    (scratch / "seconds").write_text(json.dumps({"seconds": seconds, "threads": torch.get_num_threads()}))


def ours(scratch: Path) -> None:
    """Score as stage teach does, in this process; keep the seconds."""
    import sentence_transformers
    import torch

    from release_tool.models.finetune import teaching
    from release_tool.models.finetune.teacher import cores

    del sentence_transformers
    began = time.perf_counter()
    code = teaching.main(["--job", str(scratch / "job.json"), "--process", "0", "--of", "1"])
    seconds = time.perf_counter() - began
    assert code == 0
    (scratch / "seconds").write_text(
        json.dumps({"seconds": seconds, "threads": cores() if not torch.cuda.device_count() else 1})
    )


def measured(side: str, scratch: Path) -> dict[str, Any]:
    """Run one side to its end in a process of its own, and return its numbers."""
    from release_tool.workers import ONE_THREAD

    shutil.rmtree(scratch / "logits", ignore_errors=True)
    shutil.rmtree(scratch / "scratch", ignore_errors=True)
    numbers, log = scratch / "numbers.json", scratch / "log"
    env = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    env |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(HERE.parent)}
    env |= ONE_THREAD if side == OURS else {}
    command = [sys.executable, str(HERE / "measure.py"), "--out", str(numbers), "--log", str(log), "--", sys.executable]
    subprocess.run([*command, str(HERE / "teach.py"), "--side", side, "--scratch", str(scratch)], env=env, check=False)
    found = json.loads(numbers.read_text(encoding="utf-8"))
    if found["exit_code"] != 0:
        sys.exit(log.read_text(errors="replace")[-2000:])
    said = json.loads((scratch / "seconds").read_text(encoding="utf-8"))
    return {name: found[name] for name in (*foreign.KEYS, "cpu_s", "max_rss")} | said


def difference(scratch: Path) -> tuple[int, float, float]:
    """Return how many pairs were scored, how far apart both sides are at most, and the spread of the scores."""
    from release_tool.core.finetune.records import Taught
    from release_tool.part_files import read_rows

    theirs = np.load(scratch / "predicted.npy")
    mine = np.array([logit for row in read_rows(scratch / "logits", Taught) for logit in row.logits])
    assert len(mine) == len(theirs)
    return len(mine), float(np.abs(mine - theirs).max()), float(theirs.std())


def render(out: Path) -> str:
    """Return the section over what was measured; empty without."""
    path = out / "teach.json"
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    rows = found["rounds"]
    ratio = statistics.median(row[PREDICT]["seconds"] / row[OURS]["seconds"] for row in rows)
    table = [
        "| Side | Seconds | Pairs a second | CPU seconds | Largest memory, MB |",
        "|---|---|---|---|---|",
    ]
    names = {PREDICT: f"`CrossEncoder.predict(batch_size={BATCH})`", OURS: "`finetune teach`"}
    for side, name in names.items():
        seconds = [row[side]["seconds"] for row in rows]
        middle = statistics.median(seconds)
        cells = [
            name,
            f"{middle:.1f} ({min(seconds):.1f} to {max(seconds):.1f})",
            f"{found['pairs'] / middle:.1f}",
            f"{statistics.median(row[side]['cpu_s'] for row in rows):.1f}",
            f"{max(row[side]['max_rss'] for row in rows) / 1e6:.0f}",
        ]
        table.append(f"| {' | '.join(cells)} |")
    others = max(foreign.foreign_share(row[side]) for row in rows for side in names)
    busy = "**Measured with --busy-anyway: other work ran on this machine. These are no results.**\n"
    about = (
        f"Written by `bench/teach.py`: {found['pairs']:,} pairs of {found['set']}, a query and {DOCUMENTS} documents each, "
        f"by a cross-encoder of six layers of 384 with random weights, {found['threads']} threads, {len(rows)} rounds in turns; "
        f"medians, least and most. {found['machine']['CPU']}."
    )
    goal = (
        f"Goal: {ratio:.2f} times as fast, wanted {WANTED} {'✓' if ratio >= WANTED else '✗'}; largest difference of a logit "
        f"{found['difference']:.1e}, wanted {SAME:.0e} {'✓' if found['difference'] <= SAME else '✗'} (their spread is "
        f"{found['spread']:.2g}). Other work took {others:.2f} of a core at most."
    )
    parts = [HEADING, "", about, "", *([busy] if found["busy"] else []), *table, "", goal]
    return "\n".join(parts) + "\n"


def options_of() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cranfield", type=Path, help="judged set in BEIR's layout")
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy-anyway", action="store_true", help="measure on a busy machine, too; the report says so")
    parser.add_argument("--report", action="store_true", help="measure nothing, render what was measured")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    parser.add_argument("--models", type=Path, default=HERE / "out" / "models")
    parser.add_argument("--results", type=Path, default=HERE / "RESULTS.md")
    parser.add_argument("--side", choices=(PREDICT, OURS), help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Measure, and write the section."""
    sys.path.insert(1, str(HERE.parent))
    options = options_of()
    if options.side:
        {PREDICT: predict, OURS: ours}[options.side](options.scratch)
        return 0
    out = options.out.resolve()
    if not options.report:
        if options.cranfield is None or not (options.cranfield / "corpus.jsonl").is_file():
            print("skipped: no judged set at --cranfield, a folder in BEIR's layout")
            return 0
        run(options, out)
    section = render(out)
    text = options.results.read_text(encoding="utf-8") if options.results.is_file() else ""
    options.results.write_text(variants_report.insert(text, section), encoding="utf-8")
    print(section)
    return 0


def run(options: argparse.Namespace, out: Path) -> None:
    """Measure both sides in turns."""
    scratch = out / "scratch-teach"
    prepare(options, scratch)
    rounds = []
    for number in range(1 + options.rounds):
        if not options.busy_anyway:
            machine.wait_until_quiet()
        sides = (PREDICT, OURS) if number % 2 == 0 else (OURS, PREDICT)
        row = {side: measured(side, scratch) for side in sides}
        print(", ".join(f"{side} {row[side]['seconds']:.1f} s" for side in (PREDICT, OURS)), flush=True)
        rounds.append(row)
        if sides[-1] == OURS:
            pairs, apart, spread = difference(scratch)
    data = {
        "set": options.cranfield.resolve().name,
        "pairs": pairs,
        "difference": apart,
        "spread": spread,
        "threads": rounds[-1][OURS]["threads"],
        "busy": options.busy_anyway,
        "machine": machine.describe(),
        "versions": machine.versions(sys.executable, VERSIONS),
        "rounds": rounds[1:],
    }
    (out / "teach.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(scratch)


if __name__ == "__main__":
    sys.exit(main())
