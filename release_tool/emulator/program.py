"""The program: read a request, answer the probes, write the arrays and a report beside them.

A request names a stage: ``all`` (ONNX and the sparse tokenizer), or ``tokenize`` and then ``infer`` where tokenizers
and torch live in two environments; to measure speed ``lengths`` and then ``time``. The report is written
last; without it nothing was answered. Lines ``probe N`` on stdout tell how far it is.
"""

from __future__ import annotations

import gc
import json
import platform
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .archive import Archive
from .collect import Collector
from .config import ServedConfig, read_config
from .engines import open_engine
from .faults import ContractFault, Refused
from .onnx_header import OnnxLimits
from .prepare import Prepared, prepare, save_arrays

if TYPE_CHECKING:
    from .collect import Engine


def main(arguments: list[str]) -> int:
    """Run one request; exit 0 whenever there is a report, also one that says no."""
    request = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    report: dict[str, Any] = {"fatal": None}
    try:
        serve(request, report)
    except Refused as refusal:
        report["fatal"] = {"why": "refused", "message": str(refusal)}
    except ContractFault as fault:
        report["fatal"] = {"why": "contract", "message": str(fault)}
    except MemoryError:
        report["fatal"] = {"why": "memory", "message": "the machine has no memory left for this model"}
    report["peak_bytes"] = peak_bytes()
    path = Path(request["report"])
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(report), encoding="utf-8")
    partial.replace(path)
    return 0


def serve(request: dict[str, Any], report: dict[str, Any]) -> None:
    """Run the stage that the request names; fill the report.

    Raises:
        Refused: the server would not register or deploy the archive.
        ContractFault: it would, and clients would not find what they read.
    """
    server = tuple(int(part) for part in request["server"].split("."))
    config = read_config(Path(request["config"]), server)
    if config.kind != request["kind"]:
        raise ContractFault(f"config.json makes it a model of kind {config.kind}, the plan says {request['kind']}")
    archive = Archive(Path(request["archive"]), config.function, config.model_format)
    try:
        if request["stage"] in {"lengths", "time"}:
            measure(request, report, archive, config)
            return
        probes = request["probes"]
        if config.kind == "metrics-correlation":
            from .events import EventCollector

            events = EventCollector(config, probes, server)
            module = load(archive, config, Path(request["scratch"]))
            events.run(module, tell)
            finish(request, report, events, module)
            return
        if request["stage"] == "infer":
            prepared = Prepared.load(Path(request["prepared"]))
        else:
            prepared = prepare(archive, config, probes)
        if request["stage"] == "tokenize":
            prepared.save(Path(request["prepared"]))
            report["versions"] = prepared.versions
            return
        collector = Collector(config, prepared, [probe["id"] for probe in probes], server)
        engine = None
        if config.kind == "sparse-tokenizer":
            idf = archive.idf()
            collector.notes += [] if idf is not None else ["no idf.json: every token weighs 1"]
            collector.tokenize(idf)
        else:
            engine = load(archive, config, Path(request["scratch"]), limits_of(request))
            collector.run(engine, tell)
        finish(request, report, collector, engine)
    finally:
        archive.close()


def measure(request: dict[str, Any], report: dict[str, Any], archive: Archive, config: ServedConfig) -> None:
    """Prepare texts of exact lengths, or time the answers to them."""
    if request["stage"] == "lengths":
        from .lengths import prepare_lengths

        prepare_lengths(archive, config, request["lengths"], report).save(Path(request["prepared"]))
        return
    from .timing import time_answers

    time_answers(archive, config, request, limits_of(request), peak_bytes)


def limits_of(request: dict[str, Any]) -> OnnxLimits | None:
    """Return the limits of the server's onnxruntime where another one stands in for it."""
    found = request.get("limits")
    return None if found is None else OnnxLimits(**found)


def load(archive: Archive, config: ServedConfig, scratch: Path, limits: OnnxLimits | None = None) -> Engine:
    """Load the archive's model; the unpacked file is gone when it is loaded.

    Nothing that is made meanwhile is garbage, and looking for it takes a sixth of torch's import.
    """
    gc.disable()
    try:
        return _load(archive, config, scratch, limits)
    finally:
        gc.enable()


def _load(archive: Archive, config: ServedConfig, scratch: Path, limits: OnnxLimits | None) -> Engine:
    with archive.model_file(scratch) as path:
        return open_engine(path, config, limits)


def finish(request: dict[str, Any], report: dict[str, Any], collector: Collector, engine: Engine | None) -> None:
    """Write the arrays; put the rest into the report."""
    save_arrays(Path(request["answers"]), collector.arrays())
    report |= {
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            **collector.prepared.versions,
            **(engine.versions if engine else {}),
        },
        "inputs": engine.inputs if engine else None,
        "outputs": collector.outputs,
        "dimension": collector.dimension,
        "errors": collector.errors,
        "texts": collector.texts,
        "collisions": collector.collisions(),
        "notes": collector.notes,
    }


def peak_bytes() -> int:
    """Return the largest resident memory of this process.

    Linux counts in ru_maxrss what the process was before it became this program, which is its parent; VmHWM doesn't.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def tell(done: int) -> None:
    """Say how many probes are answered."""
    sys.stdout.write(f"probe {done}\n")
    sys.stdout.flush()
