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
from release_tool.models.onnx_weights import STANDARD

if TYPE_CHECKING:
    from release_tool.models.onnx_weights import Graph, Weight
    from release_tool.models.torchscript import Weights

OPSET = 17
"""The highest that every onnxruntime from OpenSearch 2.5 on takes (measured with 1.12.1 to 1.16.3)."""
IR_VERSION = 8
"""onnxruntime 1.12.1 to 1.14.0 stop at 8, 1.16.3 at 9; today's default of the onnx package is higher."""

FUSED_DOMAIN = "com.microsoft"
"""Where onnxruntime keeps operators that do several steps at once; it registers all of them in every build."""

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


def layout(graph: Graph, weights: Weights) -> Blob:
    """Return the canonical bytes of an ONNX file, weights included.

    Raises:
        ExportError: a weight is NaN or infinite, or the file would pass 2 GiB.
    """
    canonical(graph.model)
    blob = _model_blob(graph.model, [_initializer(name, weight, weights) for name, weight in graph.weights.items()])
    if blob.size > MAX_ONNX_BYTES:
        raise ExportError(
            "The ONNX file would pass 2 GiB, the limit of one message.", hint="Use --format torch_script."
        )
    return blob


def canonical(model: Any) -> None:
    """Name what a server looks at, and take out all that says how the graph was made.

    Raises:
        ExportError: it uses operators that no server has.
    """
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
    _imports(model)


def _imports(model: Any) -> None:
    """Name the operator sets: the standard's, and com.microsoft's where the graph was fused or quantised."""
    import onnx

    used = {node.domain for node in model.graph.node} - STANDARD
    if used - {FUSED_DOMAIN}:
        raise ExportError(f"The graph uses operators of {min(used)!r}, which no server has.")
    del model.opset_import[:]
    model.opset_import.append(onnx.OperatorSetIdProto(version=OPSET))
    if used:
        model.opset_import.append(onnx.helper.make_opsetid(FUSED_DOMAIN, 1))


def _initializer(name: str, weight: Weight, weights: Weights) -> Blob:
    import onnx

    proto = onnx.TensorProto(name=name, data_type=onnx_type(weight.dtype))
    proto.dims.extend(weight.shape)
    data = weight.blob(weights)
    head = proto.SerializeToString(deterministic=True)
    return join((from_bytes(head + _tag(_TENSOR_RAW_DATA) + _varint(data.size)), data))


def onnx_type(dtype: torch.dtype) -> int:
    """Return the number that onnx has for an element type.

    Raises:
        ExportError: it is none that a weight may have.
    """
    import onnx

    types = {
        torch.float32: onnx.TensorProto.FLOAT,
        torch.int64: onnx.TensorProto.INT64,
        torch.int32: onnx.TensorProto.INT32,
        torch.int8: onnx.TensorProto.INT8,
        torch.bool: onnx.TensorProto.BOOL,
    }
    if dtype not in types:
        raise ExportError(f"A tensor of {dtype} can't stand in the ONNX file.")
    return int(types[dtype])


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
