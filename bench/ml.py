"""What the client of ML Commons takes beside the least that anybody could do, on one real node.

    .venv/bin/python bench/ml.py [--texts 10000] [--parallel 4] [--gib 2] [--rounds 3] [--only predict|register]

``ml predict`` of a file of texts beside a bare loop: as many threads, each with a connection that it keeps, which send
the same bodies, read the replies and write them. It is asked of two models: MiniLM, whose answers take the server a
while, and a tokenizer, whose answers take it next to nothing, so that the client is all that is measured.

``ml register`` of an archive by chunks beside a bare upload: one connection that sends the same chunks one after another
and checks nothing. Ours reads the archive twice (it is hashed before the first byte leaves) and looks on the cluster.

Whole processes are measured, start and imports included, by ``measure.py``, in turns. Needs what ``release-tool node up``
needs, and three times the archive's size of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

BENCH = Path(__file__).resolve().parent
sys.path[:0] = [str(BENCH.parent), str(BENCH.parent / "tests")]
WANTED_PREDICT, WANTED_REGISTER, WANTED_MB = 0.9, 0.8, 100
OURS = [sys.executable, "-P", "-m", "release_tool", "-q"]
WORDS = (
    "river", "hill", "town", "market", "winter", "garden", "letter", "window", "bridge", "music", "forest", "morning",
    "stone", "paper", "silver",
)  # fmt: skip

BARE_LOOP = """
import http.client, json, sys, threading
host, port, model, source, out, parallel = sys.argv[1:]
texts = [json.loads(line) for line in open(source)]
replies, places, lock = [None] * len(texts), iter(range(len(texts))), threading.Lock()
def ask():
    connection = http.client.HTTPConnection(host, int(port))
    while True:
        with lock:
            place = next(places, None)
        if place is None:
            return
        body = json.dumps({"text_docs": [texts[place]]})
        headers = {"content-type": "application/json"}
        connection.request("POST", f"/_plugins/_ml/models/{model}/_predict", body, headers)
        answer = connection.getresponse()
        replies[place] = json.loads(answer.read())
        assert answer.status == 200, replies[place]
threads = [threading.Thread(target=ask) for _ in range(int(parallel))]
for thread in threads: thread.start()
for thread in threads: thread.join()
with open(out, "w") as stream:
    for reply in replies:
        stream.write(json.dumps(reply) + "\\n")
"""
BARE_UPLOAD = """
import http.client, json, sys
host, port, archive, meta = sys.argv[1:]
connection = http.client.HTTPConnection(host, int(port))
def post(path, body, kind):
    connection.request("POST", "/_plugins/_ml/models/" + path, body, {"content-type": kind})
    answer = connection.getresponse()
    reply = json.loads(answer.read())
    assert answer.status == 200, reply
    return reply
model = post("_register_meta", open(meta).read(), "application/json")["model_id"]
with open(archive, "rb") as stream:
    for place in range(1 << 30):
        chunk = stream.read(10_000_000)
        if not chunk:
            break
        post(f"{model}/upload_chunk/{place}", chunk, "application/json")
