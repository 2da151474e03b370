"""Export a module to ONNX as onnxruntime 1.12 and later load it: opset 17, IR 8, one file, dynamic batch and sequence.

torch's older exporter is asked for the graph without weights; the weights become initialisers that are streamed from
the live tensors into the file, so that neither a second copy nor a temporary file is made. Weights that the graph
transposes before a product are stored transposed, as onnxruntime would turn them at every load. Everything that says
where and how the file was made (doc strings, metadata) is taken out.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import torch

from release_tool.core.kinds import MAX_ONNX_BYTES
from release_tool.errors import ExportError
from release_tool.models.blobs import Blob, from_bytes, join
from release_tool.models.deprecations import deprecated_writers

if TYPE_CHECKING:
    from release_tool.models.torchscript import Weights

OPSET = 17
"""The highest that every onnxruntime from OpenSearch 2.5 on takes (measured with 1.12.1 to 1.16.3)."""
IR_VERSION = 8
"""onnxruntime 1.12.1 to 1.14.0 stop at 8, 1.16.3 at 9; today's default of the onnx package is higher."""

_LENGTH_DELIMITED = 2
_MODEL_GRAPH = 7
_GRAPH_INITIALIZER = 5
_TENSOR_RAW_DATA = 9


def export(
    module: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    axes: dict[str, dict[int, str]],
) -> Any:
    """Return the graph as a ModelProto whose weights are still graph inputs.

    Args:
        module: called with ``example`` by position.
        example: one tensor an input.
        inputs: graph input names, as the server feeds them.
        outputs: graph output names.
        axes: dynamic axes by name.

    Raises:
        ExportError: the exporter knows no operator for a part of the model.
    """
    import onnx

    module.eval()  # the exporter puts the outermost module's mode back on everything inside when it is done
    buffer = io.BytesIO()
    try:
        with torch.no_grad(), deprecated_writers():
            torch.onnx.export(
                module,
                example,
                buffer,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
                external_data=False,
                export_params=False,
                keep_initializers_as_inputs=True,
                do_constant_folding=False,
            )
    except (RuntimeError, ValueError, TypeError, torch.onnx.errors.OnnxExporterError) as error:
        raise ExportError(f"The model can't be exported to ONNX: {error}") from error
    return onnx.load_from_string(buffer.getvalue())


def layout(model: Any, module: torch.nn.Module, inputs: tuple[str, ...], weights: Weights) -> Blob:
    """Return the canonical bytes of an ONNX file, weights included.

    Raises:
        ExportError: a graph input has no weight, or the file would pass 2 GiB.
    """
    graph = model.graph
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    wanted = [value.name for value in graph.input if value.name not in inputs]
    unknown = [name for name in wanted if name not in own]
    if unknown:
        raise ExportError(f"The exported graph asks for {unknown[0]!r}, which the model does not have.")
    transposed = _store_transposed(graph, wanted)
    _keep_inputs(graph, inputs)
    _strip(model)
    initializers = [
        _initializer(transposed.get(name, name), own[name], weights, transposed=name in transposed) for name in wanted
    ]
    blob = _model_blob(model, initializers)
    if blob.size > MAX_ONNX_BYTES:
        raise ExportError(
            "The ONNX file would pass 2 GiB, the limit of one message.", hint="Use --format torch_script."
        )
    return blob


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
        swaps = node.op_type == "Transpose" and [list(a.ints) for a in node.attribute if a.name == "perm"] == [[1, 0]]
        source = node.input[0] if node.input else ""
        if swaps and source in candidates and uses[source] == 1:
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


def _strip(model: Any) -> None:
    import onnx

    model.ir_version = IR_VERSION
    model.producer_name = "release-tool"
    model.producer_version = ""
    model.doc_string = ""
    del model.metadata_props[:]
    graph = model.graph
    graph.name = "main"
    graph.doc_string = ""
    del graph.value_info[:]
    for index, node in enumerate(graph.node):
        node.doc_string = ""
        # Scopes hold nothing that is served and change with transformers' class names.
        node.name = f"{node.op_type}_{index}"
        if hasattr(node, "metadata_props"):
            del node.metadata_props[:]
    foreign = [item.domain for item in model.opset_import if item.domain not in ("", "ai.onnx")]
    used = {node.domain for node in graph.node} - {"", "ai.onnx"}
    if used:
        raise ExportError(f"The graph uses operators of {min(used)!r}, which no server has.")
    if foreign:
        del model.opset_import[:]
        model.opset_import.append(onnx.helper.make_opsetid("", OPSET))


def _initializer(name: str, tensor: torch.Tensor, weights: Weights, *, transposed: bool) -> Blob:
    import onnx

    proto = onnx.TensorProto(name=name, data_type=_onnx_type(tensor))
    shape = tuple(reversed(tensor.shape)) if transposed else tuple(tensor.shape)
    proto.dims.extend(shape)
    data = weights.blob(tensor.data, transposed=transposed)
    head = proto.SerializeToString(deterministic=True)
    return join((from_bytes(head + _tag(_TENSOR_RAW_DATA) + _varint(data.size)), data))


def _onnx_type(tensor: torch.Tensor) -> int:
    import onnx

    types = {
        torch.float32: onnx.TensorProto.FLOAT,
        torch.int64: onnx.TensorProto.INT64,
        torch.int32: onnx.TensorProto.INT32,
        torch.bool: onnx.TensorProto.BOOL,
    }
    if tensor.dtype not in types:
        raise ExportError(f"A tensor of {tensor.dtype} can't stand in the ONNX file.")
    return int(types[tensor.dtype])


def _model_blob(model: Any, initializers: list[Blob]) -> Blob:
    """Serialise by hand around the initialisers: protobuf fields may come in any order, and lengths come first."""
    import onnx

    graph_head = model.graph.SerializeToString(deterministic=True)
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    bare.ClearField("graph")
    parts = [from_bytes(graph_head)]
    for blob in initializers:
        parts += (from_bytes(_tag(_GRAPH_INITIALIZER) + _varint(blob.size)), blob)
    graph = join(parts)
    return join(
        (
            from_bytes(bare.SerializeToString(deterministic=True) + _tag(_MODEL_GRAPH) + _varint(graph.size)),
            graph,
        )
    )


def _tag(field: int) -> bytes:
    return _varint(field << 3 | _LENGTH_DELIMITED)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_PATH = re.compile(rb"/(?:home|usr|opt|tmp|var|root|Users|mnt|srv|build)/[\w./-]+")


def builder_paths(data: bytes) -> tuple[str, ...]:
    """Return absolute paths found in bytes: a file that is released must name none."""
    return tuple(sorted({match.decode() for match in _PATH.findall(data)}))
