"""Everything after the model: what each translator makes of the output tensors, and the arrays of answers.

Source: the translators of ML Commons 3.6.0.0 and DJL's ``StackBatchifier``. What would reach a client under a name,
a type or a rank that clients do not read is a ``ContractFault``, even where the server would pass it on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .faults import ContractFault, Refused
from .pooling import normalize, pool
from .tokens import build_sentence

if TYPE_CHECKING:
    from .config import ServedConfig
    from .prepare import Prepared

Outputs: TypeAlias = list[tuple[str | None, NDArray[Any]]]


def unbatch(outputs: Outputs) -> list[Outputs]:
    """Split outputs along their first axis as DJL's StackBatchifier does; one list an example.

    Raises:
        Refused: an output without dimensions, or one that can't be split like the first.
    """
    if not outputs:
        return []
    head = outputs[0][1]
    if head.ndim == 0:
        raise Refused("Dimension out of range: an output without dimensions can't be split into a batch")
    size = head.shape[0]
    examples: list[Outputs] = [[] for _ in range(size)]
    for name, array in outputs:
        if size and (array.ndim == 0 or array.shape[0] % size):
            raise Refused(f"array split does not result in an equal division: {list(array.shape)} by {size}")
        for index, part in enumerate(np.split(array, size) if size else []):
            examples[index].append((name, part[0] if part.shape[0] == 1 else part))
    return examples


def first_example(outputs: Outputs) -> Outputs:
    """Return what ``predict`` returns of a batch: its first example."""
    examples = unbatch(outputs)
    if not examples:
        raise Refused("Index 0 out of bounds for length 0")
    return examples[0]


def show(outputs: Outputs) -> str:
    """Describe outputs in a message."""
    return ", ".join(f"{name or '(no name)'} {array.dtype.name} {list(array.shape)}" for name, array in outputs)


def want_float32(array: NDArray[Any], what: str) -> None:
    """Refuse anything but float32: other types reach clients as another data_type or not at all."""
    if array.dtype != np.float32:
        raise ContractFault(f"{what} is {array.dtype.name}, expected float32")


def dense(config: ServedConfig, outputs: Outputs, mask: list[int], server: tuple[int, ...]) -> NDArray[Any]:
    """Return one embedding [dim]."""
    if config.model_format == "ONNX":
        index = 1 if config.pooling == "NONE" and len(outputs) > 1 else 0
        embeddings = outputs[index][1]
        want_float32(embeddings, "output 0 of the graph")
        return _pooled(config, embeddings[0] if embeddings.ndim == 3 else embeddings, mask, server)
    if config.framework == "SENTENCE_TRANSFORMERS":
        return _sentence_embedding(outputs)
    example = first_example(outputs)
    embeddings = _hidden_state(example, config.pooling)
    want_float32(embeddings, "the graph's token embeddings")
    return _pooled(config, embeddings, mask, server)


def _sentence_embedding(outputs: Outputs) -> NDArray[Any]:
    named = dict(outputs)
    if "sentence_embedding" not in named:
        raise ContractFault(f"clients read 'sentence_embedding', the graph answers {show(outputs)}")
    embedding = named["sentence_embedding"]
    want_float32(embedding, "sentence_embedding")
    if embedding.ndim != 2 or embedding.shape[0] != 1:
        raise ContractFault(f"sentence_embedding is {list(embedding.shape)}, expected [1, dim]")
    result: NDArray[Any] = embedding[0]
    return result


def _hidden_state(example: Outputs, pooling: str) -> NDArray[Any]:
    named = {name: array for name, array in example if name is not None}
    if pooling != "NONE":
        return named.get("last_hidden_state", example[0][1])
    for name in ("sentence_embedding", "pooler_output"):
        if name in named:
            return named[name]
    return example[1][1] if len(example) > 1 else example[0][1]


def _pooled(config: ServedConfig, embeddings: NDArray[Any], mask: list[int], server: tuple[int, ...]) -> NDArray[Any]:
    pooled = pool(embeddings, mask, config.pooling, server)
    # The server sends the numbers flat, whatever shape they have.
    return (normalize(pooled) if config.normalize else pooled).reshape(-1)


def sparse(config: ServedConfig, outputs: Outputs) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return (token ids, weights): whatever is not zero, as the server's nonzero() takes it, NaN included."""
    if len(outputs) != 1:
        raise ContractFault(f"clients read one tensor, the graph answers {show(outputs)}")
    name, weights = outputs[0]
    if config.model_format == "TORCH_SCRIPT" and name != "output":
        raise ContractFault(f"clients read 'output', the graph answers {show(outputs)}")
    want_float32(weights, "the sparse output")
    if weights.ndim != 2 or weights.shape[0] != 1:
        raise ContractFault(f"the sparse output is {list(weights.shape)}, expected [1, vocabulary]")
    ids = np.flatnonzero(weights[0])
    return ids.astype(np.int32), weights[0][ids]


