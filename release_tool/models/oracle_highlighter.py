"""The highlighter's oracle: transformers' hidden states, and the rule of selection in numpy.

The model answers a chunk of the context at a time, as the server's translator cuts it; sentence indices are
those of the whole context. Sources: ML Commons' DefaultSentenceSegmenter, SentenceHighlightingQATranslator
and QuestionAnsweringModel (3.6.0.0); the selection as opensearch-semantic-highlighter-v1 was published, but
for its back-off threshold: at least one sentence of a chunk is always selected.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from release_tool.errors import UnsupportedModel
from release_tool.models.answers import pack_rows
from release_tool.models.oracle_inputs import (
    Answered,
    Question,
    load_tokenizer,
    loading,
    model_keywords,
    shared_keywords,
    transformer_folder,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Head = tuple[np.ndarray, np.ndarray]
"""Weight float32 [2, dim] and bias float32 [2] of the classifier."""

THRESHOLD = 0.5
STRIDE = 128
"""Tokens of overlap: token_overlap_stride's default."""
IGNORED = -100

# Java's \w, \s and \b know ASCII only.
_BOUNDARY = re.compile(
    r"(?<!\w\.\w.)(?<!\w[A-Z]\.)(?<=[.!?])(?<!\w[A-Z]\.[A-Z]\.)[ \t\n\x0b\f\r]+", re.ASCII | re.DOTALL
)
_SPACES = re.compile(r"[ \t\n\x0b\f\r]+")
_ABBREVIATIONS = (
    "Mr.", "Mrs.", "Ms.", "Dr.", "Prof.", "Sr.", "Jr.", "Ltd.", "Co.", "Inc.", "i.e.", "e.g.", "etc.", "vs.", "fig.",
)  # fmt: skip
PREFIX_CHARACTERS = 10


def utf16(text: str) -> str:
    """Return the text with one character a UTF-16 unit, as Java counts and indexes it."""
    units = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), dtype="<u2")
    return "".join(map(chr, units.tolist()))


def split(pattern: re.Pattern[str], text: str) -> list[str]:
    """Split as Java does: empty strings at the end are dropped, the text itself is never."""
    parts = pattern.split(text)
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts


def sentence_spans(context: str) -> list[tuple[int, int]]:
    """Return (start, end) of each sentence in ``context``, both in UTF-16 units of the text as it came."""
    text = context
    for word in _ABBREVIATIONS:
        text = re.sub(rf"\b{re.escape(word)}[ \t\n\x0b\f\r]+", f"{word.replace('.', '@@@')} ", text, flags=re.ASCII)
    text = re.sub(r'([.!?])"', r'"\1', text)
    spans = []
    position = 0
    for sentence in split(_BOUNDARY, text):
        start = context.find(sentence, position)
        if start < 0:
            # The text was changed above: the server looks for the first characters, else goes on where it is.
            start = context.find(sentence[:PREFIX_CHARACTERS], position)
        start = position if start < 0 else start
        position = start + len(sentence)
        spans.append((start, position))
    return spans


def word_sentences(context: str, spans: list[tuple[int, int]]) -> list[int]:
    """Return the sentence of each white-space word; words of no sentence are sentence 0's, as on the server."""
    found = []
    start = 0
    for word in split(_SPACES, context):
        end = start + len(word)
        inside = [index for index, (low, high) in enumerate(spans) if start >= low and end <= high]
        found.append(inside[-1] if inside else 0)
        # The server counts one character between words, however many there are.
        start = end + 1
    return found


def chunk_sentences(word_ids: list[int | None], types: list[int], words: list[int]) -> np.ndarray:
    """Return the sentence of each token of a chunk [seq], ``IGNORED`` where there is none."""
    context = types.index(1) if 1 in types else 0
    sentences = np.full(len(types), IGNORED, dtype=np.int64)
    for position in range(context, len(types)):
        word = word_ids[position]
        if word is not None and word < len(words):
            sentences[position] = words[word]
    return sentences


