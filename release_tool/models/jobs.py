"""What an exporter is given, and what it gives."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from release_tool.core.variant_choice import fusion_obstacle
from release_tool.core.variants import Variant
from release_tool.models.pinned_code import trusts

if TYPE_CHECKING:
    from release_tool.core.bundle import Quantised
    from release_tool.core.plan import PlannedArtifact, ReleasePlan
    from release_tool.models.blobs import Blob
    from release_tool.models.loading import Loaded
    from release_tool.models.tokenizer_json import ArchiveTokenizer
    from release_tool.models.torchscript import Weights

EXAMPLE = (
    "Where do the swallows spend the winter?",
    "South of the desert. They return in April, a little before the rain.",
)
"""Any text will do: a graph depends on nothing but the shapes' ranks. Two sentences, for the highlighter's sake."""

SERVED_TOKEN_TYPES = ("bert", "albert")
"""model_type values (any case) for which the server feeds token_type_ids to an ONNX text embedding model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A model file, ready to be written, and what is known about it."""

    blob: Blob
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: int
    embedding_dimension: int | None = None
    opset: int | None = None
    ir_version: int | None = None
    attention: str = "eager"
    warnings: tuple[str, ...] = ()
    fused_operators: dict[str, int] | None = None
    quantised: Quantised | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every exporter needs."""

    plan: ReleasePlan
    loaded: Loaded
    tokenizer: ArchiveTokenizer
    weights: Weights
    artifact: PlannedArtifact
    recorded: Quantised | None = None
    """How the archive was quantised before."""

    @property
    def fuses(self) -> bool:
        """Whether the ONNX graph is fused; int8 starts from the fused graph where there is one."""
        if self.artifact.variant is Variant.INT8:
            return fusion_obstacle(self.plan.source) is None
        return self.artifact.variant is Variant.FUSED

    def single(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return (ids, mask, token types) [1, seq] of one text."""
        return _tensors(self.tokenizer.tokenizer.encode(EXAMPLE[1]))

    def pair(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return (ids, mask, token types) [1, seq] of a pair of texts."""
        return _tensors(self.tokenizer.tokenizer.encode(*EXAMPLE))

    @property
    def served_token_types(self) -> bool:
        """Whether the server feeds token types to this model's ONNX graph."""
        return self.loaded.model_type.lower() in SERVED_TOKEN_TYPES

    @property
    def own_token_types(self) -> bool:
        """Whether the source tells segments apart: its model can, and its own tokenizer says which is which.

        transformers' ALBERT tokenizer gives no token types, so that model sees one segment, whatever its
        tokenizer.json says: the archive must see what the source sees.
        """
        takes = "token_type_ids" in inspect.signature(self.loaded.model.forward).parameters
        return takes and self.loaded.takes_token_types and self._tokenizer_gives_types()

    def _tokenizer_gives_types(self) -> bool:
        import transformers

        tokenizer = transformers.AutoTokenizer.from_pretrained(
            self.loaded.folder, local_files_only=True, trust_remote_code=trusts(self.plan)
        )
        return "token_type_ids" in tokenizer.model_input_names


def _tensors(encoding: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return (
        torch.tensor([encoding.ids]),
        torch.ones(1, len(encoding.ids), dtype=torch.int64),
        torch.tensor([encoding.type_ids]),
    )


def count(graph: torch.nn.Module) -> int:
    """Return how many parameters a module has."""
    return sum(parameter.numel() for parameter in graph.parameters())
