"""Load the base as a model that can be trained: dense as it is, sparse as an inference-free encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sparse_encoder.modules import Router, SparseStaticEmbedding, SpladePooling, Transformer

from release_tool.core.finetune.model_kinds import base_problem
from release_tool.core.kinds import Activation
from release_tool.core.modules import read_layout, read_splade
from release_tool.core.plan import PlannedFile
from release_tool.errors import UnsupportedModel
from release_tool.models.loading import transformer_folder
from release_tool.workers import cause

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from release_tool.core.kinds import ModelKind

KEYWORDS: dict[str, Any] = {"dtype": torch.float32, "local_files_only": True, "trust_remote_code": False}
INSIDE_LOG1P = {Activation.LOG1P: "relu", Activation.L0: "log1p_relu"}


def check_base(base: Path, kind: ModelKind) -> None:
    """Refuse a base of which no model of a kind can be made.

    Raises:
        UnsupportedModel: it is of another kind.
    """
    files = tuple(
        PlannedFile(path=path.relative_to(base).as_posix(), size=path.stat().st_size, digest="")
        for path in sorted(base.rglob("*"))
        if path.is_file()
    )
    problem = base_problem(reader(base), files, kind.value)
    if problem is not None:
        raise UnsupportedModel(problem, hint="Name an encoder at model.base.")


def reader(folder: Path) -> Callable[[str], bytes | None]:
    """Return what reads the files of a model's folder by their paths."""

    def read(path: str) -> bytes | None:
        place = folder / path
        return place.read_bytes() if place.is_file() else None

    return read


def load_dense(base: Path, max_length: int, device: str) -> SentenceTransformer:
    """Load a dense model; an encoder without modules gets mean pooling.

    Raises:
        UnsupportedModel: the libraries can't load it.
    """
    try:
        model = SentenceTransformer(
            str(base), device=device, local_files_only=True, model_kwargs={"dtype": torch.float32}
        )
    except Exception as error:  # what a config.json makes it raise has no end
        raise _refused(error) from error
    model = model.float()
    model.max_seq_length = min(max_length, model.max_seq_length or max_length)
    _leave_pooler_out(model)
    return model


def _leave_pooler_out(model: SentenceTransformer) -> None:
    """Train no pooler: nothing reads it, and processes that share the work would wait for its gradients."""
    pooler = getattr(getattr(model[0], "auto_model", None), "pooler", None)
    if pooler is not None:
        pooler.requires_grad_(requires_grad=False)


def leave_attention_whole(model: torch.nn.Module) -> None:
    """Drop nothing of the attention's own weights while training; the layers' outputs keep their dropout.

    torch's fast attention of a CPU has no dropout: with it, training takes half as long again, and five times the
    memory at 256 tokens.
    """
    for module in model.modules():
        if "Attention" in type(module).__name__:
            for name in ("dropout", "attention_dropout"):
                found = getattr(module, name, None)
                if isinstance(found, torch.nn.Dropout):
                    found.p = 0.0


def load_masked(base: Path, max_length: int) -> tuple[Transformer, list[str]]:
    """Load the encoder of a base as a masked language model; also return the weights that it lacks.

    Raises:
        UnsupportedModel: the libraries can't load it.
    """
    import transformers

    folder, _ = transformer_folder(base)
    try:
        _, info = transformers.AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True, **KEYWORDS)
        module = Transformer(
            str(folder),
            transformer_task="fill-mask",
            model_kwargs={"dtype": torch.float32, "local_files_only": True},
            processor_kwargs={"local_files_only": True},
            config_kwargs={"local_files_only": True},
        )
    except Exception as error:  # what a config.json makes it raise has no end
        raise _refused(error) from error
    module.max_seq_length = min(max_length, module.max_seq_length or max_length)
    return module, sorted(info["missing_keys"])


def activation_of(base: Path) -> str:
    """Return the activation of a sparse base in the library's words; that of all SPLADE models elsewhere."""
    read = reader(base)
    module = read_layout(read).find("SpladePooling")
    return INSIDE_LOG1P[read_splade(read, module)[1]] if module else "relu"


def is_sparse_base(base: Path) -> bool:
    """Tell whether a base is a sparse encoder by itself: it says how it pools, or has weights of query tokens."""
    return read_layout(reader(base)).find("SpladePooling") is not None or (base / "idf.json").is_file()


def inference_free(transformer: Transformer, activation: str, weights: list[float], device: str) -> SparseEncoder:
    """Return the sparse model: documents through the encoder, queries through fixed weights of their tokens.

    Args:
        transformer: a masked language model.
        activation: ``relu`` or ``log1p_relu``.
        weights: a token id each; ids beyond them weigh nothing.
        device: where it is trained.
    """
    width = transformer.auto_model.get_output_embeddings().weight.shape[0]
    vector = torch.zeros(width)
    vector[: len(weights)] = torch.tensor(weights[:width])
    router = Router.for_query_document(
        query_modules=[SparseStaticEmbedding(transformer.tokenizer, weight=vector, frozen=True)],
        document_modules=[
            transformer,
            SpladePooling(pooling_strategy="max", activation_function=activation, embedding_dimension=width),
        ],
    )
    return SparseEncoder(modules=[router], similarity_fn_name="dot", device=device)


def load_start(folder: Path, device: str) -> SparseEncoder:
    """Load a sparse model that this tool has saved."""
    return SparseEncoder(str(folder), device=device, local_files_only=True, model_kwargs={"dtype": torch.float32})


def _refused(error: Exception) -> UnsupportedModel:
    hint = "Look at its config.json; --debug shows the trace."
    if "trust_remote_code" in str(error):
        hint = "It has code of its own, which is never run here: choose another base."
    return UnsupportedModel(f"The base can't be loaded: {cause(error)}", hint=hint)
