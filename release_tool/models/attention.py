"""Attention and its masks, written so that they trace to a handful of operators.

transformers builds masks with code that branches on Python values while it is traced and indexes with lists, which
gives constants in the graph, warnings, and some two hundred ONNX nodes. Its SDPA function branches on lengths.
Its own registries of mask and attention functions are the public way to bring others: ``traceable_attention`` puts
ours in their place for the time of an export.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, bidirectional_mask_function
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from release_tool.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _allowed(mask_function: Callable[..., Any], attention_mask: torch.Tensor) -> torch.Tensor:
    """Return bool [batch, 1, q or 1, kv]: which positions may be attended to.

    ``mask_function`` is transformers' own index rule (every position, or a sliding window); it is written with
    comparisons, so it broadcasts over index tensors.
    """
    padding = attention_mask.to(torch.bool)[:, None, None, :]
    if mask_function is bidirectional_mask_function:
        return padding
    # Positions from the mask itself: no length is baked into the graph and no device either.
    positions = torch.cumsum(torch.ones_like(attention_mask, dtype=torch.int64), dim=1) - 1
    rule: torch.Tensor = mask_function(0, 0, positions[:, None, :, None], positions[:, None, None, :])
    return padding & rule


def _boolean_mask(
    *, mask_function: Callable[..., Any], attention_mask: torch.Tensor | None, **_: Any
) -> torch.Tensor | None:
    """Return the mask that scaled dot product attention takes: bool, true where attended."""
    return None if attention_mask is None else _allowed(mask_function, attention_mask)


def _additive_mask(*, dtype: torch.dtype = torch.float32, **arguments: Any) -> torch.Tensor | None:
    """Return the mask that eager attention adds to its scores: 0 or the dtype's minimum."""
    allowed = _boolean_mask(**arguments)
    if allowed is None:
        return None
    return (1.0 - allowed.to(dtype)) * torch.finfo(dtype).min


def _sdpa(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Return scaled dot product attention of [batch, heads, seq, width] tensors, as [batch, seq, heads, width]."""
    if getattr(module, "num_key_value_groups", 1) != 1 or more.get("position_bias") is not None:
        raise ExportError("This model's attention shares keys between heads or adds a bias, which is not traced here.")
    attended = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling
    )
    return attended.transpose(1, 2).contiguous(), None


@contextmanager
def traceable_attention() -> Iterator[None]:
    """Use the functions above for eager and SDPA attention until the block ends."""
    ALL_MASK_ATTENTION_FUNCTIONS["eager"] = _additive_mask
    ALL_MASK_ATTENTION_FUNCTIONS["sdpa"] = _boolean_mask
    ALL_ATTENTION_FUNCTIONS["sdpa"] = _sdpa
    try:
        yield
    finally:  # what the registries hold themselves shows again
        del ALL_MASK_ATTENTION_FUNCTIONS["eager"]
        del ALL_MASK_ATTENTION_FUNCTIONS["sdpa"]
        del ALL_ATTENTION_FUNCTIONS["sdpa"]
