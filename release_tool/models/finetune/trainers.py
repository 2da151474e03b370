"""sentence-transformers' trainers, with checkpoints that survive a kill and batches that don't depend on one."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_model, save_model
from sentence_transformers import SentenceTransformerTrainer, SparseEncoderTrainer
from sentence_transformers.base.sampler import DefaultBatchSampler, NoDuplicatesBatchSampler
from sentence_transformers.base.trainer import BaseTrainer
from transformers import TrainerCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from release_tool.errors import UsageError
from release_tool.models.finetune import checkpoints
from release_tool.models.finetune.dev_measure import encode, products, share
from release_tool.workers import report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datasets import Dataset

    from release_tool.core.finetune.flops_control import FlopsController

CONTROL_STEPS = 5
"""Steps from measurement to measurement of the FLOPS."""
LOSS = "loss"


class KeptCheckpoints(BaseTrainer):
    """What both trainers share. ``layout`` and ``controller`` are set before ``train``."""

    layout: dict[str, Any]
    controller: FlopsController | None = None

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Write no card: it would hold dates and machines."""

    def prepare_loss(self, loss: Any, model: Any) -> Any:
        """Leave out the library's ramp of the FLOPS' weight: the controller sets it."""
        return BaseTrainer.prepare_loss(self, loss, model)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        del state_dict
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.model, str(folder / checkpoints.WEIGHTS))

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:
        load_model(self.model, str(Path(checkpoint_path) / checkpoints.WEIGHTS))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # every process has written its random state
        if self.is_world_process_zero():
            folder = Path(self.args.output_dir)
            extra = {"controller": self.controller.state()} if self.controller else {}
            checkpoints.mark(checkpoints.checkpoint(folder, self.state.global_step), self.layout, extra)
            checkpoints.sweep(folder, {self.state.global_step, self.state.best_global_step or 0})

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Have the weight of the FLOPS in the log beside the loss."""
        weight = {"document_weight": self.controller.weight} if self.controller and LOSS in logs else {}
        super().log({**logs, **weight}, start_time)

    def take_finished(self, path: Path, steps: int) -> bool:
        """Take the checkpoint of the last step; false where it is of another one.

        The library's loop would make one step more from there.
        """
        state = TrainerState.load_from_json(str(path / TRAINER_STATE_NAME))
        if state.global_step < steps:
            return False
        self._load_from_checkpoint(str(path))
        self.state = state
        return True

    def load_best(self) -> int:
        """Go back to the best checkpoint by dev, if there is a measure; return its step."""
        step = self.state.best_global_step or self.state.global_step
        if step != self.state.global_step:
            self._load_from_checkpoint(str(checkpoints.checkpoint(Path(self.args.output_dir), step)))
        return int(step)


class DenseTrainer(KeptCheckpoints, SentenceTransformerTrainer):
    """Trains a dense model."""


class SparseTrainer(KeptCheckpoints, SparseEncoderTrainer):
    """Trains a sparse model."""


class WholeSteps(DefaultBatchSampler):
    """Shuffles the rows anew in every reading, by seed and reading alone, and ends with a whole step."""

    def __init__(self, dataset: Dataset, *, batch_size: int, step_rows: int, seed: int) -> None:
        super().__init__(dataset, batch_size=batch_size, drop_last=True, generator=torch.Generator(), seed=seed)
        self.rows = len(dataset) // step_rows * step_rows

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the rows' numbers of every batch."""
        self.generator.manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self.sampler), generator=self.generator)[: self.rows]
        yield from order.view(-1, self.batch_size).tolist()

    def __len__(self) -> int:
        """Return the number of batches of a reading."""
        return int(self.rows // self.batch_size)


def batches(
    dataset: Dataset, *, batch_size: int, seed: int, ids: Dataset, step_rows: int, alone: bool, **_: Any
) -> DefaultBatchSampler:
    """Return what makes the batches.

    Args:
        dataset: with texts.
        batch_size: rows of a process at once.
        seed: of the order.
        ids: the same rows as ids, or groups of near duplicates, by which doubles are found without reading texts.
        step_rows: rows of a step.
        alone: the documents of a row are negatives of the others in its batch: none may be in two of them.
    """
    if not alone:
        return WholeSteps(dataset, batch_size=batch_size, step_rows=step_rows, seed=seed)
    return NoDuplicatesBatchSampler(
        ids,
        batch_size=batch_size,
        drop_last=True,
        valid_label_columns=["label"],
        generator=torch.Generator(),
        seed=seed,
    )


def sampler_of(ids: Dataset, step_rows: int, *, alone: bool) -> Any:
    """Return what the training arguments take as ``batch_sampler``."""
    return partial(batches, ids=ids, step_rows=step_rows, alone=alone)


class Told(TrainerCallback):
    """Reports steps and losses of the first process, and stops where a loss is no number."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count a step."""
        del args, control
        if state.is_world_process_zero:
            report("progress", done=state.global_step, total=state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Tell of a loss.

        Raises:
            UsageError: it is no number.
        """
        del args, control
        loss = (logs or {}).get(LOSS)
        if loss is None:
            return
        if not math.isfinite(loss):
            raise UsageError(
                f"The loss is no number at step {state.global_step:,}: the weights are lost.",
                hint='Lower train.learning_rate; on a GPU also try train.precision = "fp32".',
            )
        if state.is_world_process_zero:
            report("note", text=f"step {state.global_step:,}: loss {loss:.4f}")


class SteeredFlops(TrainerCallback):
    """Measures the FLOPS of a few documents every few steps, and sets the weight that steers them."""

    def __init__(
        self, controller: FlopsController, loss: Any, model: Any, queries: torch.Tensor, documents: Sequence[str]
    ) -> None:
        self.controller = controller
        self.loss = loss
        self.model = model
        self.queries = queries
        """Share of the queries that have each token."""
        self.documents = documents

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin with the controller's weight, which a checkpoint may have restored."""
        del args, state, control
        self.loss.document_regularizer_weight = self.controller.weight

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure and steer; every process finds the same."""
        del args, control
        if state.global_step % CONTROL_STEPS == 0:
            flops = products(self.queries, share(encode(self.model, self.documents)))
            self.loss.document_regularizer_weight = self.controller.measured(flops)
