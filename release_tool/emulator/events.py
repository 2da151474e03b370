"""Metrics correlation: the series as one tensor, and the events as ML Commons puts them together again.

Source: ``MetricsCorrelationTranslator`` of ML Commons 3.6.0.0. Nothing is run when the model is deployed. The tensors
of all events come as one list, each under its key, and every three of them make an event: what comes after an event of
another length belongs to a wrong one, which a client can't see. Here that is an error of the probe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .collect import Collector
from .faults import ContractFault, Refused
from .prepare import MAX_MESSAGE, Prepared

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .collect import Engine
    from .config import ServedConfig
    from .results import Outputs

FIELDS = {"event_window": np.float32, "event_pattern": np.float32, "suspected_metrics": np.int64}
"""Name and type of the tensors of an event: the server reads no other type."""

ARRAYS = ("window", "pattern", "suspected")


class EventCollector(Collector):
    """Answers of one archive: ``indptr`` [n+1] counts events, ``sizes`` [events, 3] cuts the flat arrays."""

    def __init__(self, config: ServedConfig, probes: list[dict[str, Any]], server: tuple[int, ...]) -> None:
        super().__init__(config, Prepared(), [probe["id"] for probe in probes], server)
        self.series = [np.asarray(probe["series"], np.float32) for probe in probes]
        self.prepared.lengths = [series.size for series in self.series]

    def run(self, engine: Engine, advance: Callable[[int], None]) -> None:
        """Answer every probe."""
        for index, (probe, series) in enumerate(zip(self.probe_ids, self.series, strict=True)):
            try:
                self.found[index] = read_events(engine.run([(None, series)]))
            except (Refused, ContractFault) as fault:
                self.errors[probe] = str(fault)[:MAX_MESSAGE]
            advance(index + 1)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays, see the class."""
        rows = [self.found.get(index, []) for index in range(len(self.probe_ids))]
        events = [event for row in rows for event in row]
        arrays: dict[str, NDArray[Any]] = {
            "tokens": np.asarray(self.prepared.lengths, np.int32),
            "indptr": np.cumsum([0, *map(len, rows)], dtype=np.int64),
            "sizes": np.asarray([[part.size for part in event] for event in events], np.int64).reshape(-1, len(FIELDS)),
        }
        for place, (name, dtype) in enumerate(zip(ARRAYS, FIELDS.values(), strict=True)):
            arrays[name] = np.concatenate([np.zeros(0, dtype), *(event[place] for event in events)]).astype(dtype)
        return arrays


def read_events(outputs: Outputs) -> list[tuple[NDArray[Any], ...]]:
    """Return (window, pattern, suspected metrics) of each event.

    Raises:
        ContractFault: the server would mix events, lose one, or find a type that it does not read.
    """
    events: list[tuple[NDArray[Any], ...]] = []
    for start in range(0, len(outputs), len(FIELDS)):
        part = dict(outputs[start : start + len(FIELDS)])
        if set(part) != set(FIELDS):
            names = ", ".join(str(name) for name, _ in outputs[start : start + len(FIELDS)])
            raise ContractFault(f"event {len(events) + 1} is read from {names}, expected {', '.join(FIELDS)}")
        for name, dtype in FIELDS.items():
            if part[name].dtype != dtype:
                raise ContractFault(f"{name} is {part[name].dtype.name}, expected {np.dtype(dtype).name}")
        events.append(tuple(part[name].reshape(-1) for name in FIELDS))
    return events
