"""The oracle of metrics correlation: the source's own TorchScript module, without what the archive wraps it in.

Such a module decides (where an event ends, which metric belongs to it), and a decision may hang on the last bit: the
algorithm of opensearch-py-ml answers a third of the probes otherwise when its input is rounded otherwise, and so it
does in another version of libtorch. The oracle finds these probes by rounding the input itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from release_tool.core.scripts import EVENT_FIELDS
from release_tool.errors import UnsupportedModel
from release_tool.models.batches import array_difference
from release_tool.models.compare import Event, same_event
from release_tool.models.oracle_inputs import Answered
from release_tool.models.scripted import load_script, run_script

if TYPE_CHECKING:
    from release_tool.models.oracle_inputs import Question

ROUNDING = 1e-6
"""Of each number of the input, at most: some bits of float32, as much as a few operations done in another order."""
ROUNDINGS = 2
"""The first finds all probes that a real node answered otherwise; each costs as much as the answer."""


def answer(question: Question) -> Answered:
    """Answer every probe.

    Raises:
        UnsafeModel, UnsupportedModel: the module can't be loaded, or fails on a probe.
    """
    module = load_script(question.plan, question.snapshot)
    rows, lengths, margin = [], [], []
    limit = question.plan.tolerances.dense_node
    for probe in question.probes:
        metrics = torch.tensor(probe.series, dtype=torch.float32)
        try:
            found = _events(module, metrics)
            margin.append(float(_is_steady(module, metrics, found, limit)))
        except UnsupportedModel as error:
            raise UnsupportedModel(f"Probe {probe.id} ({probe.shape}): {error}", hint=error.hint) from error
        rows.append(found)
        lengths.append(metrics.numel())
        question.advance(1)
    arrays = {**pack_events(rows), "margin": np.asarray(margin, np.float32)}
    return Answered(arrays=arrays, inputs=[[] for _ in rows], batching="single", lengths=tuple(lengths))


def _events(module: Any, metrics: torch.Tensor) -> list[Event]:
    found = run_script(module, metrics)
    return [tuple(_numbers(event, name) for name in EVENT_FIELDS) for event in found]


def _is_steady(module: Any, metrics: torch.Tensor, found: list[Event], limit: float) -> bool:
    """Tell whether the answer stays the same, within ``limit`` times max(1, max|answer|), when the input is rounded."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(ROUNDINGS):
        factor = 1 + ROUNDING * (2 * torch.rand(metrics.shape, generator=generator) - 1)
        other = _events(module, metrics * factor)
        if len(other) != len(found) or not all(_alike(*pair, limit) for pair in zip(found, other, strict=True)):
            return False
    return True


def _alike(first: Event, second: Event, limit: float) -> bool:
    return same_event(second, first) and array_difference(second[1], first[1]) <= limit


def _numbers(event: dict[str, torch.Tensor], name: str) -> np.ndarray:
    # Only suspected_metrics may be missing, where none are.
    return event[name].detach().reshape(-1).numpy() if name in event else np.zeros(0)


def pack_events(rows: list[list[Event]]) -> dict[str, np.ndarray]:
    """Return the arrays of metrics correlation from (window, pattern, suspected) of each event of each probe."""
    events = [event for row in rows for event in row]
    sizes = np.asarray([[part.size for part in event] for event in events], np.int64).reshape(-1, len(EVENT_FIELDS))
    types = {"window": np.float32, "pattern": np.float32, "suspected": np.int64}
    flat = {
        name: np.concatenate([np.zeros(0, dtype), *(event[place] for event in events)]).astype(dtype)
        for place, (name, dtype) in enumerate(types.items())
    }
    return {"indptr": np.cumsum([0, *map(len, rows)], dtype=np.int64), "sizes": sizes, **flat}
