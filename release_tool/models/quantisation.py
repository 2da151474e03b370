"""Quantise the weights of an ONNX graph to eight bits; what comes in is quantised by the server, text by text.

Products (MatMul, and the fused Attention) take seven bits, -64 to 64, with a factor for each column: processors
without VNNI add pairs of products in sixteen bits, which 127 times 255 twice would overflow. Tables of embeddings are
only read, so they take eight bits, with a factor for each row. Everything else stays as it is: biases, normalisation,
the head of a cross-encoder (a Gemm of a few numbers).

Operators are those of opset 17 and QAttention, in the order in which onnxruntime knows to join them when it loads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import torch

from release_tool.core.variant_held import INT8_ZERO, int8_name
from release_tool.models.onnx_weights import Graph, Weight, swaps_axes
from release_tool.models.onnx_writer import FUSED_DOMAIN

if TYPE_CHECKING:
    from collections.abc import Iterator

PRODUCT_STEPS = 64
TABLE_STEPS = 127
LEAST_TABLE_ROWS = 256
"""A smaller table weighs nothing beside a model."""
ATTENTION_INPUTS = 4
"""Values, weight, bias and mask: what our graphs give to Attention."""


class Role(StrEnum):
    """What a weight does."""

    PRODUCT = "product"
    ATTENTION = "attention"
    TABLE = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A weight that can be quantised."""

    name: str
    """Of the parameter, as the model calls it; a table ends in ``[rows]``, since a tied head has the same weight."""
    role: Role
    initializer: str
    """What its numbers are called in the graph."""
    transpose: bool = False
    """Whether a node of the graph transposes them first (a tied head)."""


def layers(graph: Graph) -> dict[str, Layer]:
    """Return name → layer of everything that can be quantised, in the order of the graph."""
    turned = {node.output[0]: node.input[0] for node in graph.nodes if swaps_axes(node)}
    found: dict[str, Layer] = {}
    for node in graph.nodes:
        for layer in _layers_of(node, graph, turned):
            found.setdefault(layer.name, layer)
    return found


def closed(by_name: dict[str, Layer], kept: frozenset[str]) -> frozenset[str]:
    """Return what stays in float32 with these: a table whose numbers a kept head needs anyway would be stored twice."""
    stored = {layer.initializer for name, layer in by_name.items() if name in kept and layer.role is not Role.TABLE}
    return kept | {name for name, layer in by_name.items() if layer.initializer in stored}


def _layers_of(node: Any, graph: Graph, turned: dict[str, str]) -> Iterator[Layer]:
    def matrix(name: str) -> bool:
        weight = graph.weights.get(name)
        return weight is not None and weight.dtype is torch.float32 and len(weight.shape) == 2

    if node.op_type == "MatMul" and node.input[1] in turned and matrix(turned[node.input[1]]):
        source = turned[node.input[1]]
        yield Layer(name=graph.weights[source].name, role=Role.PRODUCT, initializer=source, transpose=True)
    elif node.op_type == "MatMul" and matrix(node.input[1]):
        yield Layer(name=graph.weights[node.input[1]].name, role=Role.PRODUCT, initializer=node.input[1])
    elif node.op_type == "Attention" and node.domain == FUSED_DOMAIN and matrix(node.input[1]):
        yield Layer(name=graph.weights[node.input[1]].name, role=Role.ATTENTION, initializer=node.input[1])
    elif node.op_type == "Gather" and matrix(node.input[0]):
        weight = graph.weights[node.input[0]]
        if weight.shape[0] >= LEAST_TABLE_ROWS:
            yield Layer(name=f"{weight.name}[rows]", role=Role.TABLE, initializer=node.input[0])


