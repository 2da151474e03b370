"""How much else ran while something was measured, from what ``measure.py`` wrote."""

from __future__ import annotations

from typing import Any

NOTED = 0.05
"""Of a core: above it, a report says so."""
KEYS = ("wall_s", "foreign_cpu_s", "sampler_cpu_s")


def foreign_share(run: dict[str, Any]) -> float:
    """Return how much of a core others used beside a run; whoever measures is not among them."""
    share: float = (run["foreign_cpu_s"] - run["sampler_cpu_s"]) / run["wall_s"]
    return share
