"""Measure the median predict time of our archives beside the peer's TorchScript archive, on one real node.

    .venv/bin/python bench/predict.py --peer PEER_PYTHON [--rounds 200]

Every archive is deployed on the same node in the same run; in each round each archive is asked once, in an order that
turns, so that a slow moment hits all. Needs what ``release-tool node up`` needs (a JDK 21 or newer, Maven).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import machine

HERE = Path(__file__).resolve().parent
PEER = "peer, TorchScript"
WARM_UPS = 20
ROUNDS, QUICK_ROUNDS = 200, 20
SHORT = "short"
LONG = "480 characters"
SENTENCE = "The river rises in the northern hills, crosses the old town and reaches the sea after forty miles. "
TEXTS = {SHORT: "today is sunny", LONG: (SENTENCE * 5)[:480]}


def our_archives(python: str, model: Path, work: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Trace both formats and return name → (archive, config)."""
    command = [python, "-P", "-m", "release_tool", "--work", str(work), "trace", str(model), "--version", "1.0.0"]
    subprocess.run([*command, "--no-answers"], check=True)
    found = {}
    for name, artifact in (("ours, TorchScript", "torch_script"), ("ours, ONNX", "onnx")):
        config = json.loads((work / "archives" / f"{artifact}.config.json").read_text(encoding="utf-8"))
        (archive,) = (work / "archives").glob(f"*-{artifact}.zip")
        found[name] = (archive, config)
    return found


def peer_archive(python: str, model: Path, out: Path, ours: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Export the peer's TorchScript archive; its register request is ours with its own size and digest."""
    from release_tool.documents import file_sha256

    out.mkdir()
    subprocess.run(
        [python, "-P", str(HERE / "peer.py"), "--format", "torch_script", "--model", str(model), "--out", str(out)],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    (archive,) = out.glob("*.zip")
    facts = {
        "model_content_size_in_bytes": archive.stat().st_size,
        "model_content_hash_value": file_sha256(archive),
    }
    return archive, {**ours, "name": "peer", **facts}


def ask(client: Any, model_id: str, text: str) -> float:
    """Return the milliseconds of one predict, as the client sees them."""
    from release_tool.core.kinds import ModelKind
    from release_tool.core.probes import Probe
    from release_tool.services.probe_asking import request_of

    body = request_of(Probe(id="bench", shape="bench", text=text), ModelKind.DENSE)
    started = time.perf_counter()
    client.predict(model_id, body)
    return (time.perf_counter() - started) * 1000


def measure(archives: dict[str, tuple[Path, dict[str, Any]]], rounds: int) -> tuple[dict[str, dict[str, float]], str]:
    """Return archive → text → median milliseconds, and the node's version."""
    from release_tool.console import Console
    from release_tool.services.node import running_node
    from release_tool.services.node_ring import deployed

    console = Console()
    with ExitStack() as stack:
        node = stack.enter_context(running_node(console, env=os.environ))
        client = stack.enter_context(node.client())
        ids = {
            name: stack.enter_context(deployed(client, archive, config, console))
            for name, (archive, config) in archives.items()
        }
        names = list(ids)
        times: dict[str, dict[str, float]] = {name: {} for name in names}
        for label, text in TEXTS.items():
            samples: dict[str, list[float]] = {name: [] for name in names}
            for number in range(WARM_UPS + rounds):
                turn = number % len(names)
                for name in names[turn:] + names[:turn]:
                    taken = ask(client, ids[name], text)
                    if number >= WARM_UPS:
                        samples[name].append(taken)
            for name in names:
                times[name][label] = median(samples[name])
        return times, node.version


def main() -> int:
    """Make the archives, ask the node, and write predict.json beside the other numbers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--ours", default=sys.executable, help="Python with release-tool [default: this one]")
    parser.add_argument("--peer", required=True, help="Python with opensearch-py-ml")
    parser.add_argument("--rounds", type=int, help=f"requests an archive and text [default: {ROUNDS}]")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds")
    parser.add_argument("--busy-anyway", action="store_true", help="measure on a busy machine, too; the report says so")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    parser.add_argument("--models", type=Path, default=HERE / "out" / "models")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    scratch = options.out.resolve() / "scratch-predict"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    model = options.models.resolve() / "minilm"
    subprocess.run([options.ours, "-P", str(HERE / "models.py"), "minilm", str(model)], check=True)
    archives = our_archives(options.ours, model, scratch / "work")
    archives[PEER] = peer_archive(options.peer, model, scratch / "peer", archives["ours, TorchScript"][1])
    if not options.busy_anyway:
        machine.wait_until_quiet()
    times, version = measure(archives, rounds)
    ratios = {name: {text: of[text] / times[PEER][text] for text in TEXTS} for name, of in times.items()}
    data = {"median_ms": times, "ratio_to_peer": ratios, "texts": list(TEXTS), "rounds": rounds, "opensearch": version}
    path = options.out.resolve() / "predict.json"
    path.write_text(json.dumps({**data, "busy": options.busy_anyway}, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(scratch)
    for name, of in times.items():
        print(f"{name}: " + ", ".join(f"{text} {of[text]:.1f} ms ({ratios[name][text]:.2f})" for text in TEXTS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