def tokenized(
    ids: NDArray[np.int64], words: list[str], idf: dict[str, float] | None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return (token ids, weights) of the sparse tokenizer: distinct tokens, those that decode to nothing dropped."""
    kept = [int(item) for item in np.unique(ids) if words[int(item)]]
    table = idf or {}
    return np.asarray(kept, np.int32), np.asarray([table.get(words[item], 1.0) for item in kept], np.float32)


def similarity(outputs: Outputs) -> float:
    """Return a cross-encoder's raw logit."""
    if len(outputs) != 1:
        raise ContractFault(f"the server passes on every tensor, clients read one; the graph answers {show(outputs)}")
    logit = outputs[0][1]
    want_float32(logit, "the logit")
    if logit.shape != (1, 1):
        raise ContractFault(f"the logit is {list(logit.shape)}, expected [1, 1]")
    return float(logit[0, 0])


def answer(outputs: Outputs, tokens: list[str]) -> tuple[NDArray[Any], NDArray[Any], str]:
    """Return (start logits, end logits, answer text) of question answering."""
    if len(outputs) < 2:
        raise ContractFault(f"the server reads start and end logits, the graph answers {show(outputs)}")
    if any(name is not None for name, _ in outputs):
        raise ContractFault("the graph answers with a dictionary, whose order the server does not keep; use a tuple")
    for (_, array), what in zip(outputs[:2], ("start logits", "end logits"), strict=True):
        want_float32(array, what)
        if array.shape != (1, len(tokens)):
            raise ContractFault(f"{what} are {list(array.shape)}, expected [1, {len(tokens)}]")
    example = first_example(outputs)
    start, end = example[0][1], example[1][1]
    first, last = int(start.argmax()), int(end.argmax())
    if first >= last:
        first, last = last, first
    return start, end, build_sentence(tokens[first : last + 1])


def highlighted(outputs: Outputs, sentences: int) -> set[int]:
    """Return the sentences that one chunk selects; indices that no sentence has are dropped by the server."""
    chosen: set[int] = set()
    for _, array in outputs:
        if array.dtype != np.int64:
            raise ContractFault(f"the selected indices are {array.dtype.name}, expected int64")
        if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[0] != 1):
            raise ContractFault(f"the selected indices are {list(array.shape)}, expected [k] or [1, k]")
    for example in unbatch(outputs):
        for _, array in example:
            chosen.update(int(index) for index in np.atleast_1d(array) if 0 <= index < sentences)
    return chosen


def collisions(ids: NDArray[np.int32], words: list[str]) -> tuple[int, int]:
    """Return (tokens whose word another active token has too, active special tokens) in WORD format.

    Clients that ask for words get one weight a word, so all but one of a group are lost.
    """
    spelled = [words[item] if item < len(words) else "" for item in ids.tolist()]
    texts = [word for word in spelled if word]
    return len(texts) - len(set(texts)), len(spelled) - len(texts)


def check_vocabulary(prepared: Prepared, width: int) -> str | None:
    """Return a note when a sparse model answers for another number of tokens than its tokenizer has."""
    known = len(prepared.words)
    if width == known:
        return None
    return f"the model answers for {width} tokens, its tokenizer knows {known}"
