"""The oracles of pairs: sentence-transformers' CrossEncoder, and transformers' question answering outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from release_tool.errors import UnsupportedModel
from release_tool.models.answers import pack_rows
from release_tool.models.batches import array_difference, in_batches
from release_tool.models.oracle_inputs import (
    Answered,
    Question,
    load_tokenizer,
    loading,
    model_keywords,
    shared_keywords,
    transformer_folder,
    unpadded,
)

if TYPE_CHECKING:
    from release_tool.core.probes import Probe

JAVA_TRIMS = "".join(map(chr, range(0x21)))
"""What Java's String.trim takes away: everything up to the space."""


def _pair(probe: Probe) -> tuple[str, str]:
    return probe.first, probe.second or ""


def answer_cross_encoder(question: Question) -> Answered:
    """Return ``logit`` float32 [n]: the raw logit, as the server gives it."""
    import torch
    from sentence_transformers import CrossEncoder

    plan = question.plan
    with loading(question.kind):
        model = CrossEncoder(
            str(question.snapshot),
            device="cpu",
            max_length=plan.max_length,
            model_kwargs=model_keywords(plan),
            **shared_keywords(plan),
        )
    model = model.float().eval()
    pairs = [_pair(probe) for probe in question.probes]
    inputs = [unpadded(model.preprocess([pair]))[0] for pair in pairs]

    def predict(indices: list[int]) -> list[np.ndarray]:
        chosen = [pairs[index] for index in indices]
        logits = model.predict(
            chosen, batch_size=len(chosen), activation_fn=torch.nn.Identity(), show_progress_bar=False
        )
        if logits.ndim != 1:
            raise UnsupportedModel(
                f"The cross-encoder answers {logits.shape[1]} numbers a pair; ML Commons serves one.",
                hint="Choose a model with one label.",
            )
        return list(logits.reshape(-1, 1))

    rows, batching = in_batches([len(ids) for ids in inputs], predict, array_difference, advance=question.advance)
    return Answered(arrays={"logit": np.concatenate(rows).astype(np.float32)}, inputs=inputs, batching=batching)


def _answering_model(question: Question) -> Any:
    """Return transformers' question answering model, refused where its head had to be invented."""
    import transformers

    plan = question.plan
    with loading(question.kind):
        model, info = transformers.AutoModelForQuestionAnswering.from_pretrained(
            transformer_folder(question), output_loading_info=True, **shared_keywords(plan), **model_keywords(plan)
        )
    if info["missing_keys"]:
        raise UnsupportedModel(
            f"The snapshot has no weights for {min(info['missing_keys'])!r}: it answers no questions.",
            hint="Name the right --kind.",
        )
    return model.eval()


def answer_question_answering(question: Question) -> Answered:
    """Return ``start`` and ``end`` logits per token, the answers' texts, and how decided they are (``margin``)."""
    import torch

    model, tokenizer = _answering_model(question), load_tokenizer(question)
    pairs = [_pair(probe) for probe in question.probes]

    def tokenize(indices: list[int]) -> Any:
        chosen = [pairs[index] for index in indices]
        return tokenizer(
            [first for first, _ in chosen],
            [second for _, second in chosen],
            padding=True,
            truncation="longest_first",
            max_length=question.plan.max_length,
            return_tensors="pt",
        )

    def logits(indices: list[int]) -> list[np.ndarray]:
        features = tokenize(indices)
        with torch.inference_mode():
            out = model(**features)
        both = torch.stack([out.start_logits, out.end_logits], dim=1)
        masks = features["attention_mask"].bool()
        return [row[:, mask].numpy() for row, mask in zip(both, masks, strict=True)]

    alone = [tokenize([index]) for index in range(len(pairs))]
    inputs = [unpadded(features)[0] for features in alone]
    rows, batching = in_batches([len(ids) for ids in inputs], logits, array_difference, advance=question.advance)
    indptr, start = pack_rows([row[0] for row in rows], np.float32)
    end = pack_rows([row[1] for row in rows], np.float32)[1]
    margin = np.asarray([min(decided(row[0]), decided(row[1])) for row in rows], dtype=np.float32)
    # The encoding's own tokens, not those of the ids: an unknown word keeps its spelling, on the server too.
    texts = tuple(answer_text(one.tokens(0), row[0], row[1]) for one, row in zip(alone, rows, strict=True))
    arrays = {"indptr": indptr, "start": start, "end": end, "margin": margin}
    return Answered(arrays=arrays, inputs=inputs, batching=batching, texts=texts)


def decided(logits: np.ndarray) -> float:
    """Return best minus second best; infinite where there is one only."""
    if len(logits) < 2:
        return float("inf")
    second, best = np.partition(logits, -2)[-2:]
    return float(best) - float(second)


def answer_text(tokens: list[str], start: np.ndarray, end: np.ndarray) -> str:
    """Return the answer by the server's rule.

    Source: ML Commons' QuestionAnsweringTranslator (both argmax, swapped where start is not before end) and
    DJL's HuggingFaceTokenizer.buildSentence (joined with spaces, `` ##`` removed, trimmed).
    """
    first, last = int(start.argmax()), int(end.argmax())
    if first >= last:
        first, last = last, first
    return " ".join(tokens[first : last + 1]).replace(" ##", "").strip(JAVA_TRIMS)
