"""Small TorchScript modules for metrics correlation, with the interface that ML Commons feeds and reads.

Bursts finds runs of points far from a metric's mean. Where ``lonely`` is on, a run that one metric has alone has no
``suspected_metrics``: so does the algorithm of opensearch-py-ml where it suspects none.
"""

import io
from pathlib import Path
from typing import Dict, List  # noqa: UP035 - as a module of older days writes it

import torch

from release_tool.models.deprecations import deprecated_writers

Events = List[Dict[str, torch.Tensor]]  # noqa: UP006


class Bursts(torch.nn.Module):
    """Deterministic, and steady: nothing hangs on the last bit for whole numbers."""

    def __init__(self, lonely: bool = False) -> None:
        super().__init__()
        self.register_buffer("height", torch.tensor([2.017]))
        self.lonely = lonely

    def forward(self, metrics: torch.Tensor, most: int = 50) -> List[Dict[str, torch.Tensor]]:  # noqa: UP006
        score = (metrics - metrics.mean(dim=1, keepdim=True)).abs() / (metrics.abs().mean(dim=1, keepdim=True) + 1.0)
        active = score > self.height
        on = active.any(dim=0)
        events: List[Dict[str, torch.Tensor]] = []  # noqa: UP006
        start = -1
        points = metrics.shape[1]
        for point in range(points + 1):
            inside = point < points and bool(on[min(point, points - 1)])
            if inside and start < 0:
                start = point
            elif not inside and start >= 0:
                event = {
                    "event_window": torch.tensor([float(start), float(point - 1)]),
                    "event_pattern": score[:, start:point].sum(dim=0),
                }
                suspected = torch.nonzero(active[:, start:point].any(dim=1)).flatten()
                if suspected.numel() > 1 or not self.lonely:
                    event["suspected_metrics"] = suspected
                if len(events) < most:
                    events.append(event)
                start = -1
        return events


class Wavering(torch.nn.Module):
    """Answers by the last bits of its input."""

    def forward(self, metrics: torch.Tensor) -> List[Dict[str, torch.Tensor]]:  # noqa: UP006
        return [
            {
                "event_window": torch.zeros(2),
                "event_pattern": torch.frac(metrics.abs().sum().to(torch.float64) * 1e9).to(torch.float32).reshape(1),
                "suspected_metrics": torch.zeros([1], dtype=torch.int64),
            }
        ]


class Writing(torch.nn.Module):
    """Writes a file when it is asked."""

    def forward(self, metrics: torch.Tensor) -> List[Dict[str, torch.Tensor]]:  # noqa: UP006
        torch.save(metrics, "written")
        return [{"event_window": metrics}]


class Plain(torch.nn.Module):
    """Takes a tensor and gives one back."""

    def forward(self, metrics: torch.Tensor) -> torch.Tensor:
        return metrics


def make_script(folder: Path, module: torch.nn.Module, name: str = "bursts.pt") -> Path:
    """Write a source folder of metrics correlation and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(script_bytes(module))
    return folder


def script_bytes(module: torch.nn.Module) -> bytes:
    """Return a module as torch saves it."""
    buffer = io.BytesIO()
    with deprecated_writers():
        torch.jit.save(torch.jit.script(module.eval()), buffer)
    return buffer.getvalue()
