"""An ONNX file is the variant that its plan names, and the layers that are said to be in eight bits are."""

from __future__ import annotations

import pytest

from release_tool.core.archive_facts import OnnxFacts
from release_tool.core.bundle import Quantised, QuantisedWeight
from release_tool.core.variant_held import INT8_ZERO, int8_name, variant_fault
from release_tool.core.variants import Variant

PLAIN = ("::Add", "::MatMul")
FUSED = (*PLAIN, "com.microsoft::Attention")
INT8 = ("::DynamicQuantizeLinear", "::MatMulInteger", "com.microsoft::QAttention")


def facts(*operators, layers=()):
    names = tuple(sorted([*map(int8_name, layers), *([INT8_ZERO] if layers else [])]))
    return OnnxFacts(ir_version=8, opsets={"": 17}, operators=operators, inputs=(), outputs=(), int8_weights=names)


def record(quantised=(), kept=()):
    names = [(name, False) for name in quantised] + [(name, True) for name in kept]
    return Quantised(
        weights=tuple(QuantisedWeight(name=name, sensitivity=None, kept=stays) for name, stays in names), rounds=()
    )


@pytest.mark.parametrize(
    ("variant", "recorded", "found"),
    [
        (Variant.FP32, None, facts(*PLAIN)),
        (Variant.FUSED, None, facts(*FUSED)),
        (Variant.INT8, record("ab", "c"), facts(*INT8, layers="ab")),
    ],
)
def test_what_trace_makes_is_what_it_is_called(variant, recorded, found):
    assert variant_fault(variant, recorded, found) is None


@pytest.mark.parametrize(
    ("variant", "recorded", "found", "said"),
    [
        (Variant.INT8, record("ab"), facts(*FUSED), "0 weights of the file in eight bits, 2 recorded"),
        (Variant.INT8, None, facts(*INT8, layers="ab"), "no layer is recorded"),
        (Variant.INT8, record(kept="ab"), facts(*FUSED), "no layer is recorded"),
        (Variant.INT8, record("abc"), facts(*INT8, layers="ab"), "such as c_int8"),
        (Variant.INT8, record("a", "b"), facts(*INT8, layers="ab"), "such as b_int8"),
        (Variant.FUSED, None, facts(*PLAIN), "no attention is"),
        (Variant.FUSED, record("a"), facts(*FUSED), "a record"),
        (Variant.FUSED, None, facts(*FUSED, "com.microsoft::QAttention"), "QAttention"),
        (Variant.FP32, None, facts(*PLAIN, layers="a"), "weights in eight bits"),
        (Variant.FP32, None, facts(*FUSED), "Attention"),
    ],
)
def test_what_is_something_else_is_told(variant, recorded, found, said):
    assert said in (variant_fault(variant, recorded, found) or "")
