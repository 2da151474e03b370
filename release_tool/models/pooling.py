"""Poolings as traceable operators, and the modules that follow them.

Written for graphs: no Python branch on a tensor, no device and no length in the graph, operators that libtorch 1.12
knows. What they compute is held against sentence-transformers by the proofs, not by sharing its code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from release_tool.core.kinds import PoolingMode
from release_tool.errors import ExportError

if TYPE_CHECKING:
    from pathlib import Path

_SMALL = 1e-9
"""Keeps an all-masked row from dividing by zero."""


def pool(mode: PoolingMode, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Return [batch, dim] from hidden [batch, seq, dim] and mask [batch, seq] (int64, 1 = token)."""
    mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
    if mode is PoolingMode.CLS:
        return hidden[:, 0]
    if mode is PoolingMode.MAX:
        return (hidden + (1.0 - mask) * torch.finfo(hidden.dtype).min).max(dim=1)[0]
    if mode is PoolingMode.LAST_TOKEN:
        # The last 1 of the mask: the position whose running count is the whole count.
        last = (attention_mask.cumsum(dim=1) * attention_mask).argmax(dim=1)
        return hidden.gather(1, last[:, None, None].expand(-1, 1, hidden.shape[-1])).squeeze(1)
    if mode is PoolingMode.WEIGHTED_MEAN:
        mask = mask * torch.cumsum(torch.ones_like(mask), dim=1)
    count = mask.sum(dim=1).clamp(min=_SMALL)
    if mode is PoolingMode.MEAN_SQRT_LEN:
        count = count.sqrt()
    if mode is PoolingMode.NONE:
        raise ExportError("Pooling mode none can't be put inside a TorchScript graph.", hint="Use --format onnx.")
    return (hidden * mask).sum(dim=1) / count


def normalise(embedding: torch.Tensor) -> torch.Tensor:
    """Return rows of length one; a zero row stays zero."""
    return embedding / embedding.norm(p=2, dim=1, keepdim=True).clamp(min=1e-12)


class Dense(nn.Module):
    """sentence-transformers' Dense module: linear, then its activation."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, activation: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        self.linear.weight = nn.Parameter(weight, requires_grad=False)
        if bias is not None:
            self.linear.bias = nn.Parameter(bias, requires_grad=False)
        self.activation = activation

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return [batch, out] from [batch, in]."""
        result: torch.Tensor = self.activation(self.linear(embedding))
        return result


def load_dense(config: dict[str, Any], folder: Path) -> Dense:
    """Load a Dense module from its folder (safetensors only).

    Raises:
        ExportError: no weights, or an activation that is none of torch's own.
    """
    from safetensors.torch import load_file

    path = folder / "model.safetensors"
    if not path.is_file():
        raise ExportError(f"The Dense module {folder.name!r} has no model.safetensors.")
    weights = load_file(path)
    name = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rsplit(".", 1)[-1]
    known = {"Tanh", "Identity", "ReLU", "GELU", "Sigmoid", "SiLU", "Mish", "ELU", "LeakyReLU"}
    if name not in known:
        raise ExportError(f"The Dense module's activation {name!r} is none of {', '.join(sorted(known))}.")
    weight, bias = weights["linear.weight"].float(), weights.get("linear.bias")
    return Dense(weight, bias.float() if bias is not None else None, getattr(nn, name)())