def probabilities(hidden: np.ndarray, sentences: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> dict[int, float]:
    """Return sentence → probability that it answers, of the sentences that have a token in the chunk.

    Args:
        hidden: float32 [seq, dim].
        sentences: integers [seq].
        weight: float32 [2, dim] of the classifier.
        bias: float32 [2].
    """
    found = {}
    for index in sorted(set(sentences[sentences != IGNORED].tolist())):
        mean = hidden[sentences == index].mean(axis=0, dtype=np.float64)
        logits = weight.astype(np.float64) @ mean + bias
        found[index] = float(1.0 / (1.0 + np.exp(logits[0] - logits[1])))
    return found


def select(chances: dict[int, float]) -> tuple[set[int], float]:
    """Return the selected sentences of a chunk and how far the selection is from being another one."""
    if not chances:
        return set(), float("inf")
    chosen = {index for index, chance in chances.items() if chance >= THRESHOLD}
    ordered = sorted(chances.values(), reverse=True)
    if not chosen:
        best = max(chances, key=lambda index: (chances[index], -index))
        rival = ordered[0] - ordered[1] if len(ordered) > 1 else float("inf")
        return {best}, rival
    # The only one chosen stays chosen below the threshold, too: it is the likeliest then.
    turning = [chance for index, chance in chances.items() if len(chosen) > 1 or index not in chosen]
    return chosen, min((abs(chance - THRESHOLD) for chance in turning), default=float("inf"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlights:
    """The answer to one pair."""

    selected: np.ndarray
    """int32, ascending."""
    chances: np.ndarray
    """float32 [sentences]: each one's largest probability in a chunk; 0 for a sentence without a token."""
    margin: float
    inputs: list[int]
    """Token ids of all chunks, one after another."""
    first: int
    """Tokens of the first chunk."""


def highlight(
    encoded: Any, hidden: Callable[[list[int], list[int]], np.ndarray], context: str, head: Head
) -> Highlights:
    """Return the selected sentences of all chunks of one pair.

    Args:
        encoded: transformers' encoding of the pair with its overflowing chunks.
        hidden: (ids, token types) of a chunk to float32 [seq, dim].
        context: the context as it came.
        head: weight [2, dim] and bias [2] of the classifier.
    """
    java = utf16(context)
    spans = sentence_spans(java)
    words = word_sentences(java, spans)
    chosen: set[int] = set()
    chances = np.zeros(len(spans), dtype=np.float32)
    margin = 1.0
    for chunk, ids in enumerate(encoded["input_ids"]):
        types = encoded["token_type_ids"][chunk]
        sentences = chunk_sentences(encoded.word_ids(chunk), types, words)
        found = probabilities(hidden(ids, types), sentences, *head)
        here, apart = select(found)
        chosen |= here
        margin = min(margin, apart)
        for index, chance in found.items():
            chances[index] = max(chances[index], chance)
    inputs = [token for ids in encoded["input_ids"] for token in ids]
    return Highlights(
        selected=np.asarray(sorted(chosen), dtype=np.int32),
        chances=chances,
        margin=margin,
        inputs=inputs,
        first=len(encoded["input_ids"][0]),
    )


def answer(question: Question) -> Answered:
    """Return ``selected`` sentence indices, each sentence's ``probability``, and how decided they are (``margin``)."""
    hidden, head = _load(question)
    tokenizer = load_tokenizer(question)
    found = []
    for probe in question.probes:
        encoded = tokenizer(
            probe.first,
            probe.second,
            truncation="only_second",
            max_length=question.plan.max_length,
            stride=STRIDE,
            return_overflowing_tokens=True,
            return_token_type_ids=True,
        )
        found.append(highlight(encoded, hidden, probe.second or "", head))
        question.advance(1)
    indptr, selected = pack_rows([item.selected for item in found], np.int32)
    bounds, probability = pack_rows([item.chances for item in found], np.float32)
    arrays = {
        "indptr": indptr,
        "selected": selected,
        "probability_indptr": bounds,
        "probability": probability,
        "margin": np.asarray([item.margin for item in found], dtype=np.float32),
    }
    return Answered(
        arrays=arrays,
        inputs=[item.inputs for item in found],
        lengths=tuple(item.first for item in found),
        batching="single",
    )


def _load(question: Question) -> tuple[Callable[[list[int], list[int]], np.ndarray], Head]:
    import torch
    import transformers

    plan = question.plan
    folder = transformer_folder(question)
    with loading(question.kind):
        model = transformers.BertModel.from_pretrained(
            folder, add_pooling_layer=False, **shared_keywords(plan), **model_keywords(plan)
        ).eval()

    def hidden(ids: list[int], types: list[int]) -> np.ndarray:
        fed = {"input_ids": torch.tensor([ids]), "token_type_ids": torch.tensor([types])}
        with torch.inference_mode():
            states = model(**fed, attention_mask=torch.ones_like(fed["input_ids"])).last_hidden_state
        row: np.ndarray = states[0].numpy()
        return row

    return hidden, classifier(folder, allow_pickle=plan.request.allow_pickle)


def classifier(folder: Path, *, allow_pickle: bool) -> Head:
    """Return weight [2, dim] and bias [2] of the head, read from the weight files themselves.

    Raises:
        UnsupportedModel: there is no such head.
    """
    import torch
    from safetensors import safe_open

    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found |= {key: file.get_tensor(key) for key in file.keys() if key.startswith("classifier.")}  # noqa: SIM118 - no mapping
    if not found and allow_pickle:
        for path in sorted(folder.glob("pytorch_model*.bin")):
            state = torch.load(path, map_location="cpu", weights_only=True)
            found |= {key: value for key, value in state.items() if key.startswith("classifier.")}
    if {"classifier.weight", "classifier.bias"} - set(found):
        raise UnsupportedModel(
            "The snapshot has no classifier.weight and classifier.bias: it is no semantic highlighter.",
            hint="Name the right --kind.",
        )
    return found["classifier.weight"].float().numpy(), found["classifier.bias"].float().numpy()