"""


def measured(command: list[str], folder: Path) -> dict[str, float]:
    """Run a command to its end and return its numbers."""
    out, log = folder / "numbers.json", folder / "log"
    measure = [sys.executable, str(BENCH / "measure.py"), "--out", str(out), "--log", str(log), "--", *command]
    subprocess.run(measure, check=False)
    numbers = json.loads(out.read_text())
    assert numbers["exit_code"] == 0, log.read_text()
    return numbers


def in_turns(bare: Any, ours: Any, folder: Path, rounds: int, after: Any = None) -> list[dict[str, dict[str, float]]]:
    """Return the numbers of both, a round each; they take turns in going first."""
    rows = []
    for number in range(rounds):
        turns = {"bare": bare, "ours": ours}
        row = {}
        for name in list(turns) if number % 2 == 0 else list(turns)[::-1]:
            row[name] = measured(turns[name](number), folder)
            if after is not None:
                after()
        rows.append(row)
        print(
            f"  round {number + 1}: " + ", ".join(f"{key} {one['wall_s']:.1f} s" for key, one in row.items()),
            flush=True,
        )
    return rows


def told(what: str, rows: list[dict[str, dict[str, float]]], wanted: float) -> dict[str, Any]:
    """Print and return how fast ours is beside the bare one, and what memory it takes."""
    ratio = statistics.median(row["bare"]["wall_s"] / row["ours"]["wall_s"] for row in rows)
    memory = max(row["ours"]["max_rss"] for row in rows) / 1e6
    bare = max(row["bare"]["max_rss"] for row in rows) / 1e6
    print(
        f"{what}: {ratio:.2f} times as fast as bare (wanted: {wanted}); {memory:.0f} MB (wanted: below {WANTED_MB}), bare "
        f"{bare:.0f} MB"
    )
    return {"what": what, "ratio": ratio, "wanted": wanted, "max_rss": memory * 1e6, "rows": rows}


@contextmanager
def served(node: Any, archive: Path, config: dict[str, Any]) -> Iterator[str]:
    """Register and deploy an archive by the proofs' own client; yield its id, and take it away again."""
    from release_tool.console import Console
    from release_tool.services.node_ring import deployed

    with node.client() as client, deployed(client, archive, config, Console()) as model:
        yield model


