"""The losses: sentence-transformers' own, with temperatures from the spread of what they compare.

A teacher's scores lie between 0 and 1, a dense student's between -1 and 1, a sparse one's between 0 and 100. A softmax
over either of them says nothing unless they are brought to the same spread: with temperatures that are a quarter of the
median spread of a row, the best and the worst candidate of such a row are four units of logit apart on both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers.sentence_transformer.losses import (
    DistillKLDivLoss,
    MarginMSELoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.sparse_encoder.losses import (
    SparseDistillKLDivLoss,
    SparseMarginMSELoss,
    SparseMultipleNegativesRankingLoss,
    SpladeLoss,
)
from sentence_transformers.util import dot_score, pairwise_cos_sim, pairwise_dot_score

from release_tool.core.kinds import ModelKind
from release_tool.models.finetune.dev_measure import is_dot

if TYPE_CHECKING:
    from release_tool.core.finetune.training_job import Start, TrainJob

UNITS = 4
"""Units of logit between the best and the worst candidate of a median row."""
LEAST = 1e-3
"""A spread below this is noise: candidates that all score alike."""


class _Unscaled(torch.nn.Module):
    """Takes the square of the student's temperature out again, with which the library multiplies.

    With temperatures far from 1 it would decide how much the loss weighs beside the FLOPS, and how its gradient
    compares with Adam's epsilon.
    """

    student_temperature: float

    def compute_loss_from_embeddings(self, embeddings: list[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """Return the KL divergence itself, a mean over rows."""
        loss: torch.Tensor = super().compute_loss_from_embeddings(embeddings, labels)
        return loss / self.student_temperature**2


class DenseKL(_Unscaled, DistillKLDivLoss):
    """KL divergence of a dense student."""


class SparseKL(_Unscaled, SparseDistillKLDivLoss):
    """KL divergence of a sparse student."""


class _ScaledMargins(torch.nn.Module):
    """Margins of the labels in the units of the student."""

    scale: float

    def compute_loss_from_embeddings(self, embeddings: list[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """Return the mean squared difference of margins, in units of the labels."""
        loss: torch.Tensor = super().compute_loss_from_embeddings(embeddings, labels * self.scale)
        return loss / self.scale**2


class DenseMargins(_ScaledMargins, MarginMSELoss):
    """MarginMSE of a dense student."""


class SparseMargins(_ScaledMargins, SparseMarginMSELoss):
    """MarginMSE of a sparse student."""


def loss_name(job: TrainJob, *, has_labels: bool) -> str:
    """Return the loss that is trained with: ``kl``, ``margin_mse`` or ``mnrl``."""
    if job.train.loss != "auto":
        return job.train.loss
    return "kl" if has_labels else "mnrl"


def make_loss(job: TrainJob, model: Any, start: Start, name: str) -> Any:
    """Return the loss of a training.

    Args:
        job: what is trained.
        model: the student.
        start: what was measured of it.
        name: ``kl``, ``margin_mse`` or ``mnrl``.
    """
    sparse = job.kind is ModelKind.SPARSE
    labels, scores = max(start.label_spread, LEAST), max(start.score_spread, LEAST)
    match name:
        case "kl":
            temperatures = {
                "teacher_temperature": job.train.temperature or labels / UNITS,
                "student_temperature": scores / UNITS,
            }
            loss = SparseKL(model, **temperatures) if sparse else DenseKL(model, _pairwise(model), **temperatures)
        case "margin_mse":
            loss = SparseMargins(model) if sparse else DenseMargins(model, _pairwise(model))
            loss.scale = 1 / job.train.temperature if job.train.temperature else scores / labels
        case _:
            loss = SparseMultipleNegativesRankingLoss(model) if sparse else _in_batch(model)
    if not sparse:
        return loss
    return SpladeLoss(model, loss, document_regularizer_weight=job.train.document_weight, query_regularizer_weight=0.0)


def _pairwise(model: Any) -> Any:
    """Return what a dense student scores a pair by: what its documents are ranked by when it serves."""
    return pairwise_dot_score if is_dot(model) else pairwise_cos_sim


def _in_batch(model: Any) -> MultipleNegativesRankingLoss:
    """Return the loss of a dense student without a teacher; inner products have a scale of their own."""
    if is_dot(model):
        return MultipleNegativesRankingLoss(model, scale=1.0, similarity_fct=dot_score)
    return MultipleNegativesRankingLoss(model)
