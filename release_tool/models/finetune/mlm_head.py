"""A head of a masked language model for an encoder that has none, so that a sparse encoder can start from it.

Nothing is random: the head is fitted in closed form so that every position says its own token. With it the encoder is
a lexical one: a document's vector holds its own words and those whose embeddings lie near. Training goes on from there.

- The linear layer is the ridge regression from the last hidden state of a position to the (centred) input embedding of
  its token, over documents that are trained on.
- The activation behind it must not bend anything: a constant is added before and the layer norm takes it away again,
  and what stands right of that constant is on the straight part of gelu and relu.
- The decoder is the input embedding (tied), the layer norm's gain gives the own token a logit of ``OWN_LOGIT``, and
  one bias for all tokens cuts off what is far from every word of a text, so that a document has the wanted FLOPS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from release_tool.errors import UnsupportedModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel

RIDGE = 1.0
OWN_LOGIT = 8.0
"""ln(1 + 8) = 2.2: what trained encoders give the words of a text."""
STRAIGHT = 3.0
"""Added before the activation; gelu differs from the identity by 0.004 there."""
INSIDE = 0.5
"""Standard deviation of what goes through the activation: six of them lie on its straight part."""
MAX_POSITIONS = 60_000
"""Positions to fit on; MiniLM's 384 dimensions are settled with half of them."""
BATCH = 16


def is_without_head(missing: Sequence[str], model: PreTrainedModel) -> bool:
    """Tell whether the weights that were missing are those of the head, all of it.

    Raises:
        UnsupportedModel: others are missing, too, or the head is of a shape that can't be fitted.
    """
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    found = [name for name in missing if name in shapes]
    if not found:
        return False
    body = f"{model.base_model_prefix}."
    inside = [name for name in found if name.startswith(body)]
    width = model.get_input_embeddings().weight.shape[1]
    square = [name for name in found if shapes[name] == (width, width)]
    if inside or len(square) != 1:
        raise UnsupportedModel(
            f"The base has no weights for {(inside or found)[0]!r}: no sparse model can start from it.",
            hint="Start from a masked language model, or from a BERT without a head.",
        )
    return True


def fit_head(
    model: PreTrainedModel,
    tokenizer: Any,
    texts: Sequence[str],
    max_length: int,
    flops_of: Callable[[torch.Tensor], float],
    target: float,
) -> None:
    """Fit the head in place.

    Args:
        model: a masked language model whose head is new; on the CPU, float32.
        tokenizer: of the model.
        texts: of documents that are trained on.
        max_length: tokens of a text that are read.
        flops_of: share of the documents that have each token, float [vocabulary] → FLOPS.
        target: FLOPS that the documents shall have.
    """
    model.eval()
    embedding = model.get_input_embeddings().weight.detach()
    head = dict(_head_of(model))
    dense, norm = head["dense"], head["norm"]
    hidden, ids = _positions(model, tokenizer, texts, max_length)
    wanted = embedding[ids] - embedding.mean(0)
    wanted = wanted / wanted.norm(dim=1, keepdim=True).clamp_min(1e-6)
    gram = hidden.T @ hidden + RIDGE * torch.eye(hidden.shape[1])
    weight = torch.linalg.solve(gram, hidden.T @ wanted)
    weight = weight * (INSIDE / (hidden @ weight).std())
    said = torch.nn.functional.layer_norm(hidden @ weight, (hidden.shape[1],))
    own = (said * embedding[ids]).sum(1).median()
    with torch.no_grad():
        dense.weight.copy_(weight.T)
        dense.bias.fill_(STRAIGHT)
        norm.weight.fill_(float(OWN_LOGIT / own.clamp_min(1e-3)))
        norm.bias.zero_()
        bias = model.get_output_embeddings().bias
        bias.zero_()
        bias.fill_(-_threshold(model, tokenizer, texts[: 4 * BATCH], max_length, flops_of, target))


def _head_of(model: PreTrainedModel) -> list[tuple[str, torch.nn.Module]]:
    """Return the linear layer and the layer norm of the head, whatever its family calls them."""
    body = set(getattr(model, model.base_model_prefix).modules())
    output = model.get_output_embeddings()
    found = []
    for module in model.modules():
        if module in body or module is output:
            continue
        if isinstance(module, torch.nn.Linear):
            found.append(("dense", module))
        elif isinstance(module, torch.nn.LayerNorm):
            found.append(("norm", module))
    if [name for name, _ in found] != ["dense", "norm"] or any(module.bias is None for _, module in found):
        raise UnsupportedModel(
            f"The head of a {model.config.model_type} can't be made from its encoder.",
            hint="Start from a masked language model, or from a BERT without a head.",
        )
    return found


def _positions(
    model: PreTrainedModel, tokenizer: Any, texts: Sequence[str], max_length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return hidden states [positions, width] and token ids [positions] of texts, special tokens left out."""
    special = torch.tensor(sorted(tokenizer.all_special_ids))
    body = getattr(model, model.base_model_prefix)
    hidden, ids, count = [], [], 0
    for first in range(0, len(texts), BATCH):
        features = _tokens(tokenizer, texts[first : first + BATCH], max_length)
        kept = features["attention_mask"].bool() & ~torch.isin(features["input_ids"], special)
        with torch.no_grad():
            hidden.append(body(**features).last_hidden_state[kept])
        ids.append(features["input_ids"][kept])
        count += len(ids[-1])
        if count >= MAX_POSITIONS:
            break
    return torch.cat(hidden), torch.cat(ids)


def _tokens(tokenizer: Any, texts: Sequence[str], max_length: int) -> Any:
    return tokenizer(list(texts), padding=True, truncation=True, max_length=max_length, return_tensors="pt")


def _threshold(
    model: PreTrainedModel,
    tokenizer: Any,
    texts: Sequence[str],
    max_length: int,
    flops_of: Callable[[torch.Tensor], float],
    target: float,
) -> float:
    """Return what to take off every logit so that the documents have the target's FLOPS; the law only falls."""
    largest = []
    for text in texts:
        features = _tokens(tokenizer, [text], max_length)
        with torch.no_grad():
            largest.append(model(**features).logits[0].amax(0))
    logits = torch.stack(largest)
    low, high = 0.0, float(logits.max())
    for _ in range(40):
        middle = (low + high) / 2
        if flops_of((logits > middle).float().mean(0)) > target:
            low = middle
        else:
            high = middle
    return high
