"""How many steps are trained, how large each is, and when it is looked at: arithmetic of a recipe and its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from release_tool.errors import Fault, RequestError

if TYPE_CHECKING:
    from release_tool.core.finetune.sections_training import TrainSection

LOG_STEPS = 10
"""Steps from line to line of the log, at most."""
CPU_BATCH_TOKENS = 6000
"""Tokens of a batch on a CPU: a MiniLM takes 1 to 2 GB for them, and more of them at once are no faster."""
UNIT_WEIGHTS = 10.7e6
"""Weights that read a token in MiniLM-L6: what ``train.cpu_tokens`` is counted for; a larger model gets fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The steps of a training."""

    steps: int
    wanted: int
    """Steps that the recipe asks for; more than ``steps`` where the tokens of a CPU ran out."""
    batch: int
    """Rows of a batch of one process."""
    accumulation: int
    """Batches of one process that make a step."""
    step_rows: int
    """Rows a step, over all processes."""
    warmup: int
    """Steps in which the learning rate rises."""
    save_steps: int
    """Steps from checkpoint to checkpoint; the last step has one, too."""
    log_steps: int
    """Divides ``save_steps``: a mean that began before a checkpoint would be another after it."""


def schedule(
    train: TrainSection,
    rows: int,
    *,
    processes: int,
    row_tokens: float,
    on_cpu: bool,
    alone: bool,
    weights: float = UNIT_WEIGHTS,
    batch_tokens: int = CPU_BATCH_TOKENS,
) -> Schedule:
    """Return the steps of a training.

    Args:
        train: the recipe's keys.
        rows: to train on.
        processes: that share a step.
        row_tokens: tokens a row, query and documents, in the mean.
        on_cpu: ``train.cpu_tokens`` bounds the steps, and memory the batch.
        alone: the rows of a batch are each other's negatives, so that a smaller batch would be another loss.
        weights: of the model that every token is multiplied with; embeddings are looked up.
        batch_tokens: tokens that a batch on a CPU may have.

    Raises:
        RequestError: the rows don't fill a single batch.
    """
    batch = train.batch_size * processes
    if rows < batch:
        problem = f"is {train.batch_size:,} in {processes:,} processes, and there are {rows:,} rows to train on"
        raise RequestError(
            (Fault("train.batch_size", problem, "lower it, or have more queries written (queries.documents)"),),
            hint="A step needs a whole batch.",
        )
    own = train.batch_size
    if on_cpu and not alone:
        own = max(1, min(own, int(batch_tokens / max(1.0, row_tokens))))
    # Never more than the rows there are: a step would hold rows of two readings.
    accumulation = max(1, min(train.total_batch_size, rows) // (own * processes))
    step_rows = accumulation * own * processes
    wanted = train.steps if train.steps > 0 else max(1, round(train.epochs * (rows // step_rows)))
    steps = wanted
    if on_cpu and train.cpu_tokens:
        cost = row_tokens * step_rows * max(weights, 1.0) / UNIT_WEIGHTS
        steps = max(1, min(wanted, int(train.cpu_tokens / max(cost, 1e-9))))
    save_steps = min(train.save_steps, steps)
    return Schedule(
        steps=steps,
        wanted=wanted,
        batch=own,
        accumulation=accumulation,
        step_rows=step_rows,
        warmup=round(train.warmup * steps),
        save_steps=save_steps,
        log_steps=max(number for number in range(1, LOG_STEPS + 1) if save_steps % number == 0),
    )
