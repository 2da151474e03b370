"""Hold an ONNX archive against the variant that its plan names and the record of what was quantised.

Proofs say how near an archive is, and float32 is nearest of all: only a look at the graph tells that what calls itself
int8 is, that nothing else is, and that the layers on the page are those in the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.escape import one_line
from release_tool.core.quantity import plural
from release_tool.core.variants import Variant

if TYPE_CHECKING:
    from release_tool.core.archive_facts import OnnxFacts
    from release_tool.core.bundle import Quantised

INT8_ZERO = "int8_zero"
"""The zero point that all weights of a graph share."""
FUSED_DOMAIN = "com.microsoft"
ATTENTION = f"{FUSED_DOMAIN}::Attention"
QUANTISING = frozenset({
    "::DynamicQuantizeLinear", "::MatMulInteger", "::QuantizeLinear", "::DequantizeLinear", "::QLinearMatMul",
    f"{FUSED_DOMAIN}::QAttention", f"{FUSED_DOMAIN}::DynamicQuantizeMatMul", f"{FUSED_DOMAIN}::MatMulIntegerToFloat",
})  # fmt: skip


def int8_name(layer: str) -> str:
    """Return what the eight bits of a layer are called in the graph."""
    return f"{layer}_int8"


def variant_fault(variant: Variant, quantised: Quantised | None, facts: OnnxFacts) -> str | None:
    """Say how an ONNX file is another variant than the plan's, or another one than recorded; null where it is not.

    Args:
        variant: of the plan.
        quantised: the bundle's record.
        facts: of the file itself.
    """
    if variant is Variant.INT8:
        return _int8_fault(quantised, facts)
    found = sorted(QUANTISING.intersection(facts.operators))
    if quantised is not None or found or facts.int8_weights:
        seen = found[0] if found else "weights in eight bits" if facts.int8_weights else "a record of quantised layers"
        return f"the plan says {variant.value}, and there is {seen}"
    if variant is Variant.FUSED and ATTENTION not in facts.operators:
        return "the plan says fused, and no attention is"
    own = [name for name in facts.operators if name.startswith(f"{FUSED_DOMAIN}::")]
    if variant is Variant.FP32 and own:
        return f"the plan says fp32, and there is {one_line(own[0])[:60]}"
    return None


def _int8_fault(quantised: Quantised | None, facts: OnnxFacts) -> str | None:
    wanted = {int8_name(weight.name) for weight in quantised.weights if not weight.kept} if quantised else set()
    if not wanted:
        return "the plan says int8, and no layer is recorded as quantised"
    found = set(facts.int8_weights) - {INT8_ZERO}
    if wanted == found:
        return None
    counts = f"{plural(len(found), 'weight')} of the file in eight bits, {len(wanted)} recorded"
    return f"the plan says int8, with {counts}, such as {one_line(min(wanted ^ found))[:120]}"
