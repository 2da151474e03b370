"""The weights of query tokens of an inference-free sparse model: counted, taken from the base, or all one."""

from __future__ import annotations

import json
import math
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from release_tool.core.finetune.dividing import TRAIN
from release_tool.core.finetune.records import Document, Placed
from release_tool.core.finetune.token_weights import DECIMALS, weights_of
from release_tool.errors import IntegrityError, UsageError
from release_tool.part_files import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

AT_ONCE = 1000
"""Documents that are tokenised together: they are all that is held in memory."""
ABSENT = 1.0
"""What the published models give a token that their idf.json does not name, and ML Commons, too."""


def counted_weights(
    documents: Path, places: Path, tokenizer: Any, advance: Callable[[int], None] = lambda _: None
) -> list[float]:
    """Return a weight a token id from the documents of train; those of dev and test don't count.

    Args:
        documents: folder of stage corpus.
        places: folder of stage split.
        tokenizer: of the model.
        advance: told how many more documents were read.

    Raises:
        IntegrityError: the two stages disagree.
    """
    texts = _texts_of_train(documents, places)
    width = len(tokenizer)
    having = torch.zeros(width, dtype=torch.int64)
    count = 0
    while chunk := list(islice(texts, AT_ONCE)):
        encoded = tokenizer(chunk, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False)
        for ids in encoded["input_ids"]:
            having[torch.tensor(ids, dtype=torch.int64).unique()] += 1
        count += len(chunk)
        advance(len(chunk))
    return weights_of(count, having.tolist(), set(tokenizer.all_special_ids))


def _texts_of_train(documents: Path, places: Path) -> Iterator[str]:
    for document, placed in zip(read_rows(documents, Document), read_rows(places, Placed), strict=True):
        if document.id != placed.id:
            raise IntegrityError("The stages corpus and split have other documents.", hint="Run both of them again.")
        if placed.split == TRAIN:
            yield document.whole


def ones(tokenizer: Any) -> list[float]:
    """Return weight 1 for every token but the special ones."""
    special = set(tokenizer.all_special_ids)
    return [0.0 if index in special else ABSENT for index in range(len(tokenizer))]


def base_weights(base: Path, tokenizer: Any) -> list[float]:
    """Return the weights that the base model has: an idf.json, or the vector of its query route.

    Raises:
        UsageError: it has neither.
    """
    named = next((path for path in (base / "idf.json", *sorted(base.glob("*/idf.json"))) if path.is_file()), None)
    weights = ones(tokenizer)
    special = set(tokenizer.all_special_ids)
    if named is not None:
        vocabulary = tokenizer.get_vocab()
        try:
            given = {vocabulary[token]: float(value) for token, value in json.loads(named.read_text("utf-8")).items()
                     if token in vocabulary}  # fmt: skip
        except (ValueError, TypeError, AttributeError) as error:
            raise UsageError("idf.json of the base is no flat map of tokens to numbers.") from error
    else:
        given = dict(enumerate(_vector(base)))
    for index, value in given.items():
        if index < len(weights) and index not in special and math.isfinite(value):
            weights[index] = round(max(0.0, value), DECIMALS)
    return weights


def _vector(base: Path) -> list[float]:
    from safetensors import safe_open

    for path in sorted(base.glob("query_0_*/model.safetensors")):
        with safe_open(path, framework="pt") as file:
            values: list[float] = file.get_tensor("weight").float().tolist()
            return values
    raise UsageError(
        "train.idf is 'base', and the base has no weights of query tokens.",
        hint='Set train.idf = "corpus": they are counted in the documents then.',
    )


def named_weights(weights: list[float], tokenizer: Any) -> dict[str, float]:
    """Return token → weight for idf.json, in the order of the ids; special tokens are left out."""
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return {
        token: round(weights[index], DECIMALS) for index, token in enumerate(tokens) if index not in special and token
    }
