"""Fuse the ONNX graph of a transformer: attention, GELU and layer normalisation become one operator each.

onnxruntime's own tool rewrites the graph. It needs numbers for the weights that it joins (query, key and value of a
layer are one matrix afterwards); it is given stand-ins, every element of which is the number of its weight, and what
comes out says which weights were joined. So no weight is read and none is copied: the file is streamed as ever.

The tool does not look at what scores are divided by, and knows our graph's multiplication only as a division. Both is
settled before: the factor must be the one that the operator applies itself.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from release_tool.errors import ExportError
from release_tool.models.onnx_weights import Graph, Weight
from release_tool.models.onnx_writer import FUSED_DOMAIN, onnx_type

if TYPE_CHECKING:
    from collections.abc import Iterator

ATTENTION = "Attention"
MAX_VECTOR = 1
"""Axes of what always gets a stand-in: biases and the factors of a normalisation."""
SAME_FACTOR = 1e-6
"""Relative: a factor went through float32."""
HINT = "Release it with --variant fp32."


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What the tool can't read off the graph."""

    layers: int
    heads: int
    width: int
    """Of a token's vector: heads times the width of a head."""

    @classmethod
    def of(cls, config: Any) -> Architecture:
        """Read it from a transformers config."""
        return cls(
            layers=int(config.num_hidden_layers),
            heads=int(config.num_attention_heads),
            width=int(config.hidden_size),
        )


def fuse(graph: Graph, architecture: Architecture) -> dict[str, int]:
    """Rewrite a graph; return each operator of com.microsoft and how often it is there now.

    Raises:
        ExportError: the attention of some layer can't be fused, so that the variant would not be what its name says.
    """
    _divide_scores(graph, architecture)
    inputs = list(graph.model.graph.input)
    graph.model = _run_tool(_skeleton(graph, architecture), architecture)
    _take_back(graph, inputs)
    _settle_masks(graph)
    graph.drop_unused()
    counts = Counter(node.op_type for node in graph.nodes if node.domain == FUSED_DOMAIN)
    if counts[ATTENTION] != architecture.layers:
        raise ExportError(
            f"onnxruntime's tool fuses the attention of {counts[ATTENTION]} of {architecture.layers} layers.", hint=HINT
        )
    return dict(sorted(counts.items()))


def _divide_scores(graph: Graph, architecture: Architecture) -> None:
    """Turn the multiplication of each layer's scores into a division by its inverse."""
    import onnx

    makers = {name: node for node in graph.nodes for name in node.output}
    expected = math.sqrt(architecture.width / architecture.heads)
    for node in graph.nodes:
        first, second = (makers.get(name) for name in [*node.input, "", ""][:2])
        if node.op_type != "Mul" or first is None or second is None:
            continue
        if first.op_type != "MatMul" or second.op_type != "Constant":
            continue
        factor = float(onnx.numpy_helper.to_array(second.attribute[0].t))
        if abs(factor * expected - 1) > SAME_FACTOR:
            raise ExportError(
                f"Attention scores are multiplied by {factor:g}, where the fused operator takes {1 / expected:g}.",
                hint=HINT,
            )
        divisor = onnx.numpy_helper.from_array(np.asarray(1 / factor, np.float32), second.attribute[0].t.name)
        second.attribute[0].t.CopyFrom(divisor)
        node.op_type = "Div"


def _skeleton(graph: Graph, architecture: Architecture) -> Any:
    """Return the graph as the tool takes it: stand-ins for what it may join, inputs with a shape for the rest.

    A stand-in that nothing can tell from another one is refused by float32: 2**24 weights are more than 2 GiB holds.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    model.producer_name = "pytorch"  # the tool warns of graphs that others made
    for index, (name, weight) in enumerate(graph.weights.items()):
        square = weight.shape == (architecture.width, architecture.width)
        if weight.dtype is torch.float32 and (len(weight.shape) <= MAX_VECTOR or square):
            numbers = np.full(weight.shape, index, np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(numbers, name))
        else:
            value = onnx.helper.make_tensor_value_info(name, onnx_type(weight.dtype), weight.shape)
            model.graph.input.append(value)
    return model


@contextmanager
def _own_imports() -> Iterator[None]:
    """Undo what importing the tool does to the path of imports: its modules have names like ``models``."""
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before


def _run_tool(skeleton: Any, architecture: Architecture) -> Any:
    with _own_imports():
        from onnxruntime.transformers.fusion_options import FusionOptions
        from onnxruntime.transformers.optimizer import optimize_by_fusion

        options = FusionOptions("bert")
        # The default counts the mask's ones, which is right for padding on the right only.
        options.use_raw_attention_mask(use_raw_mask=True)
        # It would take the embeddings' numbers, and saves nothing beside the layers.
        options.enable_embed_layer_norm = False
        return optimize_by_fusion(skeleton, "bert", architecture.heads, architecture.width, options).model


def _take_back(graph: Graph, inputs: list[Any]) -> None:
    """Read the stand-ins that came out, and give the graph its weights under their new names."""
    import onnx

    known = list(graph.weights.values())
    found: dict[str, Weight] = {}
    small = []
    for tensor in graph.model.graph.initializer:
        if tensor.name in graph.weights:
            continue
        numbers = onnx.numpy_helper.to_array(tensor)
        if numbers.dtype == np.float32:
            found[tensor.name] = _joined(tensor.name, numbers, known)
        else:
            small.append(onnx.TensorProto.FromString(tensor.SerializeToString()))
    del graph.model.graph.initializer[:]
    graph.model.graph.initializer.extend(sorted(small, key=lambda tensor: tensor.name))
    del graph.model.graph.input[:]
    graph.model.graph.input.extend(inputs)  # the tool takes out one that the model ignores; the server feeds it
    graph.weights |= found


def _joined(name: str, numbers: np.ndarray, known: list[Weight]) -> Weight:
    """Return the weights that a tensor of stand-ins is made of: columns of a matrix, or pieces of a vector."""
    indices = [int(index) for index in dict.fromkeys(numbers.reshape(-1, numbers.shape[-1])[0].tolist())]
    parts = tuple(known[index] for index in indices if 0 <= index < len(known))
    wanted = [np.full(part.shape, index, np.float32) for index, part in zip(indices, parts, strict=False)]
    if len(parts) != len(indices) or not np.array_equal(np.concatenate(wanted, axis=-1), numbers):
        raise ExportError(f"onnxruntime's tool made {name!r} from weights in a way that is not known here.", hint=HINT)
    if numbers.ndim > 1 and not all(part.transposed for part in parts):
        raise ExportError(f"{name!r} is joined from weights that are stored as they stand in the model.", hint=HINT)
    tensors = tuple(tensor for part in parts for tensor in part.parts)
    return Weight(tensors, " + ".join(part.name for part in parts), transposed=numbers.ndim > 1)


def _settle_masks(graph: Graph) -> None:
    """Let the operator take its own number for what is masked: older versions of it know no other.

    Either is far below every score, so that its share of the attention is zero in float32.
    """
    for node in graph.nodes:
        if node.op_type == ATTENTION:
            for attribute in [item for item in node.attribute if item.name == "mask_filter_value"]:
                node.attribute.remove(attribute)
