"""Attention masks that trace to a handful of operators.

transformers builds masks with code that branches on Python values while it is traced and indexes with lists, which
gives constants in the graph, warnings, and some two hundred ONNX nodes. Its own registry of mask functions is the
public way to bring another one: ``traceable_masks`` puts ours in its place for the time of an export.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, bidirectional_mask_function

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


@contextmanager
def traceable_masks() -> Iterator[None]:
    """Use the masks above for eager and SDPA attention until the block ends."""
    ours = {"eager": _additive_mask, "sdpa": _boolean_mask}
    for name, function in ours.items():
        ALL_MASK_ATTENTION_FUNCTIONS[name] = function
    try:
        yield
    finally:
        for name in ours:
            del ALL_MASK_ATTENTION_FUNCTIONS[name]  # the registry's own entry shows again
