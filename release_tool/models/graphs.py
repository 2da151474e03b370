"""The modules that are traced: what each kind takes and gives, exactly as ML Commons calls it.

Shapes: ids, mask and token types are int64 [batch, seq]; batch is 1 on the server, the graphs take any. Signatures
follow ML Commons' translators (SentenceTransformerTranslator and its siblings, 3.6.0.0).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from release_tool.core.kinds import Activation, PoolingMode
from release_tool.models.pooling import normalise, pool

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Hidden(nn.Module):
    """Bare transformer by position: (ids, mask[, token types]) to token embeddings [batch, seq, dim]."""

    def __init__(self, model: nn.Module, *, token_types: bool) -> None:
        super().__init__()
        self.model = model
        self.token_types = token_types

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the last hidden state."""
        more: dict[str, Any] = {"token_type_ids": token_type_ids} if self.token_types else {}
        hidden: torch.Tensor = self.model(
            input_ids=input_ids, attention_mask=attention_mask, return_dict=False, **more
        )[0]
        return hidden


class DenseGraph(nn.Module):
    """Dict in, dict out: pooling, Dense modules and normalisation inside, so that the server has nothing to add."""

    def __init__(
        self, hidden: Hidden, pooling_mode: PoolingMode, dense: tuple[nn.Module, ...], *, normalize: bool
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.pooling_mode = pooling_mode
        self.dense = nn.ModuleList(dense)
        self.normalize = normalize

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return ``sentence_embedding`` [batch, dim]."""
        mask = inputs["attention_mask"]
        embedding = pool(self.pooling_mode, self.hidden(inputs["input_ids"], mask), mask)
        for module in self.dense:
            embedding = module(embedding)
        return {"sentence_embedding": normalise(embedding) if self.normalize else embedding}


class SparseVector(nn.Module):
    """(ids, mask) to weights [batch, vocabulary]: everything that the server does not do itself.

    ML Commons keeps whatever is not zero, so maximum, activation, special tokens and pruning are inside. The maximum
    is taken before the activation: it is monotone, and a vector costs less than a matrix of seq times vocabulary.
    """

    keep: torch.Tensor

    def __init__(
        self, model: nn.Module, special_ids: tuple[int, ...], vocabulary: int, *,
        activation: Activation, prune_ratio: float, summed: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.model = model
        keep = torch.ones(vocabulary)
        keep[[index for index in special_ids if index < vocabulary]] = 0.0
        self.register_buffer("keep", keep)
        self.activation = activation
        self.prune_ratio = prune_ratio
        self.summed = summed

    def _activate(self, scores: torch.Tensor) -> torch.Tensor:
        scores = torch.log1p(torch.relu(scores))
        return torch.log1p(scores) if self.activation is Activation.L0 else scores

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return float32 [batch, vocabulary], zero for special and pruned tokens."""
        logits = self.model(input_ids=input_ids, attention_mask=attention_mask, return_dict=False)[0]
        logits = logits * attention_mask.unsqueeze(-1).to(logits.dtype)  # a masked 0 never wins over relu
        weights = self._activate(logits).sum(dim=1) if self.summed else self._activate(logits.max(dim=1)[0])
        weights = weights * self.keep
        if self.prune_ratio > 0:
            limit = weights.max(dim=1, keepdim=True)[0] * self.prune_ratio
            weights = weights * (weights > limit).to(weights.dtype)
        return weights


class SparseGraph(nn.Module):
    """Dict in, dict out around ``SparseVector``: the TorchScript signature."""

    def __init__(self, vector: SparseVector) -> None:
        super().__init__()
        self.vector = vector

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return ``output`` [batch, vocabulary]."""
        return {"output": self.vector(inputs["input_ids"], inputs["attention_mask"])}


class CrossEncoderGraph(nn.Module):
    """Always three inputs (the server feeds three to every architecture), raw logit [batch, 1]."""

    def __init__(self, model: nn.Module, *, token_types: bool) -> None:
        super().__init__()
        self.model = model
        self.token_types = token_types

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        """Return the logit, no sigmoid."""
        more: dict[str, Any] = {"token_type_ids": token_type_ids} if self.token_types else {}
        logits: torch.Tensor = self.model(
            input_ids=input_ids, attention_mask=attention_mask, return_dict=False, **more
        )[0]
        return logits


class QuestionAnsweringGraph(nn.Module):
    """(ids, mask) to (start, end) logits [batch, seq].

    The server feeds no token types, although models with segments were trained with them: the graph derives them
    from the separator, as the tokenizer would (0 up to and with the first separator, 1 after it).
    """

    def __init__(self, model: nn.Module, separator_id: int | None) -> None:
        super().__init__()
        self.model = model
        self.separator_id = separator_id

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return start and end logits."""
        more: dict[str, Any] = {}
        if self.separator_id is not None:
            separators = (input_ids == self.separator_id).to(input_ids.dtype)
            before = separators.cumsum(dim=1) - separators
            more["token_type_ids"] = (before > 0).to(input_ids.dtype) * attention_mask
        start, end = self.model(input_ids=input_ids, attention_mask=attention_mask, return_dict=False, **more)[:2]
        return start, end


@torch.jit.script_if_tracing  # type: ignore[untyped-decorator]
def select_sentences(
    hidden: torch.Tensor, sentence_ids: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """Return the global indices [k] of the sentences to highlight, int64, at least one.

    Args:
        hidden: [1, seq, dim]
        sentence_ids: integers [1, seq]; the sentence of each token, -100 for tokens of no sentence. The numbering is
            global: a later chunk of a long context starts above 0.
        weight: [2, dim] of the classifier
        bias: [2]

    A sentence is selected when its probability is at least one half; when none is, the likeliest one is, since the
    server's warm-up at deploy fails on an empty answer.
    """
    ids = sentence_ids[0].to(torch.int64)
    known = ids >= 0
    if not bool(known.any()):
        return torch.zeros([0], dtype=torch.int64, device=hidden.device)
    tokens = hidden[0][known]
    ids = ids[known]
    first = ids.min()
    rows = ids - first
    count = int(rows.max().item()) + 1
    sums = torch.zeros([count, tokens.size(1)], dtype=tokens.dtype, device=tokens.device)
    sums = sums.index_add(0, rows, tokens)
    sizes = torch.zeros([count], dtype=tokens.dtype, device=tokens.device)
    sizes = sizes.index_add(0, rows, torch.ones_like(rows).to(tokens.dtype))
    means = sums / sizes.clamp(min=1.0).unsqueeze(1)
    probability = torch.softmax(torch.nn.functional.linear(means, weight, bias), dim=1)[:, 1]
    probability = torch.where(sizes > 0, probability, torch.zeros_like(probability))
    chosen = torch.nonzero(probability >= 0.5).flatten()
    if chosen.numel() == 0:
        chosen = probability.argmax().unsqueeze(0)
    return chosen + first


class HighlighterGraph(nn.Module):
    """(ids, mask, token types, sentence ids int32) to the indices of the selected sentences."""

    def __init__(self, hidden: Hidden, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.hidden = hidden
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor,
        sentence_ids: torch.Tensor,
    ) -> torch.Tensor:
        """Return global sentence indices [k]."""
        hidden = self.hidden(input_ids, attention_mask, token_type_ids)
        selected: torch.Tensor = select_sentences(hidden, sentence_ids, self.weight, self.bias)
        return selected
