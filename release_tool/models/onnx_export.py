"""Export a graph to ONNX in the variant that the plan names: as it is, fused, or in eight bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.variants import Variant
from release_tool.models import onnx_writer
from release_tool.models.attention import traceable_attention
from release_tool.models.fusion import Architecture, fuse
from release_tool.models.jobs import Job, ModelFile, count
from release_tool.models.onnx_weights import Graph, collect

if TYPE_CHECKING:
    import torch

    from release_tool.core.bundle import Quantised


def onnx_file(
    job: Job, graph: torch.nn.Module, example: tuple[torch.Tensor, ...], inputs: tuple[str, ...], output: str,
    output_axes: dict[int, str],
) -> ModelFile:  # fmt: skip
    """Return the model file of a module.

    Raises:
        ExportError: the module can't be exported, or not in this variant.
    """
    axes = {name: {0: "batch", 1: "sequence"} for name in inputs} | {output: output_axes}
    # ONNX has no operator for SDPA below opset 23: eager gives the plainer graph, whatever the targets are.
    job.loaded.model.set_attn_implementation("eager")
    with traceable_attention():
        model = onnx_writer.export(graph, example, inputs, (output,), axes)
    job.loaded.model.set_attn_implementation(job.loaded.attention)
    job.weights.rest()
    made = collect(model, graph, inputs)
    fused = fuse(made, Architecture.of(job.loaded.model.config)) if job.fuses else None
    quantised = None
    if job.artifact.variant is Variant.INT8:
        made, quantised = _quantised(job, made)
    return ModelFile(
        blob=onnx_writer.layout(made, job.weights),
        inputs=inputs,
        outputs=(output,),
        parameters=count(graph),
        opset=onnx_writer.OPSET,
        ir_version=onnx_writer.IR_VERSION,
        fused_operators=fused,
        quantised=quantised,
    )


def _quantised(job: Job, graph: Graph) -> tuple[Graph, Quantised]:
    # They load onnxruntime and what measures, which other variants don't need.
    from release_tool.models.int8_answers import Reader
    from release_tool.models.int8_search import Search, again

    if job.recorded is not None:
        return again(graph, job.recorded)
    reader = Reader(plan=job.plan, kind=job.artifact.kind, tokenizer=job.tokenizer)
    return Search(graph, reader).run()
