"""The dense oracle: sentence-transformers' own ``encode``, with the model's own modules where it has some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from release_tool.core.kinds import PoolingMode
from release_tool.core.probes import Role
from release_tool.errors import UnsupportedModel
from release_tool.models.batches import array_difference, in_batches
from release_tool.models.oracle_inputs import (
    Answered,
    Question,
    loading,
    model_keywords,
    shared_keywords,
    transformer_folder,
    unpadded,
)

if TYPE_CHECKING:
    from release_tool.core.probes import Probe

POOLING_WORDS = {
    PoolingMode.MEAN: "mean",
    PoolingMode.MEAN_SQRT_LEN: "mean_sqrt_len_tokens",
    PoolingMode.MAX: "max",
    PoolingMode.WEIGHTED_MEAN: "weightedmean",
    PoolingMode.CLS: "cls",
    PoolingMode.LAST_TOKEN: "lasttoken",
}
"""ML Commons' names of the pooling modes in sentence-transformers' words."""


def load(question: Question) -> Any:
    """Return the SentenceTransformer that the plan describes, on the CPU, at the plan's length.

    Raises:
        UnsupportedModel: the library can't load it, or the plan's pooling has no counterpart there.
    """
    from sentence_transformers import SentenceTransformer

    plan = question.plan
    if plan.source.model.modules:
        with loading(question.kind):
            model = SentenceTransformer(
                str(question.snapshot),
                device="cpu",
                model_kwargs=model_keywords(plan),
                **shared_keywords(plan),
            )
    else:
        model = SentenceTransformer(modules=_planned_modules(question), device="cpu")
    # A Dense module of its own file may still be in half precision; float() leaves float32 weights where they are.
    model = model.float().eval()
    model.max_seq_length = plan.max_length
    return model


def _planned_modules(question: Question) -> list[Any]:
    """Return Transformer, Pooling and, where planned, Normalize for a model that has no modules of its own."""
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    plan = question.plan
    word = POOLING_WORDS.get(plan.pooling_mode or PoolingMode.MEAN)
    if word is None:
        raise UnsupportedModel(
            f"There is nothing to compare pooling {plan.pooling_mode} of a bare transformer with.",
            hint="Choose another --pooling-mode.",
        )
    shared = shared_keywords(plan)
    with loading(question.kind):
        transformer = Transformer(
            str(transformer_folder(question)),
            model_kwargs={**shared, **model_keywords(plan)},
            processor_kwargs=shared,
            config_kwargs=shared,
        )
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), pooling_mode=word)]
    return [*modules, Normalize()] if plan.normalize_result else modules


def prompt_of(question: Question, probe: Probe) -> str | None:
    """Return the prefix of an asymmetric model; None leaves the model its own default prompt."""
    facts = question.plan.source.model
    if facts.query_prefix is None and facts.passage_prefix is None:
        return None
    return (facts.query_prefix if probe.role is Role.QUERY else facts.passage_prefix) or ""


def answer(question: Question) -> Answered:
    """Return ``embedding`` float32 [n, dim]."""
    model = load(question)
    probes = question.probes
    prompts = [prompt_of(question, probe) for probe in probes]
    inputs = [
        unpadded(model.preprocess([probe.text], prompt=_resolved(model, prompt)))[0]
        for probe, prompt in zip(probes, prompts, strict=True)
    ]

    def encode(indices: list[int]) -> list[np.ndarray]:
        found: dict[int, np.ndarray] = {}
        for prompt in dict.fromkeys(prompts[index] for index in indices):
            same = [index for index in indices if prompts[index] == prompt]
            texts = [probes[index].text for index in same]
            rows = model.encode(texts, prompt=prompt, batch_size=len(texts), show_progress_bar=False)
            found.update(zip(same, rows, strict=True))
        return [found[index] for index in indices]

    rows, batching = in_batches([len(ids) for ids in inputs], encode, array_difference, advance=question.advance)
    return Answered(arrays={"embedding": np.stack(rows).astype(np.float32)}, inputs=inputs, batching=batching)


def _resolved(model: Any, prompt: str | None) -> str | None:
    """Return the prompt that ``encode`` will use: its default where none is given."""
    if prompt is None and model.default_prompt_name is not None:
        return str(model.prompts.get(model.default_prompt_name) or "") or None
    return prompt or None