def predict(node: Any, model: str, label: str, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure ``ml predict`` of many texts."""
    source = folder / "texts.jsonl"
    with source.open("w") as stream:
        for number in range(asked.texts):
            words = [WORDS[(number * 7 + place * 3) % len(WORDS)] for place in range(12)]
            stream.write(json.dumps(" ".join([*words, str(number)])) + "\n")
    out = folder / "answers.jsonl"
    parallel = str(asked.parallel)
    rows = in_turns(
        lambda _: [sys.executable, "-c", BARE_LOOP, "127.0.0.1", str(node.port), model, str(source), str(out), parallel],
        lambda _: [
            *OURS, "ml", "predict", model, "--cluster", node.url, "--input", str(source), "--output", str(out),
            "--overwrite", "--parallel", parallel,
        ],
        folder, asked.rounds,
    )  # fmt: skip
    with out.open() as stream:
        assert sum(1 for _ in stream) == asked.texts
    return told(f"predict of {asked.texts:,} texts, {asked.parallel} at once, {label}", rows, WANTED_PREDICT)


def register(node: Any, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure ``ml register`` of a large archive."""
    from toys import tokenizer

    from release_tool.documents import file_sha256

    archive, size = folder / "large.zip", int(asked.gib * 2**30)
    write_large(archive, tokenizer(), size)
    config = {"name": "bench", "function_name": "SPARSE_TOKENIZE", "model_format": "TORCH_SCRIPT"}
    (folder / "large.config.json").write_text(
        json.dumps({**config, "model_content_hash_value": file_sha256(archive)}), encoding="utf-8"
    )
    total = archive.stat().st_size

    def meta(number: int) -> str:
        path = folder / "meta.json"
        said = {
            **config, "name": f"bench bare {number}", "version": "1", "model_content_hash_value": file_sha256(archive),
            "total_chunks": -(-total // 10_000_000), "model_content_size_in_bytes": total,
        }  # fmt: skip
        path.write_text(json.dumps(said), encoding="utf-8")
        return str(path)

    def clear() -> None:
        from release_tool.core.ml.clusters import of_url
        from release_tool.core.ml.request import Request
        from release_tool.core.ml.searches import hits, models_of_name
        from release_tool.services.cluster.transport import Cluster
        from release_tool.services.cluster.undoing import remove_group, remove_model

        names = [f"bench {who} {number}" for who in ("bare", "ours") for number in range(asked.rounds)]
        with Cluster(of_url(node.url, has_user=False), {}, timeout=600) as cluster:
            for model, source in [hit for name in names for hit in hits(cluster.send(models_of_name(name)))]:
                remove_model(cluster, model)
                remove_group(cluster, source["model_group_id"])
            query = {"only_expunge_deletes": "true", "flush": "true"}
            cluster.send(Request(method="POST", path="/.plugins-ml-model/_forcemerge", query=query))

    rows = in_turns(
        lambda number: [sys.executable, "-c", BARE_UPLOAD, "127.0.0.1", str(node.port), str(archive), meta(number)],
        lambda number: [
            *OURS, "--work", str(folder / f"work{number}"), "ml", "register", str(archive), "--cluster", node.url,
            "--config", str(folder / "large.config.json"), "--name", f"bench ours {number}", "--version", "1", "--force",
        ],
        folder, asked.rounds, clear,
    )  # fmt: skip
    return told(f"register of {total / 1e9:.1f} GB by chunks", rows, WANTED_REGISTER)


def write_large(path: Path, tokenizer: str, size: int) -> None:
    """Write an archive of random bytes beside a tokenizer, in bounded memory."""
    import zipfile

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("tokenizer.json", tokenizer)
        with archive.open("random.bin", "w", force_zip64=True) as stream:
            for _ in range(size // 2**24):
                stream.write(os.urandom(2**24))


def main() -> int:
    """Measure, print, and write ml.json beside the other numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--gib", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("predict", "register"))
    parser.add_argument("--tokens-only", action="store_true", help="leave MiniLM out, which takes most of the time")
    parser.add_argument("--busy-anyway", action="store_true", help="measure on a busy machine, too; the numbers say so")
    parser.add_argument("--out", type=Path, default=BENCH / "out")
    asked = parser.parse_args()
    from toys import tokenizer, zipped

    from release_tool.console import Console
    from release_tool.services.node import running_node

    os.environ.update(HF_HUB_OFFLINE="1", PYTHONPATH=os.pathsep.join(sys.path[:2]))
    found = []
    with tempfile.TemporaryDirectory() as name, running_node(Console(), env=os.environ) as node:
        folder = Path(name)
        if not asked.busy_anyway:
            machine.wait_until_quiet()
        if asked.only != "register":
            tokens = zipped(folder / "tokens.zip", {"tokenizer.json": tokenizer()})
            models = {"a tokenizer": (tokens, config_of("SPARSE_TOKENIZE", tokens))}
            if not asked.tokens_only:
                models["MiniLM, ONNX"] = minilm(asked.out, folder)
            for label, (archive, config) in models.items():
                with served(node, archive, config) as model:
                    found.append(predict(node, model, label, asked, folder))
        if asked.only != "predict":
            found.append(register(node, asked, folder))
        version = node.version
    asked.out.mkdir(parents=True, exist_ok=True)
    data = {"opensearch": version, "busy": asked.busy_anyway, "machine": machine.describe(), "measured": found}
    (asked.out / "ml.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return 0


def config_of(function: str, archive: Path) -> dict[str, Any]:
    """Return the register request of an archive without a model_config."""
    from release_tool.documents import file_sha256

    return {
        "name": "bench", "function_name": function, "model_format": "TORCH_SCRIPT", "version": "1",
        "model_content_hash_value": file_sha256(archive), "model_content_size_in_bytes": archive.stat().st_size,
    }  # fmt: skip


def minilm(out: Path, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Trace MiniLM with its real weights and return its ONNX archive with its config."""
    from predict import our_archives

    model = out.resolve() / "models" / "minilm"
    subprocess.run([sys.executable, "-P", str(BENCH / "models.py"), "minilm", str(model)], check=True)
    return our_archives(sys.executable, model, folder / "work")["ours, ONNX"]


if __name__ == "__main__":
    sys.exit(main())
