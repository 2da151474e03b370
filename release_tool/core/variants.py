"""Variants of an archive: what a model file is made like, beside its format.

ONNX: ``fp32`` as exported, ``fused`` with the operators of onnxruntime that do several steps at once, ``int8`` with
weights in eight bits. TorchScript: ``eager`` or ``sdpa`` by the oldest target, each ``-frozen`` where only CPUs serve
it. Archives without a model of ours (a tokenizer, the program of metrics correlation) are ``fp32``.

``fp32`` and ``fused`` share one key, as only one of them can be the model of that name; the server's path has no place
for a third word, so ``int8`` is a model of its own name.
"""

from __future__ import annotations

from enum import StrEnum


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
