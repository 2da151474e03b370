"""Load the snapshot's model once, for export: float32, eval, on the CPU, from local files only.

Refuses what would be released by accident: a head that transformers had to invent because the snapshot lacks it, and
a vocabulary that the tokenizer overruns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from release_tool.core.kinds import ModelKind
from release_tool.errors import ExportError, UnsupportedModel
from release_tool.models.pinned_code import trusts
from release_tool.models.starting import no_collection
from release_tool.workers import cause

if TYPE_CHECKING:
    from pathlib import Path

    from release_tool.core.plan import ReleasePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The transformer of a snapshot and what stands around it."""

    model: torch.nn.Module
    """A transformers model: the bare backbone for dense and highlighter, with its head for the other kinds."""
    config: dict[str, Any]
    """config.json of the transformer, as it lies in the snapshot."""
    modules: tuple[tuple[str, dict[str, Any], Path], ...]
    """(class name, config, folder) of the sentence-transformers modules after the transformer, in order."""
    folder: Path
    """Where the transformer and its tokenizer lie."""
    attention: str
    """``sdpa`` where the plan wants it and the architecture has it, else ``eager``."""

    @property
    def model_type(self) -> str:
        """config.json's model_type, which the server compares with ``bert`` and ``albert``."""
        return str(self.config.get("model_type", ""))

    @property
    def takes_token_types(self) -> bool:
        """Whether the model has an embedding for more than one segment."""
        return int(self.config.get("type_vocab_size") or 0) > 1


