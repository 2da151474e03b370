"""The weights of an ONNX graph as they will be stored, and the graph that still asks for them by name.

Between the export and the file stands a ``Graph``: a ModelProto without numbers, and for each initialiser where its
numbers come from. Fusing and quantising rewrite both; the numbers are read when the file is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from release_tool.errors import ExportError
from release_tool.models.blobs import Blob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from release_tool.models.torchscript import Weights

STANDARD = frozenset({"", "ai.onnx"})


@dataclass(frozen=True, slots=True)
class Weight:
    """An initialiser: tensors of the model, joined along their first axis, then perhaps transposed."""

    parts: tuple[torch.Tensor, ...]
    name: str
    """As the model calls it; of joined ones, all names."""
    transposed: bool = False
    made: bool = False
    """Whether the only part was computed for the graph and is none of the model's."""

    @property
    def dtype(self) -> torch.dtype:
        """The element type, the same in all parts."""
        return self.parts[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape as stored."""
        first = self.parts[0].shape
        whole = (sum(part.shape[0] for part in self.parts), *first[1:]) if first else ()
        return tuple(reversed(whole)) if self.transposed else tuple(whole)

    def tensor(self) -> torch.Tensor:
        """Return the numbers as stored; what is joined or transposed is a copy."""
        whole = self.parts[0] if len(self.parts) == 1 else torch.cat(self.parts)
        return (whole.t() if self.transposed else whole).contiguous()

    def blob(self, weights: Weights) -> Blob:
        """Return the bytes; joined parts are joined anew each time they are read, so that none is held.

        Raises:
            ExportError: a number is NaN or infinite.
        """
        if self.made:
            return weights.made(self.parts[0])
        if len(self.parts) == 1:
            return weights.blob(self.parts[0], transposed=self.transposed)
        once = weights.made(self.tensor())

        def chunks() -> Iterator[memoryview]:
            yield memoryview(self.tensor().reshape(-1).numpy()).cast("B")

        return Blob(once.size, once.crc, chunks)


@dataclass(slots=True)
class Graph:
    """A graph and its weights."""

    model: Any
    """ModelProto without initialisers but small ones that a tool has added."""
    weights: dict[str, Weight]
    """Initialiser → its numbers, in the order in which they are stored."""

    @property
    def nodes(self) -> list[Any]:
        """The nodes, in order."""
        return list(self.model.graph.node)

    def replace_nodes(self, nodes: list[Any]) -> None:
        """Put other nodes in their place."""
        kept = list(nodes)
        del self.model.graph.node[:]
        self.model.graph.node.extend(kept)

    def drop_unused(self) -> None:
        """Take out weights, and nodes that only move weights, that nothing asks for any more."""
        served = {value.name for value in self.model.graph.output}
        while True:
            asked = {name for node in self.model.graph.node for name in node.input} | served
            nodes = [node for node in self.model.graph.node if asked.intersection(node.output)]
            if len(nodes) == len(self.model.graph.node):
                break
            self.replace_nodes(nodes)
        self.weights = {name: weight for name, weight in self.weights.items() if name in asked}


def collect(model: Any, module: torch.nn.Module, inputs: tuple[str, ...]) -> Graph:
    """Return an exported graph with its weights, which it names as inputs, taken from the module.

    Raises:
        ExportError: a graph input has no weight.
    """
    graph = model.graph
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    wanted = [value.name for value in graph.input if value.name not in inputs]
    unknown = [name for name in wanted if name not in own]
    if unknown:
        raise ExportError(f"The exported graph asks for {unknown[0]!r}, which the model does not have.")
    transposed = _store_transposed(graph, wanted)
    _keep_inputs(graph, inputs)
    weights = {
        transposed.get(name, name): Weight((own[name].data,), name, transposed=name in transposed) for name in wanted
    }
    return Graph(model, weights)


def swaps_axes(node: Any) -> bool:
    """Tell whether a node transposes a matrix."""
    return node.op_type == "Transpose" and [list(a.ints) for a in node.attribute if a.name == "perm"] == [[1, 0]]


def _store_transposed(graph: Any, names: list[str]) -> dict[str, str]:
    """Take out each transposition of a weight that nothing else uses; return weight → its new name."""
    uses: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    candidates = set(names)
    renamed: dict[str, str] = {}
    kept = []
    for node in graph.node:
        source = node.input[0] if node.input else ""
        if swaps_axes(node) and source in candidates and uses[source] == 1:
            renamed[source] = node.output[0]
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    return renamed


def _keep_inputs(graph: Any, inputs: tuple[str, ...]) -> None:
    """Leave exactly the served inputs, in the served order; one that the model ignores is put back."""
    import onnx

    present = {value.name: value for value in graph.input}
    served = []
    for name in inputs:
        if name in present:
            served.append(present[name])
        else:
            served.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["batch", "sequence"]))
    copies = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in served]
    del graph.input[:]
    graph.input.extend(copies)
