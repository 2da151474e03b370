"""What chooses the checkpoint: a small retrieval over rows of dev, and the FLOPS of a sparse model.

Every query of the sample is searched among the documents of the whole sample: its own positive, its hardest negatives
and everybody else's. FLOPS are the products that a pair of query and document takes in the mean, the sum over tokens of
(share of queries that have it) x (share of documents that have it), as sentence-transformers' evaluators count them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.util import cos_sim, dot_score

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_ROWS = 250
NEGATIVES = 2
"""Of a row: the sample has three documents a query, one of which is right."""
PROBE_DOCUMENTS = 64
"""What FLOPS are steered by; measured every few steps."""
LOGITS_BYTES = 256 << 20
"""What the logits of a batch may take: texts x tokens x vocabulary x 4."""
MAX_BATCH = 32
CUT = 10
NDCG, FLOPS, CHOICE = "ndcg_at_10", "flops", "choice"
TOLERANCE = 1.1
"""Times the target that a checkpoint may have to be chosen by its nDCG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Texts of some rows."""

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    """Each once."""
    positives: tuple[int, ...]
    """A number of a document a query."""


def sample_of(rows: Iterable[tuple[str, list[str], Any]]) -> Sample:
    """Return the sample that some rows (query, documents, labels) make."""
    places: dict[str, int] = {}
    queries, positives = [], []
    for query, documents, _ in rows:
        numbers = [places.setdefault(document, len(places)) for document in documents[: 1 + NEGATIVES]]
        queries.append(query)
        positives.append(numbers[0])
    return Sample(queries=tuple(queries), documents=tuple(places), positives=tuple(positives))


def measure(model: Any, sample: Sample) -> dict[str, float]:
    """Return ``ndcg_at_10`` (0 to 1), for sparse models ``flops``, too; the model's mode is left as it was."""
    queries, documents = encode(model, sample.queries, query=True), encode(model, sample.documents)
    measures = {FLOPS: products(share(queries), share(documents))} if is_sparse(model) else {}
    return {NDCG: ndcg(similarity(model, queries, documents), torch.tensor(sample.positives)), **measures}


def similarity(model: Any, queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    """Return the scores [queries, documents] of what ``encode`` returned.

    The library multiplies two sparse tensors, for which torch takes a layout that it warns of as beta; with one side
    dense it does not. Queries are the smaller side.
    """
    if is_sparse(model):
        return torch.sparse.mm(documents, queries.to_dense().T).T
    return dot_score(queries, documents) if is_dot(model) else cos_sim(queries, documents)


def ndcg(scores: torch.Tensor, positives: torch.Tensor) -> float:
    """Return the mean nDCG@10 of scores [queries, documents] with one right document each; a tie is lost."""
    own = scores.gather(1, positives[:, None].to(scores.device))
    ranks = (scores >= own).sum(1).tolist()
    return sum(1 / math.log2(1 + rank) for rank in ranks if rank <= CUT) / max(1, len(ranks))


def is_dot(model: Any) -> bool:
    """Tell whether a dense model's settings name the inner product; evaluate takes the cosine for all others, too."""
    return str(model.similarity_fn_name) == "dot"


def is_sparse(model: Any) -> bool:
    """Tell whether a model is a sparse encoder."""
    from sentence_transformers import SparseEncoder

    return isinstance(model, SparseEncoder)


def encode(model: Any, texts: Iterable[str], *, query: bool = False) -> torch.Tensor:
    """Return vectors [texts, width] of a model, sparse ones as a sparse tensor, on the CPU."""
    listed = list(texts)
    was_training = model.training
    function = model.encode_query if query else model.encode_document
    with torch.inference_mode(mode=False), torch.no_grad():
        if is_sparse(model):
            width = int(model.get_embedding_dimension() or 1)
            batch = max(1, min(MAX_BATCH, LOGITS_BYTES // (4 * width * int(model.max_seq_length or 512))))
            found = function(listed, batch_size=batch, convert_to_sparse_tensor=True, show_progress_bar=False,
                             save_to_cpu=True)  # fmt: skip
        else:
            found = function(listed, batch_size=MAX_BATCH, convert_to_tensor=True, show_progress_bar=False).cpu()
    model.train(was_training)
    return found.coalesce() if found.is_sparse else found


def share(vectors: torch.Tensor) -> torch.Tensor:
    """Return the share of sparse vectors [texts, width] that have each token, float [width]."""
    counts = torch.bincount(vectors.indices()[1][vectors.values() > 0], minlength=vectors.shape[1])
    return counts / max(1, vectors.shape[0])


def products(queries: torch.Tensor, documents: torch.Tensor) -> float:
    """Return FLOPS of two shares [width]."""
    return float((queries.double() * documents.double()).sum())


def choice(measures: dict[str, float], target: float) -> float:
    """Return the number by which checkpoints are compared: nDCG, and below all of those one with too many FLOPS.

    Args:
        measures: of a checkpoint.
        target: FLOPS that a sparse model is to have.
    """
    flops = measures.get(FLOPS, 0.0)
    return measures[NDCG] - (flops / target if flops > TOLERANCE * target else 0.0)


class DevEvaluator(BaseEvaluator):
    """Gives the trainer what ``measure`` finds on the rows of dev, and ``choice``."""

    def __init__(self, sample: Sample, target: float) -> None:
        super().__init__()
        self.sample = sample
        self.target = target
        self.primary_metric = CHOICE

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Return the measures of a model; nothing is written."""
        del output_path, epoch, steps
        measures = measure(model, self.sample)
        return {**measures, CHOICE: choice(measures, self.target)}
