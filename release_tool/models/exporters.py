"""From a loaded model to a model file: which graph, which example, which names, by kind and format."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from release_tool.core.kinds import Activation, Format, Framework, ModelKind, PoolingMode
from release_tool.core.variants import FROZEN
from release_tool.errors import ExportError
from release_tool.models import torchscript
from release_tool.models.attention import traceable_attention
from release_tool.models.graphs import (
    INPUTS,
    CrossEncoderGraph,
    DenseGraph,
    Hidden,
    HighlighterGraph,
    QuestionAnsweringGraph,
    SparseGraph,
    SparseVector,
)
from release_tool.models.jobs import Job, ModelFile, count
from release_tool.models.onnx_export import onnx_file
from release_tool.models.pooling import load_dense
from release_tool.models.tokenizer_json import decoded_collisions

if TYPE_CHECKING:
    from release_tool.core.bundle import Quantised
    from release_tool.core.plan import PlannedArtifact, ReleasePlan
    from release_tool.models.loading import Loaded
    from release_tool.models.tokenizer_json import ArchiveTokenizer
    from release_tool.models.torchscript import Weights

DICT_PREFIX = "input1."
"""How DJL names the members of a dict argument; a sparse ONNX graph must take these names (measured on 3.6)."""


def model_file(
    plan: ReleasePlan,
    artifact: PlannedArtifact,
    loaded: Loaded,
    tokenizer: ArchiveTokenizer,
    weights: Weights,
    *,
    recorded: Quantised | None = None,
) -> ModelFile:
    """Export one artifact of the plan.

    Args:
        plan: of the release.
        artifact: one of its artifacts.
        loaded: the model.
        tokenizer: the archive's.
        weights: reads the model's tensors.
        recorded: how the same archive was quantised before; null where that is to be found out.

    Raises:
        ExportError: the model can't be expressed this way.
    """
    job = Job(plan=plan, artifact=artifact, loaded=loaded, tokenizer=tokenizer, weights=weights, recorded=recorded)
    onnx = artifact.format is Format.ONNX
    match artifact.kind:
        case ModelKind.DENSE:
            return _dense_onnx(job) if onnx else _dense_torchscript(job)
        case ModelKind.SPARSE:
            return _sparse(job, onnx=onnx)
        case ModelKind.CROSS_ENCODER:
            return _cross_encoder(job, onnx=onnx)
        case ModelKind.QUESTION_ANSWERING:
            return _question_answering(job)
        case ModelKind.HIGHLIGHTER:
            return _highlighter(job)
        case ModelKind.SPARSE_TOKENIZER | ModelKind.METRICS_CORRELATION:
            raise ExportError(f"A {artifact.kind} has no model file to export.")


def _torchscript(
    job: Job, graph: torch.nn.Module, example: tuple[Any, ...], inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> ModelFile:
    with traceable_attention():
        traced = torchscript.trace(graph, example)
    job.weights.rest()
    if job.artifact.variant in FROZEN:
        traced = torchscript.freeze(traced)
    return ModelFile(
        blob=torchscript.layout(traced, job.weights),
        inputs=inputs,
        outputs=outputs,
        parameters=count(graph),
        attention=job.loaded.attention,
    )


def _with_dimension(made: ModelFile, dimension: int, warnings: tuple[str, ...] = ()) -> ModelFile:
    return replace(made, embedding_dimension=dimension, warnings=(*made.warnings, *warnings))


def _dense_torchscript(job: Job) -> ModelFile:
    ids, mask, _ = job.single()
    hidden = Hidden(job.loaded.model, token_types=False)
    if job.plan.framework is Framework.HUGGINGFACE_TRANSFORMERS:
        made = _torchscript(job, hidden, (ids, mask), INPUTS[:2], ("last_hidden_state",))
        with torch.no_grad():
            return _with_dimension(made, int(hidden(ids, mask).shape[-1]))
    graph = DenseGraph(
        hidden,
        job.plan.pooling_mode or PoolingMode.MEAN,
        tuple(load_dense(config, folder) for name, config, folder in job.loaded.modules if name == "Dense"),
        normalize=bool(job.plan.normalize_result),
    )
    example = {"input_ids": ids, "attention_mask": mask}
    made = _torchscript(job, graph, (example,), INPUTS[:2], ("sentence_embedding",))
    with torch.no_grad():
        return _with_dimension(made, int(graph(example)["sentence_embedding"].shape[-1]))


def _dense_onnx(job: Job) -> ModelFile:
    if any(name == "Dense" for name, _, _ in job.loaded.modules):
        raise ExportError("A Dense module can't be expressed in ONNX: the server pools after it.")
    count = 3 if job.served_token_types else 2
    hidden = Hidden(job.loaded.model, token_types=count == 3)
    example = job.single()[:count]
    output_axes = {0: "batch", 1: "sequence"}
    made = onnx_file(job, hidden, example, INPUTS[:count], "last_hidden_state", output_axes)
    with torch.no_grad():
        return _with_dimension(made, int(hidden(*example).shape[-1]))


def _sparse(job: Job, *, onnx: bool) -> ModelFile:
    ids, mask, _ = job.single()
    vocabulary = int(job.loaded.model.config.vocab_size)
    splade = next((config for name, config, _ in job.loaded.modules if name == "SpladePooling"), {})
    vector = SparseVector(
        job.loaded.model,
        job.tokenizer.special_ids,
        vocabulary,
        activation=Activation(job.plan.activation),
        prune_ratio=job.plan.prune_ratio,
        summed=splade.get("pooling_strategy") == "sum",
    )
    warnings: tuple[str, ...] = ()
    collisions = decoded_collisions(job.tokenizer.tokenizer, vocabulary)
    if collisions:
        text, ids_of = next(iter(sorted(collisions.items())))
        warnings = (
            (
                f"{sum(len(items) - 1 for items in collisions.values())} tokens share their decoded text with others "
                f"(such as {text!r}, ids {ids_of[:3]}): WORD answers keep one of them, TOKEN_ID answers keep all."
            ),
        )
    if onnx:
        names = tuple(DICT_PREFIX + name for name in INPUTS[:2])
        made = onnx_file(job, vector, (ids, mask), names, "output", {0: "batch"})
    else:
        made = _torchscript(
            job, SparseGraph(vector), ({"input_ids": ids, "attention_mask": mask},), INPUTS[:2], ("output",)
        )
    return replace(made, warnings=warnings)


def _cross_encoder(job: Job, *, onnx: bool) -> ModelFile:
    graph = CrossEncoderGraph(job.loaded.model, token_types=job.own_token_types)
    example = job.pair()
    with torch.no_grad():
        shape = tuple(graph(*example).shape)
    if shape != (1, 1):
        raise ExportError(
            f"A cross-encoder answers with one number a pair, this model with {shape[-1]}.",
            hint="Only models with num_labels 1 can be served as text similarity.",
        )
    if onnx:
        return onnx_file(job, graph, example, INPUTS, "similarity", {0: "batch"})
    return _torchscript(job, graph, example, INPUTS, ("similarity",))


def _question_answering(job: Job) -> ModelFile:
    ids, mask, types = job.pair()
    separator = None
    if job.own_token_types and bool(types.any()):
        # The last token of the first segment is the separator that ends it.
        separator = int(ids[0, int((types[0] == 0).cumprod(0).sum()) - 1])
    graph = QuestionAnsweringGraph(job.loaded.model, separator)
    return _torchscript(job, graph, (ids, mask), INPUTS[:2], ("start_logits", "end_logits"))


def _highlighter(job: Job) -> ModelFile:
    from release_tool.models.loading import tagger_head

    weight, bias = tagger_head(job.loaded)
    graph = HighlighterGraph(Hidden(job.loaded.model, token_types=job.own_token_types), weight, bias)
    ids, mask, types = job.pair()
    context = types[0] == 1
    sentences = torch.where(context, (context.cumsum(0) > context.sum() // 2).to(torch.int64), torch.tensor(-100))
    example = (ids, mask, types, sentences.to(torch.int32)[None])
    return _torchscript(job, graph, example, (*INPUTS, "sentence_ids"), ("selected",))
