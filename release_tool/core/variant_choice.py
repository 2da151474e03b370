"""Which variant an archive is made in, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from release_tool.core.kinds import Format
from release_tool.core.opensearch import KNOWN_VERSIONS, number
from release_tool.core.variants import FROZEN, ONNX_VARIANTS, Variant

if TYPE_CHECKING:
    from release_tool.core.plan import PlannedArtifact, ReleasePlan, SourceFacts

SDPA_SINCE = "3.0"
"""First OpenSearch with libtorch 2.5.1, which knows scaled_dot_product_attention."""

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


def reason(artifact: PlannedArtifact, plan: ReleasePlan) -> str:
    """Return why an archive is made in its variant."""
    # What is fp32 for want of a model, such as a tokenizer, nobody asked for by --variant fp32.
    asked = artifact.format is Format.ONNX and artifact.variant in (plan.request.variants or ())
    match artifact.variant:
        case Variant.INT8:
            return "asked for; a model of its own name, since it is near its source and not equal"
        case Variant.FUSED | Variant.FP32 if asked:
            return "asked for"
        case Variant.FUSED:
            return "the default: the fastest that is equal to its source in float32"
        case Variant.FP32:
            fusable = artifact.format is Format.ONNX and fusion_obstacle(plan.source)
            return f"not fused: {fusable}" if fusable else "there is no other"
        case Variant.EAGER | Variant.SDPA | Variant.EAGER_FROZEN | Variant.SDPA_FROZEN:
            frozen = "; frozen for nodes without a GPU (--cpu-only)" if artifact.variant in FROZEN else ""
            return _attention_reason(plan) + frozen


def _attention_reason(plan: ReleasePlan) -> str:
    known = [version for version in plan.target_versions if version in KNOWN_VERSIONS]
    old = [version for version in known if number(version) < number(SDPA_SINCE)]
    if old:
        return f"OpenSearch {', '.join(old)} has a libtorch without SDPA, which is faster from {SDPA_SINCE} on"
    return f"every target has SDPA, the faster attention: {SDPA_SINCE} and later"
