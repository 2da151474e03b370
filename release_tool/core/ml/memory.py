"""Whether a model has room on the nodes: the estimate that the server itself makes, beside what each node has.

A node's free memory does not count what the system's cache would give back, so a node that has run for a day says
that it has next to none. What it could have is counted too: its memory, less the heap and the models that it holds.
Source of the factors: ML Commons' ``MLModelManager`` (native memory of a model by its format).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.ml.shapes import inner, rows, table, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ESTIMATE = "memory_size_estimation_cpu"
FACTORS = {"TORCH_SCRIPT": 1.2, "ONNX": 1.5}
UNLIMITED = 1 << 60
"""Bytes: a control group that names no limit says a number beyond this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMemory:
    """One node that may run models; bytes."""

    node_id: str
    name: str
    free: int
    """As the node says, without what the system's cache would give back."""
    room: int
    """Its memory (or its control group's), less the heap and the models that it holds."""

    @property
    def available(self) -> int:
        """What a model may take at most."""
        return max(self.free, self.room)


def estimate(size: int, model_format: str) -> int:
    """Return the bytes that a model takes on a node by ML Commons' own rule.

    Args:
        size: bytes of the archive.
        model_format: ``TORCH_SCRIPT`` or ``ONNX``, in any case.
    """
    return int(size * FACTORS.get(model_format.upper(), 1.5))


def read_nodes(stats: Any, profile: Any = None, *, roles: Iterable[str] = ("data", "ml")) -> tuple[NodeMemory, ...]:
    """Return the nodes that may run models, from the replies of ``_nodes/stats/os,jvm`` and ``_ml/profile/models``."""
    wanted = set(roles)
    held = _held(profile)
    found = []
    for node_id, said in inner(stats, "nodes").items():
        node = table(said)
        if wanted.isdisjoint(map(str, rows(node.get("roles")))):
            continue
        memory = inner(node, "os", "mem")
        limit = _limit(inner(node, "os", "cgroup"))
        total = min(whole(memory.get("total_in_bytes")), limit)
        heap = whole(inner(node, "jvm", "mem").get("heap_max_in_bytes"))
        found.append(
            NodeMemory(
                node_id=str(node_id),
                name=str(node.get("name") or node_id),
                free=min(whole(memory.get("free_in_bytes")), limit),
                room=max(0, total - heap - held.get(str(node_id), 0)),
            )
        )
    return tuple(found)


def _limit(cgroup: Mapping[str, Any]) -> int:
    try:
        limit = int(inner(cgroup, "memory").get("limit_in_bytes") or UNLIMITED)
    except (TypeError, ValueError):  # "max"
        return UNLIMITED
    return limit if 0 < limit < UNLIMITED else UNLIMITED


def _held(profile: Any) -> dict[str, int]:
    return {
        str(node): sum(whole(table(model).get(ESTIMATE)) for model in inner(said, "models").values())
        for node, said in inner(profile, "nodes").items()
    }


def lacking(needed: int, nodes: Iterable[NodeMemory]) -> tuple[NodeMemory, ...]:
    """Return the nodes that can't hold a model of this estimate."""
    return tuple(node for node in nodes if node.available < needed)


def figures(needed: int, nodes: Iterable[NodeMemory]) -> str:
    """Return the figures as a sentence."""
    said = "; ".join(f"{node.name} has {gigabytes(node.available)}" for node in nodes)
    return f"It needs about {gigabytes(needed)}: {said}."


def gigabytes(size: int) -> str:
    """Return bytes for people."""
    return f"{size / 1e9:.2f} GB" if size >= 10_000_000 else f"{size / 1e6:.2f} MB"