def eight_bits(numbers: torch.Tensor, steps: int, *, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return int8 of the same shape, and the factors float32 of the axis that is kept.

    Args:
        numbers: float32 [rows, columns].
        steps: the largest number that comes out.
        axis: what a factor is shared along: 0 gives one a column, 1 one a row.
    """
    largest = numbers.abs().amax(dim=axis)
    factors = torch.where(largest > 0, largest / steps, torch.ones_like(largest))
    scaled = torch.round(numbers / factors.unsqueeze(axis)).clamp(-steps, steps)
    return scaled.to(torch.int8), factors


@dataclass(slots=True)
class _Rewriting:
    """The nodes and weights of the new graph so far."""

    weights: dict[str, Weight]
    nodes: list[Any] = field(default_factory=list)
    dynamic: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Value → its eight bits, its factor and its zero point, made once for all that ask for it."""
    stored: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Layer → its eight bits and its factors."""

    def add(self, operator: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes: Any) -> None:
        import onnx

        node = onnx.helper.make_node(operator, inputs, outputs, **attributes)
        if domain:
            node.domain = domain
        self.nodes.append(node)

    def quantised_value(self, name: str) -> tuple[str, str, str]:
        """Return the eight bits of a value that is only known when the model runs."""
        if name not in self.dynamic:
            made = (f"{name}_int8", f"{name}_scale", f"{name}_zero")
            self.add("DynamicQuantizeLinear", [name], list(made))
            self.dynamic[name] = made
        return self.dynamic[name]

    def quantised_weight(self, layer: Layer) -> tuple[str, str]:
        """Store a layer's eight bits and factors, once."""
        if layer.name not in self.stored:
            numbers = self.weights[layer.initializer].tensor()
            table = layer.role is Role.TABLE
            matrix = numbers.t().contiguous() if layer.transpose else numbers
            bits, factors = eight_bits(matrix, TABLE_STEPS if table else PRODUCT_STEPS, axis=1 if table else 0)
            names = (int8_name(layer.name), f"{layer.name}_scale")
            self.weights[names[0]] = Weight((bits.contiguous(),), name=names[0], made=True)
            shape = (-1, 1) if table else (-1,)
            self.weights[names[1]] = Weight((factors.reshape(shape),), name=names[1], made=True)
            self.stored[layer.name] = names
        return self.stored[layer.name]

    def zero(self) -> str:
        """Return the zero point of all weights: they are symmetric."""
        self.weights.setdefault(INT8_ZERO, Weight((torch.zeros((), dtype=torch.int8),), name=INT8_ZERO, made=True))
        return INT8_ZERO


def quantise(graph: Graph, kept: frozenset[str]) -> Graph:
    """Return another graph with every layer but the kept ones in eight bits; the given one stays as it is."""
    import onnx

    by_name = layers(graph)
    kept = closed(by_name, kept)
    turned = {node.output[0]: node.input[0] for node in graph.nodes if swaps_axes(node)}
    work = _Rewriting(dict(graph.weights))
    for node in graph.nodes:
        layer = next((item for item in _layers_of(node, graph, turned) if item.name not in kept), None)
        if layer is None:
            work.nodes.append(node)
        else:
            {Role.PRODUCT: _product, Role.ATTENTION: _attention, Role.TABLE: _table}[layer.role](
                work, node, by_name[layer.name]
            )
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    made = Graph(model, work.weights)
    made.replace_nodes(work.nodes)
    made.drop_unused()
    return made


def _product(work: _Rewriting, node: Any, layer: Layer) -> None:
    bits, factors = work.quantised_weight(layer)
    value, scale, zero = work.quantised_value(node.input[0])
    out = node.output[0]
    work.add("MatMulInteger", [value, bits, zero, work.zero()], [f"{out}_sum"])
    work.add("Cast", [f"{out}_sum"], [f"{out}_float"], to=1)
    work.add("Mul", [scale, factors], [f"{out}_factor"])
    work.add("Mul", [f"{out}_float", f"{out}_factor"], [out])


def _attention(work: _Rewriting, node: Any, layer: Layer) -> None:
    import onnx

    bits, factors = work.quantised_weight(layer)
    value, scale, zero = work.quantised_value(node.input[0])
    bias, mask = [*node.input, "", ""][2:ATTENTION_INPUTS]
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    work.add(
        "QAttention",
        [value, bits, bias, scale, factors, mask, zero, work.zero()],
        list(node.output),
        FUSED_DOMAIN,
        **attributes,
    )


def _table(work: _Rewriting, node: Any, layer: Layer) -> None:
    bits, factors = work.quantised_weight(layer)
    out = node.output[0]
    work.add("Gather", [bits, node.input[1]], [f"{out}_row"], axis=0)
    work.add("Cast", [f"{out}_row"], [f"{out}_float"], to=1)
    work.add("Gather", [factors, node.input[1]], [f"{out}_factor"], axis=0)
    work.add("Mul", [f"{out}_float", f"{out}_factor"], [out])
