"""Tell the kind of a model from what was seen of it: modules, architecture, labels, tags.

Pure: rules that are written down here, no guess. A kind that can't be told is empty, and the reason says what was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.kinds import ModelKind
from release_tool.core.modeljson import shown

if TYPE_CHECKING:
    from release_tool.core.modules import Layout, Pooling, Prompts
    from release_tool.core.plan import ModelFacts
    from release_tool.core.weights import WeightFiles

SPARSE_WORDS = ("sparse", "splade")
"""A masked language model whose card is tagged with one of these is meant as a sparse encoder."""

HEADS = {
    ModelKind.SPARSE: ("ForMaskedLM", "ForPreTraining", "LMHeadModel"),
    ModelKind.CROSS_ENCODER: ("ForSequenceClassification",),
    ModelKind.QUESTION_ANSWERING: ("ForQuestionAnswering",),
    ModelKind.HIGHLIGHTER: ("SentenceExtraction",),
}
"""What an architecture's name must hold for a kind: without the head, transformers would invent one at random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything read, before it is judged."""

    layout: Layout
    prompts: Prompts
    config: dict[str, Any]
    config_path: str
    architecture: str | None
    folder: str
    pooling: Pooling | None
    idf_path: str | None
    weights: WeightFiles
    tokenizer_path: str | None
    tags: tuple[str, ...]
    num_labels: int | None


def kind_of(seen: Seen) -> tuple[tuple[ModelKind, ...], str]:
    """Return the kinds, empty when they can't be told, and what they were told from."""
    architecture = seen.architecture or ""
    if named_head(ModelKind.HIGHLIGHTER, architecture):
        return (ModelKind.HIGHLIGHTER,), f"architecture {architecture}"
    return _kind_of_modules(seen) if seen.layout.modules else _kind_of_architecture(seen)


def _kind_of_modules(seen: Seen) -> tuple[tuple[ModelKind, ...], str]:
    layout, architecture = seen.layout, seen.architecture or ""
    names = [module.name for module in layout.modules]
    listed = "modules " + " + ".join(names)
    if "SpladePooling" in names:
        return (ModelKind.SPARSE,), listed
    if names and set(names) <= {"SparseStaticEmbedding", "IDF"}:
        return (ModelKind.SPARSE_TOKENIZER,), listed
    scores = seen.prompts.archetype == "CrossEncoder" or named_head(ModelKind.CROSS_ENCODER, architecture)
    if scores and set(names) == {"Transformer"} and seen.num_labels == 1:
        return (ModelKind.CROSS_ENCODER,), f"{listed}, architecture {architecture}, one label"
    if names[0] == "Transformer" and seen.pooling is not None:
        return (ModelKind.DENSE,), listed
    return (), _what_was_seen(seen)


def _kind_of_architecture(seen: Seen) -> tuple[tuple[ModelKind, ...], str]:
    architecture = seen.architecture or ""
    if named_head(ModelKind.CROSS_ENCODER, architecture) and seen.num_labels == 1:
        return (ModelKind.CROSS_ENCODER,), f"architecture {architecture} with one label"
    if named_head(ModelKind.QUESTION_ANSWERING, architecture):
        return (ModelKind.QUESTION_ANSWERING,), f"architecture {architecture}"
    tag = next((tag for tag in seen.tags if any(word in tag for word in SPARSE_WORDS)), None)
    if named_head(ModelKind.SPARSE, architecture) and (seen.idf_path or tag):
        hint = "idf.json" if seen.idf_path else f"the card's tag {shown(tag)!r}"
        return (ModelKind.SPARSE,), f"architecture {architecture} and {hint}"
    if architecture.endswith(("Model", "Encoder")):
        return (ModelKind.DENSE,), f"architecture {architecture} without a head"
    if not architecture and seen.idf_path and seen.weights.format is None:
        return (ModelKind.SPARSE_TOKENIZER,), "token weights and no model"
    return (), _what_was_seen(seen)


def named_head(kind: ModelKind, architecture: str) -> bool:
    """Tell whether an architecture's name holds the head of a kind."""
    return any(part in architecture for part in HEADS[kind])


def has_head(kind: ModelKind, facts: ModelFacts) -> bool:
    """Tell whether a model has the trained head that a kind needs; unknown architectures get the doubt."""
    return kind not in HEADS or facts.architecture is None or named_head(kind, facts.architecture)


def _what_was_seen(seen: Seen) -> str:
    names = " + ".join(module.name for module in seen.layout.modules)
    parts = [
        f"modules {names}" if names else "no modules.json",
        f"architecture {seen.architecture}" if seen.architecture else "no architecture in config.json",
    ]
    if seen.architecture and named_head(ModelKind.CROSS_ENCODER, seen.architecture):
        parts.append(f"{seen.num_labels} labels")
    parts.append("idf.json" if seen.idf_path else "no idf.json")
    if seen.weights.format is None:
        parts.append("no weights")
    return ", ".join(parts)
