"""How long a loaded model takes: asked on stdin, length by length, told on stdout in nanoseconds.

``ready`` with a JSON object comes first; then each line ``ask PLACE COUNT`` is answered by ``took N N N``, and
``peak`` by ``peak BYTES``. The parent keeps one such process an archive and asks them in turn, so that a slow moment
of the machine hits all of them. Timed is what the server does between tokens and answer: the tensors, the model, and
what the translator makes of its outputs.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .collect import Collector
from .engines import open_engine
from .faults import ContractFault
from .prepare import WARM_UP, Prepared

if TYPE_CHECKING:
    from collections.abc import Callable

    from .archive import Archive
    from .config import ServedConfig
    from .onnx_header import OnnxLimits


def time_answers(
    archive: Archive,
    config: ServedConfig,
    request: dict[str, Any],
    limits: OnnxLimits | None,
    peak_bytes: Callable[[], int],
) -> None:
    """Load the model, answer every length once, and then as often as stdin asks.

    Raises:
        Refused: the server would not load the model.
        ContractFault: it does not answer what clients read, or refuses one of the lengths.
    """
    prepared = Prepared.load(Path(request["prepared"]))
    server = tuple(int(part) for part in request["server"].split("."))
    # A server has its libraries loaded when a model comes.
    import_module("onnxruntime" if config.model_format == "ONNX" else "torch")
    before = peak_bytes()
    with archive.model_file(Path(request["scratch"])) as path:
        started = time.perf_counter()
        engine = open_engine(path, config, limits, optimised=True)
        loaded = time.perf_counter()
    lengths = [str(length) for length in prepared.lengths]
    collector = Collector(config, prepared, lengths, server)
    warming = time.perf_counter()
    collector.warm_up(engine)
    warm = time.perf_counter()
    facts = {
        "load_seconds": loaded - started + warm - warming,
        "empty_bytes": before,
        "loaded_bytes": peak_bytes(),
        "versions": {**prepared.versions, **engine.versions},
    }
    collector.run(engine, lambda _: None)
    if collector.errors:
        length, words = next(iter(collector.errors.items()))
        raise ContractFault(f"it does not answer an input of {length} tokens: {words}")
    _say("ready", json.dumps(facts))
    places = [place for place, owner in enumerate(prepared.owner) if owner != WARM_UP]
    for line in sys.stdin:
        word, *numbers = line.split()
        if word == "peak":
            _say("peak", str(peak_bytes()))
            continue
        place, count = map(int, numbers)
        took = []
        for _ in range(count):
            began = time.perf_counter_ns()
            collector.answer(engine, places[place])
            took.append(time.perf_counter_ns() - began)
        _say("took", *map(str, took))


def _say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()
