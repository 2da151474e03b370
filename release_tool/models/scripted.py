"""Metrics correlation: load the source's TorchScript module, and wrap it so that every answer survives the server.

ML Commons flattens the events into one list of tensors and takes three at a time. An event that lacks a field (the
algorithm of opensearch-py-ml leaves out ``suspected_metrics`` where it suspects none) moves all that follow, and the
server then mixes two events and drops the last: seen on a real 3.6.0. The wrapper gives each event all three.
"""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING, Any

import torch

from release_tool.core.scripts import EVENT_FIELDS
from release_tool.errors import ExportError, UnsafeModel, UnsupportedModel
from release_tool.models.deprecations import deprecated_writers
from release_tool.models.jobs import ModelFile
from release_tool.models.torchscript import Weights, layout

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.plan import ReleasePlan

FILE_CALL = re.compile(r"torch\.(?:save|from_file)\b")
"""The only operators that open files, as printed code calls them (all schemas of torch 2.13 were looked through)."""

MAX_CODE_BYTES = 64 << 20

EXAMPLE = ((0.0, 1.0, 0.0, 9.0, 9.0, 0.0, 1.0, 0.0) * 8, (5.0, 5.0, 6.0, 5.0, 9.0, 5.0, 6.0, 5.0) * 8)
"""Two metrics of 64 points: the module must take them and give a list, whatever it finds in them."""


class ServedEvents(torch.nn.Module):
    """Gives every event its window and pattern as float32 and its metrics, none where none are suspected, as int64."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self.source = source

    def forward(self, metrics: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Return the events of ``metrics`` float32 [metrics, points]."""
        served: list[dict[str, torch.Tensor]] = []
        for event in self.source(metrics):
            suspected = torch.zeros([0], dtype=torch.int64)
            if "suspected_metrics" in event:
                suspected = event["suspected_metrics"].to(torch.int64)
            served.append(
                {
                    "event_window": event["event_window"].to(torch.float32),
                    "event_pattern": event["event_pattern"].to(torch.float32),
                    "suspected_metrics": suspected,
                }
            )
        return served


def load_script(plan: ReleasePlan, snapshot: Path) -> Any:
    """Return the module of the source; its code is looked through as text before any of it can run.

    Raises:
        UnsafeModel: the plan does not trust it, or it asks for files.
        UnsupportedModel: it is no TorchScript, or the installed torch can't load it.
    """
    name = plan.source.model.script_path
    if name is None:
        raise UnsupportedModel("The plan names no TorchScript module.", hint="Run release-tool plan again.")
    if not plan.request.trust_remote_code:
        raise UnsafeModel(f"The plan does not trust {name}, which is a program.")
    path = snapshot / name
    found = FILE_CALL.search(_code(path))
    if found is not None:
        raise UnsafeModel(f"{name} reads or writes files ({found[0]}).", hint="Nobody should serve this model.")
    try:
        with deprecated_writers():
            return torch.jit.load(path, map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        raise UnsupportedModel(
            f"{name} can't be loaded: {last_line(error)}", hint="Save it by torch.jit.save."
        ) from error


def _code(path: Path) -> str:
    """Return all of the program's text."""
    try:
        with zipfile.ZipFile(path) as archive:
            code = [entry for entry in archive.infolist() if re.fullmatch(r"[^/]+/code/.*\.py", entry.filename)]
            if code and sum(entry.file_size for entry in code) <= MAX_CODE_BYTES:
                return "\n".join(archive.read(entry).decode("utf-8", "replace") for entry in code)
    except zipfile.BadZipFile:
        pass
    raise UnsupportedModel(f"{path.name} is no TorchScript module.", hint="Save it by torch.jit.save.")


def run_script(module: Any, metrics: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """Return the events of one input, plainly computed: optimising for each shape would cost more than it saves.

    Raises:
        UnsupportedModel: the module fails, or its answer is no list of events.
    """
    try:
        with torch.no_grad(), torch.jit.optimized_execution(False):
            events: Any = module(metrics)
    except (RuntimeError, ValueError, TypeError) as error:
        raise UnsupportedModel(f"The source's module fails: {last_line(error)}") from error
    fine = isinstance(events, list) and all(isinstance(event, dict) for event in events)
    if not fine or any(set(event) - {EVENT_FIELDS[2]} != {*EVENT_FIELDS[:2]} for event in events):
        raise UnsupportedModel(
            "The source's module does not answer with a list of events.",
            hint=f"forward must return List[Dict[str, Tensor]] with the keys {', '.join(EVENT_FIELDS)}.",
        )
    found: list[dict[str, torch.Tensor]] = events
    return found


def script_file(plan: ReleasePlan, snapshot: Path, weights: Weights) -> ModelFile:
    """Return the model file of a metrics correlation archive.

    Raises:
        ExportError: the module does not take one tensor and return events.
        UnsafeModel, UnsupportedModel: see ``load_script`` and ``run_script``.
    """
    source = load_script(plan, snapshot)
    try:
        with deprecated_writers():
            served = torch.jit.script(ServedEvents(source))
    except RuntimeError as error:
        raise ExportError(
            f"The module can't be served: {last_line(error)}",
            hint="forward must take one tensor [metrics, points] and return List[Dict[str, Tensor]].",
        ) from error
    run_script(served, torch.tensor(EXAMPLE))
    parameters = sum(parameter.numel() for parameter in served.parameters())
    return ModelFile(
        blob=layout(served, weights), inputs=("metrics",), outputs=EVENT_FIELDS, parameters=parameters, attention=""
    )


def last_line(error: Exception) -> str:
    """Return what a TorchScript error says at its end: the trace of the program stands before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
