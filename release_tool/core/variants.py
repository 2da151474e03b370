"""Variants of an archive: what a model file is made like, beside its format.

ONNX: ``fp32`` as exported, ``fused`` with the operators of onnxruntime that do several steps at once, ``int8`` with
weights in eight bits. TorchScript: ``eager`` or ``sdpa`` by the oldest target, each ``-frozen`` where only CPUs serve
it. Archives without a model of ours (a tokenizer, the program of metrics correlation) are ``fp32``.

``fp32`` and ``fused`` share one key, as only one of them can be the model of that name; the server's path has no place
for a third word, so ``int8`` is a model of its own name.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from release_tool.core.plan import SourceFacts


class Variant(StrEnum):
    """How a model file is made; the same word in flags, documents and on the page."""

    FP32 = "fp32"
    FUSED = "fused"
    INT8 = "int8"
    EAGER = "eager"
    SDPA = "sdpa"
    EAGER_FROZEN = "eager-frozen"
    SDPA_FROZEN = "sdpa-frozen"


ONNX_VARIANTS = (Variant.FP32, Variant.FUSED, Variant.INT8)
"""What ``--variant`` chooses from; the others follow from the targets and ``--cpu-only``."""

FROZEN = frozenset({Variant.EAGER_FROZEN, Variant.SDPA_FROZEN})
"""Parameters are constants of the CPU, which a node with a GPU can't move."""

INT8_SUFFIX = "-int8"
"""Of the model's name, and of the artifact's id."""

FUSABLE = frozenset({"bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta"})
"""``model_type`` of the architectures whose attention is really fused in our export: tests count the operators."""


def torch_script_variant(attention: str, *, cpu_only: bool) -> Variant:
    """Return the variant of a traced model.

    Args:
        attention: ``eager`` or ``sdpa``.
        cpu_only: whether no node with a GPU will serve it.
    """
    return Variant(f"{attention}-frozen" if cpu_only else attention)


def fusion_obstacle(source: SourceFacts) -> str | None:
    """Return why the ONNX graph of a model is not fused; ``None`` when it can be."""
    if source.remote_code:
        return "the model runs its own code, for which fusion is not proven"
    if source.model.model_type not in FUSABLE:
        return f"fusion is not proven for {source.model.model_type or 'a model without a model_type'}"
    return None


def onnx_variants(asked: tuple[Variant, ...], source: SourceFacts) -> tuple[Variant, ...]:
    """Return what to make of ONNX: what was asked for, else the fastest variant at the parity of float32."""
    if asked:
        return tuple(variant for variant in ONNX_VARIANTS if variant in asked)
    return (Variant.FP32,) if fusion_obstacle(source) else (Variant.FUSED,)