def read_json(path: Path) -> Any:
    """Read JSON of the snapshot.

    Raises:
        UnsupportedModel: not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UnsupportedModel(f"{path.name} of the model is not JSON: {error}") from error


def transformer_folder(snapshot: Path) -> tuple[Path, list[tuple[str, Path]]]:
    """Return the folder of the transformer and the (class name, folder) of the modules after it.

    Knows plain transformers folders, sentence-transformers' modules.json, and a Router whose document route holds
    the transformer (inference-free sparse models).
    """
    listing = snapshot / "modules.json"
    if not listing.is_file():
        return snapshot, []
    modules = [(str(item["type"]).rsplit(".", 1)[-1], snapshot / str(item["path"])) for item in read_json(listing)]
    name, folder = modules[0]
    if name == "Router":
        routes = read_json(folder / "router_config.json").get("structure", {}).get("document", [])
        parts = [(_route_class(folder, str(route)), folder / str(route)) for route in routes]
        if not parts:
            raise UnsupportedModel("The model's Router has no document route.")
        return parts[0][1], parts[1:]
    return folder, modules[1:]


def _route_class(folder: Path, route: str) -> str:
    types = read_json(folder / "router_config.json").get("types", {})
    return str(types.get(route, route)).rsplit(".", 1)[-1].rsplit("_", 1)[-1]


def load(plan: ReleasePlan, kind: ModelKind, snapshot: Path) -> Loaded:
    """Load the model that ``kind`` exports.

    Raises:
        UnsupportedModel: transformers has no such architecture.
        ExportError: weights are missing or don't fit.
    """
    import transformers

    folder, parts = transformer_folder(snapshot)
    classes: dict[ModelKind, Any] = {
        ModelKind.DENSE: transformers.AutoModel,
        ModelKind.HIGHLIGHTER: transformers.AutoModel,
        ModelKind.SPARSE: transformers.AutoModelForMaskedLM,
        ModelKind.CROSS_ENCODER: transformers.AutoModelForSequenceClassification,
        ModelKind.QUESTION_ANSWERING: transformers.AutoModelForQuestionAnswering,
    }
    keywords = dict(plan.request.model_init_kwargs)
    keywords |= {
        "attn_implementation": "eager",
        "dtype": torch.float32,
        "local_files_only": True,
        "trust_remote_code": trusts(plan),
        "use_safetensors": None if plan.request.allow_pickle else True,
        "output_loading_info": True,
    }
    try:
        with no_collection():
            model, info = classes[kind].from_pretrained(folder, **keywords)
    except Exception as error:  # what a config.json makes it raise has no end
        raise _refused(error, kind) from error
    model = model.eval().requires_grad_(requires_grad=False)
    if getattr(model, "pooler", None) is not None and kind in (ModelKind.DENSE, ModelKind.HIGHLIGHTER):
        model.pooler = None  # feeds nothing that is released; many snapshots lack its weights
    _check_loaded(model, info, kind)
    only_inference(model)
    attention = plan.attention if getattr(model, "_supports_sdpa", False) else "eager"
    model.set_attn_implementation(attention)
    modules = tuple((name, _module_config(path), path) for name, path in parts)
    return Loaded(
        model=model, config=read_json(folder / "config.json"), modules=modules, folder=folder, attention=attention
    )


def _refused(error: Exception, kind: ModelKind) -> UnsupportedModel:
    said = str(error)
    if "ignore_mismatched_sizes" in said:
        return UnsupportedModel(
            f"transformers can't load this model as {kind}: its weights have other shapes than config.json says.",
            hint="The snapshot mixes files of two models; get it anew from its source.",
        )
    if "trust_remote_code" in said:
        hint = "A model with code of its own needs --trust-remote-code."
    else:
        hint = "Look at its config.json and at --model-init-kwargs; name the right --kind; --debug shows the trace."
    return UnsupportedModel(f"transformers can't load this model as {kind}: {cause(error)}", hint=hint)


def only_inference(model: torch.nn.Module) -> None:
    """Put plain values in place of what only training uses.

    Tracing asks every attribute of every module for its value; transformers answers two of these properties with a
    deprecation and a log line about losses. The classes keep their names, which are part of a TorchScript file.
    """
    from transformers import PreTrainedModel

    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            # Only gradients look at it; traced, it is a comparison of sizes that ends up as a constant.
            module.padding_idx = None
        if isinstance(module, PreTrainedModel):
            own = type(module)
            module.__class__ = type(
                own.__name__,
                (own,),
                {
                    "__module__": own.__module__,
                    "__qualname__": own.__qualname__,
                    "is_gradient_checkpointing": False,
                    "loss_function": None,
                },
            )


def _module_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    return dict(read_json(path)) if path.is_file() else {}


def _check_loaded(model: torch.nn.Module, info: dict[str, Any], kind: ModelKind) -> None:
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    missing = sorted(key for key in info["missing_keys"] if key in own)
    if missing:
        raise ExportError(
            f"The snapshot has no weights for {len(missing)} tensors that {kind} needs, first {missing[0]!r}.",
            hint="It is another kind of model, or it was saved without its head: check --kind.",
        )
    if info["mismatched_keys"]:
        first = next(iter(info["mismatched_keys"]))
        raise ExportError(f"Weights don't fit the model's own config.json, first {first!r}.")


def tagger_head(loaded: Loaded) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight [2, dim] and bias [2] of a highlighter's sentence classifier, as float32.

    Raises:
        ExportError: the snapshot has no such classifier.
    """
    from safetensors import safe_open

    for path in sorted(loaded.folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as weights:
            names = set(weights.keys())
            if {"classifier.weight", "classifier.bias"} <= names:
                weight = weights.get_tensor("classifier.weight").float()
                bias = weights.get_tensor("classifier.bias").float()
                if weight.shape[0] == 2:
                    return weight, bias
    raise ExportError(
        "The snapshot has no classifier with two classes (classifier.weight, classifier.bias).",
        hint="A highlighter is a BERT with a sentence classifier; check --kind.",
    )


def check_vocabulary(loaded: Loaded, largest_id: int) -> None:
    """Refuse a tokenizer that can make ids which the embedding does not have.

    Raises:
        ExportError: it can.
    """
    rows = loaded.model.get_input_embeddings().weight.shape[0]
    if largest_id >= rows:
        raise ExportError(
            f"The tokenizer knows ids up to {largest_id}, the model has {rows} embeddings.",
            hint="The tokenizer belongs to another model.",
        )
